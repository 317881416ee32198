//! The dialogue with an SMTP server: greeting, EHLO, TLS and login once, then one email after the other.
//!
//! Guarantees by its types that a dialogue which did not end well is never gone on with: [`Dialogue::send`] takes it and
//! gives it back only after the server's yes. Whoever drops it in its middle closes the connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use effect::Hold;
use runtime::config::Secret;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::fault::{Cause, Fault, Stage};
use super::reply::Reply;
use super::server::{Encryption, Server};
use super::wire::Wire;

/// What a dialogue is led by.
pub(super) struct Terms {
    /// SMTP_URL.
    pub(super) url: Secret,
    /// What it said at the start.
    pub(super) server: Server,
    pub(super) trust: Arc<ClientConfig>,
    /// Our name in EHLO; none for the address that the connection has at our end.
    pub(super) ehlo_name: Option<String>,
    /// For each answer but the last.
    pub(super) reply_time_max: Duration,
    /// For the email itself and the answer to its final dot.
    pub(super) content_time_max: Duration,
}

impl Terms {
    /// The server, and our login, as the file of SMTP_URL has them now: a changed password needs no restart.
    fn server_now(&self) -> Server {
        match Server::parse(&self.url.read_again()) {
            Ok(server) if server.insists_on_tls() || !self.server.insists_on_tls() => server,
            Ok(_) => {
                tracing::error!("SMTP_URL asks for no TLS now, going on with the one before");
                self.server.clone()
            }
            Err(reason) => {
                tracing::error!(reason, "SMTP_URL is malformed now, going on with the one before");
                self.server.clone()
            }
        }
    }
}

/// An email for one recipient.
pub(super) struct Outgoing {
    pub(super) sender: String,
    pub(super) recipient: String,
    pub(super) content: Vec<u8>,
}

impl Outgoing {
    /// Whether it needs nothing that not every server has.
    pub(super) fn is_plain(&self) -> bool {
        self.content.is_ascii() && self.recipient.is_ascii() && self.sender.is_ascii()
    }
}

pub(super) struct Dialogue {
    wire: Wire,
    /// What the server offers, in upper case: `AUTH PLAIN LOGIN`.
    offers: Vec<String>,
    opened_at: Instant,
}

impl Dialogue {
    /// Connects, and goes as far as a first MAIL command.
    pub(super) async fn open(terms: &Terms) -> Result<Self, Fault> {
        let server = terms.server_now();
        let Server { host, port, encryption, login } = &server;
        let opened_at = Instant::now();
        let mut wire = in_time(terms, Stage::Connect, Wire::connect(host, *port)).await?;
        if *encryption == Encryption::FromTheStart {
            wire = encrypt(wire, terms, &server).await?;
        }
        let greeting = in_time(terms, Stage::Greeting, wire.reply()).await?;
        expect(Stage::Greeting, greeting, 220)?;
        let mut dialogue = Self { wire, offers: Vec::new(), opened_at };
        dialogue.hello(terms).await?;
        let is_offered = dialogue.offered("STARTTLS").is_some();
        match encryption {
            Encryption::Required if !is_offered => {
                return Err(Stage::Encryption.fault(Cause::Unfit("the server offers no STARTTLS")));
            }
            Encryption::Required | Encryption::IfOffered if is_offered => {
                let reply = dialogue.command(terms, Stage::Encryption, "STARTTLS").await?;
                expect(Stage::Encryption, reply, 220)?;
                dialogue = Self { wire: encrypt(dialogue.wire, terms, &server).await?, offers: Vec::new(), opened_at };
                dialogue.hello(terms).await?;
            }
            _ => {}
        }
        if let Some((user, password)) = login {
            dialogue.login(terms, user, password.expose()).await?;
        }
        Ok(dialogue)
    }

    async fn hello(&mut self, terms: &Terms) -> Result<(), Fault> {
        let name = match &terms.ehlo_name {
            Some(name) => name.clone(),
            None => self.wire.address_literal().map_err(|error| Stage::Hello.fault(error))?,
        };
        let reply = self.command(terms, Stage::Hello, &format!("EHLO {name}")).await?;
        let reply = expect(Stage::Hello, reply, 250)?;
        self.offers = reply.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// What follows a keyword, if it is offered.
    fn offered(&self, keyword: &str) -> Option<&str> {
        let mut rests = self.offers.iter().filter_map(|offer| offer.strip_prefix(keyword));
        rests.find(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
    }

    async fn login(&mut self, terms: &Terms, user: &str, password: &str) -> Result<(), Fault> {
        let mechanisms: Vec<_> = self.offered("AUTH").unwrap_or_default().split([' ', '=']).collect();
        let (is_plain, is_login) = (mechanisms.contains(&"PLAIN"), mechanisms.contains(&"LOGIN"));
        let reply = if is_plain {
            let secret = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            self.command(terms, Stage::Login, &format!("AUTH PLAIN {secret}")).await?
        } else if is_login {
            for words in ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode(user)] {
                let reply = self.command(terms, Stage::Login, &words).await?;
                expect(Stage::Login, reply, 334)?;
            }
            self.command(terms, Stage::Login, &BASE64_STANDARD.encode(password)).await?
        } else {
            return Err(Stage::Login.fault(Cause::Unfit("the server offers no login by PLAIN or LOGIN")));
        };
        expect(Stage::Login, reply, 235).map(drop)
    }

    /// Has the server take an email; the dialogue comes back only if it did.
    pub(super) async fn send(mut self, terms: &Terms, email: &Outgoing, hold: &Hold) -> Result<Self, Fault> {
        match self.email(terms, email, hold).await {
            Ok(()) => Ok(self),
            Err(fault) => {
                if matches!(fault.cause, Cause::Said(_)) {
                    // Out of courtesy; what becomes of it changes nothing.
                    drop(timeout(Duration::from_secs(1), self.wire.write(b"QUIT\r\n")).await);
                }
                Err(fault)
            }
        }
    }

    async fn email(&mut self, terms: &Terms, email: &Outgoing, hold: &Hold) -> Result<(), Fault> {
        let mut mail = format!("MAIL FROM:<{}>", email.sender);
        if !email.is_plain() {
            if self.offered("SMTPUTF8").is_none() || self.offered("8BITMIME").is_none() {
                return Err(Stage::Recipient.fault(Cause::Unfit("the server offers no SMTPUTF8")));
            }
            mail.push_str(" SMTPUTF8 BODY=8BITMIME");
        }
        for (stage, command) in [(Stage::Sender, mail), (Stage::Recipient, format!("RCPT TO:<{}>", email.recipient))] {
            let reply = self.command(terms, stage, &command).await?;
            if !reply.is_positive() {
                return Err(stage.fault(reply));
            }
        }
        let reply = self.command(terms, Stage::Data, "DATA").await?;
        expect(Stage::Data, reply, 354)?;
        if !hold.let_go().await {
            return Err(Stage::Data.fault(io::Error::other("the email's lease ended meanwhile")));
        }
        let content = stuffed(&email.content);
        let sending = async {
            self.wire.write(&content).await?;
            self.wire.reply().await
        };
        let reply = match timeout(terms.content_time_max, sending).await {
            Ok(reply) => reply.map_err(|error| Stage::Content.fault(error))?,
            Err(_) => return Err(Stage::Content.fault(Cause::Silent)),
        };
        if reply.is_positive() { Ok(()) } else { Err(Stage::Content.fault(reply)) }
    }

    /// When it began to connect.
    pub(super) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Whether another email may be sent by it.
    pub(super) fn is_usable(&mut self) -> bool {
        self.wire.is_quiet()
    }

    async fn command(&mut self, terms: &Terms, stage: Stage, command: &str) -> Result<Reply, Fault> {
        let answered = async {
            self.wire.write(format!("{command}\r\n").as_bytes()).await?;
            self.wire.reply().await
        };
        in_time(terms, stage, answered).await
    }
}

async fn encrypt(wire: Wire, terms: &Terms, server: &Server) -> Result<Wire, Fault> {
    let name = server.name().map_err(|error| Stage::Encryption.fault(io::Error::other(error)))?;
    in_time(terms, Stage::Encryption, wire.encrypt(Arc::clone(&terms.trust), name)).await
}

async fn in_time<T>(terms: &Terms, stage: Stage, step: impl Future<Output = io::Result<T>>) -> Result<T, Fault> {
    match timeout(terms.reply_time_max, step).await {
        Ok(done) => done.map_err(|error| stage.fault(error)),
        Err(_) => Err(stage.fault(Cause::Silent)),
    }
}

fn expect(stage: Stage, reply: Reply, code: u16) -> Result<Reply, Fault> {
    if reply.code == code { Ok(reply) } else { Err(stage.fault(reply)) }
}

/// The email as DATA sends it: each dot that begins a line doubled, and the final dot.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 100);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

#[cfg(test)]
mod tests {
    use super::stuffed;

    #[test]
    fn dots_that_begin_a_line_are_doubled_and_one_ends_all() {
        let cases = [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\nb.\r\n..", "..\r\nb.\r\n...\r\n.\r\n"),
            ("", "\r\n.\r\n"),
        ];
        for (content, expected) in cases {
            assert_eq!(String::from_utf8(stuffed(content.as_bytes())).unwrap(), expected);
        }
    }
}
