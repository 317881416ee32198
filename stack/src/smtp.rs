//! A stand-in that speaks SMTP and keeps what it is sent: the only server here that is not a real one, because only an end
//! of our own can say how often an email came.
//!
//! Guarantees that a mail is kept before it is answered for. Leaves out all that is between mail servers: logins, TLS,
//! relaying.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::port::Port;

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// When its sender began to send it.
    pub begun_at: Instant,
    /// To whom it goes, whatever its headers say.
    pub recipients: Vec<String>,
    /// As it came, lines ended by `\n`, dots unstuffed.
    pub content: String,
}

impl Mail {
    /// The value of a header; empty if it has none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let head = self.content.split("\n\n").next().unwrap_or_default();
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    refusals: Mutex<HashMap<String, &'static str>>,
    is_silent: AtomicBool,
}

/// Listens on a port of its own while it is up.
#[derive(Debug)]
pub struct SmtpServer {
    port: Port,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

impl Default for SmtpServer {
    fn default() -> SmtpServer {
        SmtpServer { port: Port::reserve(), shared: Arc::default(), serving: None }
    }
}

impl SmtpServer {
    /// Not up yet.
    #[must_use]
    pub fn new() -> SmtpServer {
        SmtpServer::default()
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    /// If its port is taken.
    pub async fn start(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port.number())).await?;
        let shared = Arc::clone(&self.shared);
        self.serving = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let session = serve(client, Arc::clone(&shared));
                tokio::spawn(async move { drop(session.await) }); // a client may hang up at any time
            }
        }));
        Ok(())
    }

    /// `smtp://` URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port.number())
    }

    /// Answers RCPT for this address with `reply`.
    pub fn refuse(&self, recipient: &str, reply: &'static str) {
        locked(&self.shared.refusals).insert(recipient.to_owned(), reply);
    }

    /// Takes mails, but says nothing when it has one.
    pub fn keep_silent_after_data(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// What it has taken so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        locked(&self.shared.mails).clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// What is under these locks is whole between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session; ends when the client hangs up.
async fn serve(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut begun_at, mut recipients) = (Instant::now(), Vec::new());
    let mut reply = "220 stand-in ESMTP".to_owned();
    loop {
        write.write_all(format!("{reply}\r\n").as_bytes()).await?;
        let Some(line) = lines.next_line().await? else { return Ok(()) };
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        reply = match verb.as_str() {
            "EHLO" => "250-stand-in\r\n250 8BITMIME".to_owned(),
            "MAIL" | "RSET" => {
                (begun_at, recipients) = (Instant::now(), Vec::new());
                "250 fine".to_owned()
            }
            "RCPT" => {
                let recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                let refusal = locked(&shared.refusals).get(&recipient).copied();
                recipients.push(recipient);
                refusal.unwrap_or("250 fine").to_owned()
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let Some(content) = content(&mut lines).await? else { return Ok(()) };
                locked(&shared.mails).push(Mail { begun_at, recipients: std::mem::take(&mut recipients), content });
                if shared.is_silent.load(Ordering::SeqCst) {
                    while lines.next_line().await?.is_some() {} // until the client hangs up
                    return Ok(());
                }
                "250 taken".to_owned()
            }
            "NOOP" => "250 fine".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "502 unknown".to_owned(),
        };
    }
}

/// All until the dot; none if the client hung up before it.
async fn content(lines: &mut Lines<impl AsyncBufRead + Unpin>) -> io::Result<Option<String>> {
    let mut content = String::new();
    while let Some(line) = lines.next_line().await? {
        if line == "." {
            return Ok(Some(content));
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
        content.push('\n');
    }
    Ok(None)
}
