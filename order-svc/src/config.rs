//! The settings of order-svc: flags or environment variables.

use std::time::Duration;

use inbox::InboxConfig;
use inbox::cli::InboxVerb;
use outbox::OutboxConfig;
use runtime::config::{ProcessConfig, Validate};
use runtime::health::HealthConfig;
use runtime::http::config::HttpConfig;
use runtime::http::cors::CorsConfig;
use runtime::http::identity::AuthConfig;
use runtime::http::layers::REQUEST_TIMEOUT;
use runtime::migrate::MigrateConfig;
use runtime::mysql::DatabaseConfig;
use runtime::nats::NatsConfig;

use crate::cli::customer::CustomerVerb;

/// Bytes of a request body: four times the largest order, written wholly in escapes, and far below the broker's `max_payload`.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// A client that sends a body has this long to finish it.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an `Idempotency-Key` is kept: a client that repeats a request does so within hours.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes orders and appends their events to the outbox.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Serve the ordering API until SIGTERM.
    Run(Box<RunConfig>),
    /// Bring the database to the newest schema, then exit.
    Migrate(MigrateConfig),
    /// Ask the process that runs here whether it is ready: exits 4 if it is not, 1 if it does not answer.
    Health(HealthConfig),
    /// What is kept of one customer: hand it over, or erase their address.
    #[command(subcommand)]
    Customer(CustomerVerb),
    /// See [`InboxVerb`]; about the payment events.
    #[command(flatten)]
    Inbox(Box<InboxVerb>),
}

/// Settings of `order-svc run`.
#[derive(Debug, clap::Args)]
pub struct RunConfig {
    /// See [`HttpConfig`].
    #[command(flatten)]
    pub http: HttpConfig,

    /// See [`AuthConfig`].
    #[command(flatten)]
    pub auth: AuthConfig,

    /// See [`CorsConfig`].
    #[command(flatten)]
    pub cors: CorsConfig,

    /// See [`ProcessConfig`].
    #[command(flatten)]
    pub process: ProcessConfig,

    /// See [`DatabaseConfig`]; its user is `order_svc`.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// See [`OutboxConfig`].
    #[command(flatten)]
    pub outbox: OutboxConfig,

    /// Orders that wait at the same time commit together, so many at most: less work for the database, and the same answers.
    /// 1: each commits alone.
    #[arg(long, env = "GROUP_MAX", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub group_max: u8,

    /// Orders that a customer may place within an hour, and that may be placed with one email address: each sends mail to it. More are
    /// refused with 429 until there is room. Counted in the database, for all replicas together. 0: as many as they like.
    #[arg(long, env = "ORDERS_PER_CUSTOMER_PER_HOUR", default_value_t = 100)]
    pub orders_per_customer_per_hour: u32,

    /// See [`NatsConfig`]; orders are taken without it.
    #[command(flatten)]
    pub nats: NatsConfig,

    /// The stream that tells of payments, such as PAYMENTS: orders show how theirs stand, and those whose payment is declined are
    /// cancelled. Without it nobody is listened to.
    #[arg(long, env = "PAYMENTS_STREAM")]
    pub payments_stream: Option<String>,

    /// See [`InboxConfig`]; of the payment events.
    #[command(flatten)]
    pub inbox: InboxConfig,
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.verb {
            Verb::Run(config) => config.validate(),
            Verb::Migrate(config) => config.validate(),
            Verb::Health(_) => Ok(()),
            Verb::Customer(verb) => verb.common().validate(),
            Verb::Inbox(verb) => verb.common().validate(),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()?;
        self.nats.validate()?;
        self.inbox.validate()?;
        self.auth.check(self.http.http_addr)?;
        self.http.check(&self.process, InboxConfig::STOP_TIME_MAX)?;
        let acquire_timeout = self.database.database_acquire_timeout;
        if acquire_timeout >= REQUEST_TIMEOUT || acquire_timeout.is_zero() {
            return Err(format!(
                "DATABASE_ACQUIRE_TIMEOUT must be above 0 and below {REQUEST_TIMEOUT:?}, the limit of a whole request"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn validated(flags: &[&str]) -> Result<(), String> {
        let required = [
            "order-svc",
            "run",
            "--http-addr=127.0.0.1:1",
            "--admin-addr=127.0.0.1:2",
            "--database-url=mysql://h/d",
            "--nats-url=nats://h",
        ];
        let mut command = <Config as clap::CommandFactory>::command();
        command = command.mut_subcommand("run", |run| run.args_override_self(true));
        let matches = command.try_get_matches_from(required.iter().chain(flags)).unwrap();
        <Config as clap::FromArgMatches>::from_arg_matches(&matches).unwrap().validate()
    }

    #[test]
    fn combinations_that_can_not_work_are_refused_by_name() {
        assert_eq!(validated(&[]), Ok(()));
        let dangerous = [
            ("--admin-addr=127.0.0.1:1", "HTTP_ADDR and ADMIN_ADDR"),
            ("--shutdown-grace=10s", "SHUTDOWN_GRACE"),
            ("--database-acquire-timeout=9s", "DATABASE_ACQUIRE_TIMEOUT"),
            ("--database-acquire-timeout=0s", "DATABASE_ACQUIRE_TIMEOUT"),
        ];
        for (flag, named) in dangerous {
            let reason = validated(&[flag]).unwrap_err();
            assert!(reason.starts_with(named) && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let config = Config::try_parse_from(["order-svc", "migrate", "--database-url=mysql://u:hunter2@h/d"]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
