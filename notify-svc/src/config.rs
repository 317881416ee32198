//! Settings and verbs of notify-svc.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lettre::message::Mailbox;
use runtime::config::{ProcessConfig, Secret, Validate, duration};
use runtime::http::server::DRAIN_MAX;
use runtime::mysql::{DatabaseConfig, DatabaseTls};
use runtime::nats::NatsConfig;

use crate::cli::dead::DeadVerb;
use crate::cli::gaps::GapsConfig;
use crate::cli::inbox::InboxVerb;
use crate::cli::status::StatusConfig;
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
    /// Show what waits, what is dead, and how the emails are.
    Status(StatusConfig),
    /// Look at dead messages, and decide about them.
    #[command(subcommand)]
    Dead(DeadVerb),
    /// List the orders that wait for an elder version.
    Gaps(GapsConfig),
    /// Look into the inbox.
    #[command(subcommand)]
    Inbox(InboxVerb),
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

    /// Messages delivered and not answered, over all replicas; events that wait for their elders are among them.
    #[arg(long, env = "ACK_PENDING_MAX", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub ack_pending_max: u32,

    /// Replicas of this service that may run at once: each may hold a whole batch.
    #[arg(long, env = "REPLICAS_MAX", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub replicas_max: u16,

    /// How long an inbox row is kept: longer than the stream's max_age, or nothing is purged.
    #[arg(long, env = "INBOX_RETENTION", default_value = "30d", value_parser = duration)]
    pub inbox_retention: Duration,

    /// How long the relay keeps published events, which it may publish again: its own retention setting.
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "7d", value_parser = duration)]
    pub outbox_retention: Duration,

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

    /// Attempts before an email that the server puts off (4xx) is dead; one that it rejects (5xx) is dead at once. Outages of the server spend none.
    #[arg(long, env = "EMAIL_ATTEMPTS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub email_attempts_max: u32,

    /// Emails a second that this process hands to the transport at most.
    #[arg(long, env = "EMAIL_RATE_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub email_rate_max: u32,
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

    /// See [`DatabaseTls`].
    #[command(flatten)]
    pub database_tls: DatabaseTls,
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
            Verb::Migrate(_) | Verb::Status(_) | Verb::Dead(_) | Verb::Gaps(_) | Verb::Inbox(_) => Ok(()),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.nats.nats_access.validate()?;
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
        let held_max = u32::from(self.batch_size_max) * u32::from(self.replicas_max);
        if self.ack_pending_max < held_max {
            return Err(format!(
                "ACK_PENDING_MAX {} is too small: REPLICAS_MAX {} batches of BATCH_SIZE_MAX {} are {held_max} messages",
                self.ack_pending_max, self.replicas_max, self.batch_size_max
            ));
        }
        if self.inbox_retention <= self.outbox_retention {
            return Err(format!(
                "INBOX_RETENTION {:?} is too short: the relay may publish again what is OUTBOX_RETENTION {:?} old",
                self.inbox_retention, self.outbox_retention
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
    fn batches_of_all_replicas_must_fit_into_what_may_be_unanswered() {
        let log = ["--email-transport", "log"];
        let reason = refusal(&[&log[..], &["--batch-size-max", "1000", "--replicas-max", "5"]].concat());
        assert!(reason.starts_with("ACK_PENDING_MAX 4096 is too small"), "{reason}");
        let roomy = ["--batch-size-max", "1000", "--replicas-max", "5", "--ack-pending-max", "5000"];
        assert_eq!(refusal(&[&log[..], &roomy].concat()), "");
    }

    #[test]
    fn an_inbox_that_a_replay_can_outlive_is_refused() {
        let reason = refusal(&["--email-transport", "log", "--inbox-retention", "7d"]);
        assert!(reason.starts_with("INBOX_RETENTION 604800s is too short"), "{reason}");
    }

    #[test]
    fn a_grace_that_an_email_can_outlast_is_refused() {
        let reason = refusal(&["--email-transport", "log", "--shutdown-grace", "10s"]);
        assert!(reason.starts_with("SHUTDOWN_GRACE 10s is too short"), "{reason}");
    }
}
