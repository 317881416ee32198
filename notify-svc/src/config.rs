//! Settings and verbs of notify-svc.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lettre::message::Mailbox;
use runtime::config::{ProcessConfig, Secret, Validate, duration};
use runtime::http::server::DRAIN_MAX;
use runtime::mysql::DatabaseConfig;
use runtime::nats::NatsConfig;

use crate::{consumer, email};

/// Bytes of a request body: no request of this API has one.
pub const BODY_BYTES_MAX: usize = 1024;

/// A request is answered within this time, with 503 if need be.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(9);

/// Turns order events into notifications, exactly one effect each in its database, and emails them.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Process events, send emails and answer HTTP until asked to stop.
    Run(Box<RunConfig>),
    /// Bring the database to the newest schema and exit. Needs an administrator's DATABASE_URL.
    Migrate(MigrateConfig),
}

/// Settings of `run`.
#[derive(Debug, Args)]
pub struct RunConfig {
    /// See [`ProcessConfig`].
    #[command(flatten)]
    pub process: ProcessConfig,

    /// See [`DatabaseConfig`]; its user is `notify_svc`.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// See [`NatsConfig`].
    #[command(flatten)]
    pub nats: NatsConfig,

    /// See [`EmailConfig`].
    #[command(flatten)]
    pub email: EmailConfig,

    /// Address of the API.
    #[arg(long, env = "HTTP_ADDR")]
    pub http_addr: SocketAddr,

    /// How long the broker waits for an answer before it delivers a message again.
    #[arg(long, env = "ACK_WAIT", default_value = "30s", value_parser = duration)]
    pub ack_wait: Duration,

    /// Messages that one transaction may hold.
    #[arg(long, env = "BATCH_SIZE_MAX", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch_size_max: u16,

    /// Deliveries after which a message whose effect the database refuses is dead. Outages spend none.
    #[arg(long, env = "DELIVERIES_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub deliveries_max: u32,
}

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

    /// smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required for STARTTLS, or smtps://USER:PASSWORD@HOST.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<Secret>,

    /// Attempts before an email that the server refuses is dead. Outages of the server spend none.
    #[arg(long, env = "EMAIL_ATTEMPTS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub email_attempts_max: u32,
}

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
    Smtp {
        /// SMTP_URL.
        url: &'a Secret,
        /// EMAIL_FROM.
        from: &'a Mailbox,
    },
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

/// Settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateConfig {
    /// mysql://USER:PASSWORD@HOST:PORT/DATABASE of a user who may change the schema.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
}

impl EmailConfig {
    /// The chosen transport.
    ///
    /// # Errors
    /// One line that names the setting it lacks.
    pub fn transport(&self) -> Result<Transport<'_>, String> {
        let from = || self.email_from.as_ref().ok_or_else(|| needs("smtp and file", "EMAIL_FROM"));
        Ok(match self.email_transport {
            EmailTransport::Smtp => {
                let url = self.smtp_url.as_ref().ok_or_else(|| needs("smtp", "SMTP_URL"))?;
                Transport::Smtp { url, from: from()? }
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

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.verb {
            Verb::Run(run) => run.validate(),
            Verb::Migrate(_) => Ok(()),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        if let Transport::Smtp { url, .. } = self.email.transport()? {
            email::check_smtp_url(url)?;
        }
        // Messages that wait behind a batch get no in-progress beat: they must outwait one batch and be processed.
        let batch_time_max = 2 * consumer::ATTEMPT_TIME_MAX;
        if self.ack_wait < batch_time_max {
            return Err(format!(
                "ACK_WAIT {:?} is too short: two batches may take {batch_time_max:?}, and what waits for them would be \
                 delivered again",
                self.ack_wait
            ));
        }
        let ProcessConfig { admin_addr, shutdown_grace, .. } = self.process;
        if self.http_addr == admin_addr && self.http_addr.port() != 0 {
            return Err("HTTP_ADDR and ADMIN_ADDR must differ: the admin port is not for the public".to_owned());
        }
        let work_time_max = DRAIN_MAX.max(consumer::ATTEMPT_TIME_MAX).max(email::SEND_TIME_MAX);
        if shutdown_grace <= work_time_max {
            return Err(format!(
                "SHUTDOWN_GRACE {shutdown_grace:?} is too short: work that can't be interrupted may take {work_time_max:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(changes: &[&str]) -> String {
        let mut arguments = vec!["notify-svc", "run"];
        arguments.extend(["--admin-addr", "127.0.0.1:1", "--http-addr", "127.0.0.1:2"]);
        arguments.extend(["--database-url", "mysql://u:p@h/d", "--nats-url", "nats://h"]);
        arguments.extend(changes);
        let config = Config::try_parse_from(arguments).unwrap();
        config.validate().err().unwrap_or_default()
    }

    #[test]
    fn each_transport_asks_for_what_it_needs() {
        assert_eq!(refusal(&["--email-transport", "log"]), "");
        assert_eq!(refusal(&["--email-transport", "file"]), "EMAIL_TRANSPORT=file needs EMAIL_DIR");
        assert_eq!(refusal(&["--email-transport", "smtp"]), "EMAIL_TRANSPORT=smtp needs SMTP_URL");
        let smtp = ["--email-transport", "smtp", "--email-from", "a@example.com", "--smtp-url"];
        assert_eq!(refusal(&[&smtp[..], &["smtp://h:25"]].concat()), "");
        let reason = refusal(&[&smtp[..], &["http://user:hunter2@h"]].concat());
        assert!(reason.starts_with("SMTP_URL"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn an_ack_wait_that_a_batch_can_outlast_is_refused() {
        let reason = refusal(&["--email-transport", "log", "--ack-wait", "19s"]);
        assert!(reason.starts_with("ACK_WAIT 19s is too short"), "{reason}");
    }

    #[test]
    fn a_grace_that_an_email_can_outlast_is_refused() {
        let reason = refusal(&["--email-transport", "log", "--shutdown-grace", "10s"]);
        assert!(reason.starts_with("SHUTDOWN_GRACE 10s is too short"), "{reason}");
    }
}
