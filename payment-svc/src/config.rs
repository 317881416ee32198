//! The settings of payment-svc: flags or environment variables.

use clap::{Args, Parser, Subcommand};
use effect::EffectConfig;
use effect::cli::EffectVerb;
use inbox::InboxConfig;
use inbox::cli::InboxVerb;
use outbox::OutboxConfig;
use runtime::config::{ProcessConfig, Validate};
use runtime::health::HealthConfig;
use runtime::http::config::HttpConfig;
use runtime::http::cors::CorsConfig;
use runtime::http::identity::AuthConfig;
use runtime::migrate::MigrateConfig;
use runtime::mysql::DatabaseConfig;
use runtime::nats::NatsConfig;

use crate::cli::PaymentVerb;
use crate::provider::ProviderConfig;

/// No route takes a body.
pub const BODY_BYTES_MAX: usize = 1024;

/// Charges customers for their orders, and refunds what was cancelled.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Consume order events, charge and refund, and serve the API until SIGTERM.
    Run(Box<RunConfig>),
    /// Bring the database to the newest schema, then exit.
    Migrate(MigrateConfig),
    /// Ask the process that runs here whether it is ready: exits 4 if it is not, 1 if it does not answer.
    Health(HealthConfig),
    /// List the payments that wait for a person, and decide about them.
    #[command(subcommand)]
    Payment(PaymentVerb),
    /// List the charges and refunds that need a person or wait, and decide about them.
    #[command(subcommand)]
    Effect(EffectVerb),
    /// See [`InboxVerb`].
    #[command(flatten)]
    Inbox(InboxVerb),
}

/// Settings of `run`.
#[derive(Debug, Args)]
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

    /// See [`DatabaseConfig`]; its user is `payment_svc`.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// See [`NatsConfig`].
    #[command(flatten)]
    pub nats: NatsConfig,

    /// See [`ProviderConfig`].
    #[command(flatten)]
    pub provider: ProviderConfig,

    /// See [`EffectConfig`].
    #[command(flatten)]
    pub effect: EffectConfig,

    /// See [`InboxConfig`].
    #[command(flatten)]
    pub inbox: InboxConfig,

    /// See [`OutboxConfig`].
    #[command(flatten)]
    pub outbox: OutboxConfig,
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        match &self.verb {
            Verb::Run(run) => run.validate(),
            Verb::Migrate(config) => config.validate(),
            Verb::Health(_) => Ok(()),
            Verb::Payment(verb) => verb.common().validate(),
            Verb::Effect(verb) => verb.common().validate(),
            Verb::Inbox(verb) => verb.common().validate(),
        }
    }
}

impl Validate for RunConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()?;
        self.nats.validate()?;
        self.provider.validate()?;
        self.inbox.validate()?;
        self.auth.check(self.http.http_addr)?;
        self.http.check(&self.process, InboxConfig::STOP_TIME_MAX.max(effect::STOP_TIME_MAX))
    }
}
