//! A stand-in that speaks SMTP and keeps what it is sent: the only server here that is not a real one, because only an end
//! of our own can say how often an email came.
//!
//! Guarantees that a mail is kept before it is answered for. Fails where it is told to, for everybody or for one
//! recipient. Leaves out all that is between mail servers: logins, TLS, relaying.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// Where in a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The greeting.
    Greeting,
    /// EHLO.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot.
    Dot,
}

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Says this in place of its answer, line end included if there is to be one. A mail is kept if it begins with a 2.
    Say(&'static str),
    /// Answers as always, after so long.
    Late(Duration),
    /// Says nothing any more, and keeps the connection.
    Hang,
    /// Hangs up.
    HangUp,
}

#[derive(Debug)]
struct Rule {
    stage: Stage,
    /// None: everybody.
    recipient: Option<String>,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    rules: Mutex<Vec<Rule>>,
    names: Mutex<Vec<String>>,
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
        self.fail_for(recipient, Stage::Rcpt, Fault::Say(reply));
    }

    /// Fails so from now on, whoever the recipient is.
    pub fn fail(&self, stage: Stage, fault: Fault) {
        locked(&self.shared.rules).push(Rule { stage, recipient: None, fault });
    }

    /// Fails so from now on when the dialogue is about this recipient: at RCPT or later.
    pub fn fail_for(&self, recipient: &str, stage: Stage, fault: Fault) {
        locked(&self.shared.rules).push(Rule { stage, recipient: Some(recipient.to_owned()), fault });
    }

    /// Fails no more; a dialogue in which it hangs stays so.
    pub fn heal(&self) {
        locked(&self.shared.rules).clear();
    }

    /// Takes mails, but says nothing when it has one.
    pub fn keep_silent_after_data(&self, is_silent: bool) {
        locked(&self.shared.rules).retain(|rule| (rule.stage, rule.fault) != (Stage::Dot, Fault::Hang));
        if is_silent {
            self.fail(Stage::Dot, Fault::Hang);
        }
    }

    /// The names by which clients have said EHLO, one for each connection.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        locked(&self.shared.names).clone()
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
    let (mut stage, mut reply) = (Some(Stage::Greeting), "220 stand-in ESMTP".to_owned());
    let mut content = None;
    loop {
        let fault = stage.and_then(|stage| shared.fault(stage, recipients.last()));
        let said = match fault {
            Some(Fault::Say(said)) => format!("{said}\r\n").replace("\n\r\n", "\n"),
            _ => format!("{reply}\r\n"),
        };
        if let Some(content) = content.take().filter(|_| said.starts_with('2')) {
            let recipients = std::mem::take(&mut recipients);
            locked(&shared.mails).push(Mail { begun_at, recipients, content });
        }
        match fault {
            Some(Fault::HangUp) => return Ok(()),
            Some(Fault::Hang) => {
                while lines.next_line().await?.is_some() {} // until the client hangs up
                return Ok(());
            }
            Some(Fault::Late(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Say(_)) | None => {}
        }
        write.write_all(said.as_bytes()).await?;
        if stage == Some(Stage::Data) && said.starts_with("354") {
            content = self::content(&mut lines).await?;
            if content.is_none() {
                return Ok(());
            }
            (stage, reply) = (Some(Stage::Dot), "250 taken".to_owned());
            continue;
        }
        let Some(line) = lines.next_line().await? else { return Ok(()) };
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => {
                locked(&shared.names).push(line.split(' ').nth(1).unwrap_or_default().to_owned());
                (Some(Stage::Hello), "250-stand-in\r\n250 8BITMIME")
            }
            "MAIL" => {
                (begun_at, recipients) = (Instant::now(), Vec::new());
                (Some(Stage::Mail), "250 fine")
            }
            "RCPT" => {
                recipients.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                (Some(Stage::Rcpt), "250 fine")
            }
            "DATA" => (Some(Stage::Data), "354 go on"),
            "RSET" | "NOOP" => (None, "250 fine"),
            "QUIT" => (None, "221 bye"),
            _ => (None, "502 unknown"),
        };
        (stage, reply) = (answer.0, answer.1.to_owned());
    }
}

impl Shared {
    /// What goes wrong at a stage: the rule that was made last counts.
    fn fault(&self, stage: Stage, recipient: Option<&String>) -> Option<Fault> {
        let rules = locked(&self.rules);
        let mut applying = rules
            .iter()
            .filter(|rule| rule.stage == stage && (rule.recipient.is_none() || rule.recipient.as_ref() == recipient));
        applying.next_back().map(|rule| rule.fault)
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
