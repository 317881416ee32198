//! Settings and verbs of notify-svc.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use runtime::config::{ProcessConfig, Secret, Validate, duration};
use runtime::health::HealthConfig;
use runtime::http::server::DRAIN_MAX;
use runtime::mysql::{self, DatabaseConfig, DatabaseTls};
use runtime::nats::NatsConfig;

use crate::cli::email::EmailVerb;
use crate::cli::gap::GapVerb;
use crate::cli::inbox::InboxVerb;
use crate::cli::message::MessageVerb;
use crate::cli::status::StatusConfig;
use crate::cli::stream::StreamVerb;
use crate::consumer;
use crate::email::{self, EmailConfig};

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
    /// Ask the process that runs here whether it is ready: exits 0 or 1.
    Health(HealthConfig),
    /// Show what waits, what is dead, and how the emails are. Exits 4 if a person should act: messages or emails are dead, or
    /// the broker, if it is asked, knows no consumer; 1 if the database does not answer.
    Status(StatusConfig),
    /// List dead messages, and decide about them.
    #[command(subcommand)]
    Message(MessageVerb),
    /// List emails that are dead or wait, and decide about them.
    #[command(subcommand)]
    Email(EmailVerb),
    /// List the events that wait for an earlier version of their order, and let an order go on without it.
    #[command(subcommand)]
    Gap(GapVerb),
    /// Have a part of the stream read again.
    #[command(subcommand)]
    Stream(StreamVerb),
    /// Find out whether an event has had its effect.
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

    /// Messages that one transaction may hold; fewer as long as the database can't manage so many in time.
    #[arg(long, env = "BATCH_SIZE_MAX", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch_size_max: u16,

    /// Messages delivered and not answered, over all replicas.
    #[arg(long, env = "ACK_PENDING_MAX", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub ack_pending_max: u32,

    /// Replicas of this service that may run at once: each may hold a whole batch.
    #[arg(long, env = "REPLICAS_MAX", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub replicas_max: u16,

    /// How long an inbox row is kept: longer than the stream's max_age and OUTBOX_RETENTION together, or nothing is purged.
    #[arg(long, env = "INBOX_RETENTION", default_value = "45d", value_parser = duration)]
    pub inbox_retention: Duration,

    /// How long the relay keeps published events, which it may publish again: its own RETENTION. 0s: for ever, and so are inbox rows.
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "7d", value_parser = duration)]
    pub outbox_retention: Duration,

    /// Attempts after which an event whose effect the database refuses is dead. Outages spend none.
    #[arg(long, env = "DELIVERIES_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub deliveries_max: u32,
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

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.verb {
            Verb::Run(run) => run.validate(),
            Verb::Migrate(config) => mysql::check(&config.database_url, &config.database_tls),
            Verb::Health(_) => Ok(()),
            Verb::Status(config) => config.look.validate(),
            Verb::Message(verb) => verb.look().validate(),
            Verb::Email(verb) => verb.look().validate(),
            Verb::Gap(verb) => verb.look().validate(),
            Verb::Stream(verb) => verb.look().validate(),
            Verb::Inbox(verb) => verb.look().validate(),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()?;
        self.nats.validate()?;
        self.email.validate()?;
        // In-progress beats begin after a third of it, again with each batch: a message must be able to outwait one batch
        // and be processed without any.
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
        let work_time_max = DRAIN_MAX.max(consumer::ATTEMPT_TIME_MAX).max(email::STOP_TIME_MAX);
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
