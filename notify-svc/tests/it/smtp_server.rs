//! The one stand-in of these tests: an SMTP server that speaks the protocol and keeps what it is sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stack::testing::Port;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Clone, Default)]
struct Shared {
    mails: Arc<Mutex<Vec<Mail>>>,
    refusals: Arc<Mutex<HashMap<String, &'static str>>>,
    is_silent: Arc<AtomicBool>,
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) recipients: Vec<String>,
    /// As it came, dots unstuffed.
    pub(crate) content: String,
}

/// Listens on a port of its own while it is up.
pub(crate) struct SmtpServer {
    port: Port,
    shared: Shared,
    serving: Option<JoinHandle<()>>,
}

impl SmtpServer {
    /// Not up yet.
    pub(crate) fn new() -> Self {
        Self { port: Port::reserve(), shared: Shared::default(), serving: None }
    }

    pub(crate) async fn start(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port.number())).await.unwrap();
        let shared = self.shared.clone();
        self.serving = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, shared.clone()));
            }
        }));
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port.number())
    }

    /// Answers RCPT for this address with `reply`.
    pub(crate) fn refuse(&self, recipient: &str, reply: &'static str) {
        self.shared.refusals.lock().unwrap().insert(recipient.to_owned(), reply);
    }

    /// Takes mails, but says nothing when it has one.
    pub(crate) fn keep_silent_after_data(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// One session; ends when the client hangs up.
async fn serve(client: TcpStream, shared: Shared) {
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut recipients = Vec::new();
    let mut reply = "220 stand-in ESMTP".to_owned();
    loop {
        if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        reply = match verb.as_str() {
            "EHLO" => "250-stand-in\r\n250 8BITMIME".to_owned(),
            "MAIL" | "RSET" => {
                recipients.clear();
                "250 fine".to_owned()
            }
            "RCPT" => {
                let recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                let refusal = shared.refusals.lock().unwrap().get(&recipient).copied();
                recipients.push(recipient);
                refusal.unwrap_or("250 fine").to_owned()
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.unwrap();
                let mut content = String::new();
                while let Ok(Some(line)) = lines.next_line().await
                    && line != "."
                {
                    content.push_str(line.strip_prefix('.').unwrap_or(&line));
                    content.push('\n');
                }
                shared.mails.lock().unwrap().push(Mail { recipients: std::mem::take(&mut recipients), content });
                if shared.is_silent.load(Ordering::SeqCst) {
                    // Until the client hangs up.
                    while let Ok(Some(_)) = lines.next_line().await {}
                    return;
                }
                "250 taken".to_owned()
            }
            "NOOP" => "250 fine".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "502 unknown".to_owned(),
        };
    }
}
