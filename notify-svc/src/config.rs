//! Settings and verbs of notify-svc.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use effect::cli::EffectVerb;
use inbox::InboxConfig;
use inbox::cli::InboxVerb;
use runtime::config::{ProcessConfig, Secret, Validate, duration};
use runtime::health::HealthConfig;
use runtime::http::config::HttpConfig;
use runtime::http::cors::CorsConfig;
use runtime::http::identity::AuthConfig;
use runtime::migrate::MigrateConfig;
use runtime::mysql::DatabaseConfig;
use runtime::nats::NatsConfig;

use crate::cli::status::StatusConfig;
use crate::cli::suppression::SuppressionVerb;
use crate::email::{EmailConfig, OrdersConfig};
use crate::webhook;

/// Bytes of a request body: those of ten addresses with their reasons, and what the gateway lets through.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Turns order and payment events into notifications, exactly one effect each in its database, and emails them.
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
    /// Ask the process that runs here whether it is ready: exits 4 if it is not, 1 if it does not answer.
    Health(HealthConfig),
    /// Show what waits, what is dead, and how the emails are. Exits 4 if a person should act: messages or emails are dead, or
    /// the broker, if it is asked, knows no consumer; 1 if the database does not answer.
    Status(StatusConfig),
    /// List emails that are dead or wait, and decide about them.
    #[command(subcommand)]
    Email(EffectVerb),
    /// Addresses that get no email, whatever they are told of.
    #[command(subcommand)]
    Suppression(SuppressionVerb),
    /// See [`InboxVerb`]; about the order events.
    #[command(flatten)]
    Inbox(InboxVerb),
    /// The same verbs about the payment events: dead messages, events that wait, what is read again.
    #[command(subcommand)]
    Payments(InboxVerb),
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

    /// See [`OrdersConfig`].
    #[command(flatten)]
    pub orders: OrdersConfig,

    /// See [`HttpConfig`].
    #[command(flatten)]
    pub http: HttpConfig,

    /// See [`AuthConfig`].
    #[command(flatten)]
    pub auth: AuthConfig,

    /// See [`CorsConfig`].
    #[command(flatten)]
    pub cors: CorsConfig,

    /// The stream that tells of payments, such as PAYMENTS: customers are told of those that are declined or refunded. Without it
    /// nobody is listened to.
    #[arg(long, env = "PAYMENTS_STREAM")]
    pub payments_stream: Option<String>,

    /// What whoever tells of bounces, complaints and unsubscribers signs with, at least 32 characters: see POST
    /// /api/notifications/suppressions, which is off without it. Its file is read again at each request; a shorter one in it is not taken, and the one before stays.
    #[arg(long, env = "SUPPRESSION_WEBHOOK_SECRET", hide_env_values = true)]
    pub suppression_webhook_secret: Option<Secret>,

    /// How long a notification is kept, with what was ordered, and the record of who was added to the suppression
    /// list and removed from it. A notification with an email that waits or is dead stays. 0s: for ever.
    #[arg(long, env = "NOTIFICATION_RETENTION", default_value = "90d", value_parser = duration)]
    pub notification_retention: Duration,

    /// See [`InboxConfig`]; of the order events, and of the payment events.
    #[command(flatten)]
    pub inbox: InboxConfig,
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.verb {
            Verb::Run(run) => run.validate(),
            Verb::Migrate(config) => config.validate(),
            Verb::Health(_) => Ok(()),
            Verb::Status(config) => config.common.validate(),
            Verb::Email(verb) => verb.common().validate(),
            Verb::Suppression(verb) => verb.common().validate(),
            Verb::Inbox(verb) | Verb::Payments(verb) => verb.common().validate(),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()?;
        self.nats.validate()?;
        self.email.validate()?;
        self.orders.validate()?;
        self.inbox.validate()?;
        self.auth.check(self.http.http_addr)?;
        self.suppression_webhook_secret.as_ref().map_or(Ok(()), webhook::check)?;
        self.http.check(&self.process, InboxConfig::STOP_TIME_MAX.max(effect::STOP_TIME_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(changes: &[&str]) -> String {
        let mut arguments = vec!["notify-svc", "run"];
        arguments.extend(["--admin-addr", "127.0.0.1:1", "--http-addr", "127.0.0.1:2"]);
        arguments.extend(["--database-url", "mysql://u:p@h/d", "--nats-url", "nats://h", "--orders-url", "http://h"]);
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
