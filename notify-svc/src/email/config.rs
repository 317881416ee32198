//! Settings of the emails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use effect::Limits;
use lettre::message::Mailbox;
use runtime::config::{Secret, Validate, duration};
use runtime::tls;

use super::recipients::OrdersConfig;
use super::smtp::Server;

/// Settings of the emails.
#[derive(Debug, Args)]
pub struct EmailConfig {
    /// Where emails go: an SMTP server, one .eml file each, or nowhere but a log line.
    #[arg(long, env = "EMAIL_TRANSPORT", value_enum)]
    pub email_transport: EmailTransport,

    /// The sender, such as "Web Store <orders@example.com>". Its domain is the right part of each Message-ID.
    #[arg(long, env = "EMAIL_FROM")]
    pub email_from: Option<Mailbox>,

    /// Folder of the .eml files.
    #[arg(long, env = "EMAIL_DIR")]
    pub email_dir: Option<PathBuf>,

    /// smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required for STARTTLS, or smtps://USER:PASSWORD@HOST. Its file is read again at each connection.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<Secret>,

    /// PEM file of the authorities that may have signed the SMTP server's certificate, in place of the system's.
    #[arg(long, env = "SMTP_CA_FILE", value_parser = tls::certificates)]
    pub smtp_ca_file: Option<PathBuf>,

    /// Our name in EHLO, such as mail.example.com; without it the address that the connection has at our end, as [192.0.2.1].
    #[arg(long, env = "SMTP_EHLO_NAME", value_parser = ehlo_name)]
    pub smtp_ehlo_name: Option<String>,

    /// How long the SMTP server may take for each answer but the last.
    #[arg(long, env = "SMTP_REPLY_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub smtp_reply_timeout: Duration,

    /// How long it may take to receive an email and to answer its final dot: RFC 5321 wants 10 minutes. Shorter, and a slow server gets it twice.
    #[arg(long, env = "SMTP_FINAL_TIMEOUT", default_value = "10m", value_parser = duration)]
    pub smtp_final_timeout: Duration,

    /// Attempts before an email is dead that the server puts off (4xx) or fails at while it takes others. One that it refuses for good (5xx) is dead as soon as another email has gone through; what several emails are refused for kills none of them. Outages of the server spend none.
    #[arg(long, env = "EMAIL_ATTEMPTS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub email_attempts_max: u32,

    /// Emails a second that this process hands to the transport at most.
    #[arg(long, env = "EMAIL_RATE_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub email_rate_max: u32,

    /// Emails that a recipient gets at most within an hour of the clock, as from 14:00 to 15:00, counted in the database, for all replicas
    /// together; the next ones wait for another hour, and spend no attempt. 0: as many as there are.
    #[arg(long, env = "MAILS_PER_RECIPIENT_PER_HOUR", default_value_t = 20)]
    pub mails_per_recipient_per_hour: u32,

    /// How long the record of an email's attempts is kept after it was sent, held back or discarded. 0s: for ever.
    #[arg(long, env = "EMAIL_RETENTION", default_value = "30d", value_parser = duration)]
    pub email_retention: Duration,
}

/// After the first attempt that the server refuses: the eighth comes after about an hour.
const DELAY_FIRST: Duration = Duration::from_secs(30);
/// Answers that a dialogue waits for at most, on a connection that was kept and on a new one.
const REPLIES_MAX: u32 = 16;

/// Kinds of email transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmailTransport {
    /// SMTP_URL.
    Smtp,
    /// EMAIL_DIR.
    File,
    /// Nobody gets an email; a log line says that one would have been sent.
    Log,
}

/// An email transport with the settings that it needs.
#[derive(Debug)]
pub enum Transport<'a> {
    /// An SMTP server.
    Smtp(SmtpSettings<'a>),
    /// A folder.
    File {
        /// EMAIL_DIR.
        dir: &'a Path,
        /// EMAIL_FROM.
        from: &'a Mailbox,
    },
    /// The log.
    Log,
}

/// What an SMTP server is spoken to with.
#[derive(Clone, Copy, Debug)]
pub struct SmtpSettings<'a> {
    /// SMTP_URL.
    pub url: &'a Secret,
    /// SMTP_CA_FILE.
    pub ca_file: Option<&'a Path>,
    /// EMAIL_FROM.
    pub from: &'a Mailbox,
    /// SMTP_EHLO_NAME.
    pub ehlo_name: Option<&'a str>,
    /// SMTP_REPLY_TIMEOUT.
    pub reply_time_max: Duration,
    /// SMTP_FINAL_TIMEOUT.
    pub content_time_max: Duration,
}

impl EmailConfig {
    /// The limits of the queue.
    pub fn limits(&self) -> Limits {
        Limits {
            attempt_time_max: OrdersConfig::TIME_MAX + self.smtp_reply_timeout * REPLIES_MAX + self.smtp_final_timeout,
            attempts_max: self.email_attempts_max,
            rate_max: self.email_rate_max,
            delay_first: DELAY_FIRST,
            retention: self.email_retention,
        }
    }

    /// The chosen transport.
    ///
    /// # Errors
    /// One line that names the setting it lacks.
    pub fn transport(&self) -> Result<Transport<'_>, String> {
        let from = || self.email_from.as_ref().ok_or_else(|| needs("smtp and file", "EMAIL_FROM"));
        Ok(match self.email_transport {
            EmailTransport::Smtp => {
                let url = self.smtp_url.as_ref().ok_or_else(|| needs("smtp", "SMTP_URL"))?;
                Transport::Smtp(SmtpSettings {
                    url,
                    ca_file: self.smtp_ca_file.as_deref(),
                    from: from()?,
                    ehlo_name: self.smtp_ehlo_name.as_deref(),
                    reply_time_max: self.smtp_reply_timeout,
                    content_time_max: self.smtp_final_timeout,
                })
            }
            EmailTransport::File => {
                let dir = self.email_dir.as_deref().ok_or_else(|| needs("file", "EMAIL_DIR"))?;
                Transport::File { dir, from: from()? }
            }
            EmailTransport::Log => Transport::Log,
        })
    }
}

fn needs(transport: &str, setting: &str) -> String {
    format!("EMAIL_TRANSPORT={transport} needs {setting}")
}

/// A name or an address literal: it stands alone in a line of the dialogue.
fn ehlo_name(text: &str) -> Result<String, String> {
    let is_one_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 255;
    is_one_word
        .then(|| text.to_owned())
        .ok_or_else(|| "must be a host name, or an address such as [192.0.2.1]".to_owned())
}

impl Validate for EmailConfig {
    fn validate(&self) -> Result<(), String> {
        let Transport::Smtp(SmtpSettings { url, ca_file, .. }) = self.transport()? else { return Ok(()) };
        let server = Server::parse(url)?;
        if self.smtp_reply_timeout.is_zero() || self.smtp_final_timeout.is_zero() {
            return Err("SMTP_REPLY_TIMEOUT and SMTP_FINAL_TIMEOUT must be longer than 0s".to_owned());
        }
        if ca_file.is_some() && !server.insists_on_tls() {
            return Err("SMTP_CA_FILE needs an SMTP_URL with TLS: smtps://HOST, or smtp://HOST?tls=required".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        email: EmailConfig,
    }

    fn refusal(transport: &str, settings: &[&str]) -> String {
        let arguments = [&["test", "--email-transport", transport], settings].concat();
        let settings = Settings::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        settings.email.validate().err().unwrap_or_default()
    }

    #[test]
    fn each_transport_asks_for_what_it_needs() {
        assert_eq!(refusal("log", &[]), "");
        assert_eq!(refusal("file", &[]), "EMAIL_TRANSPORT=file needs EMAIL_DIR");
        assert_eq!(refusal("smtp", &[]), "EMAIL_TRANSPORT=smtp needs SMTP_URL");
        let smtp = |url| refusal("smtp", &["--email-from", "a@example.com", "--smtp-url", url]);
        assert_eq!(smtp("smtp://h:25"), "");
        for malformed in ["http://user:hunter2@h", "smtp://user:hunter2@h?tls=yes", "user:hunter2@h", "smtp://"] {
            let reason = smtp(malformed);
            assert!(reason.starts_with("SMTP_URL must look like"), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn an_authority_is_of_no_use_without_tls() {
        let authority = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, authority.cert.pem()).unwrap();
        let file = file.path().to_str().unwrap();
        let smtp = |url| refusal("smtp", &["--email-from", "a@example.com", "--smtp-ca-file", file, "--smtp-url", url]);
        assert!(smtp("smtp://h:25").starts_with("SMTP_CA_FILE needs an SMTP_URL with TLS"));
        assert!(smtp("smtp://h:25?tls=opportunistic").starts_with("SMTP_CA_FILE needs an SMTP_URL with TLS"));
        assert_eq!(smtp("smtps://h"), "");
        assert_eq!(smtp("smtp://u:p@h:587?tls=required"), "");
    }
}
