//! The operator's checklist: read the settings, start logging, do what the verb says.

use std::process::ExitCode;

use notify_svc::config::{Config, Verb};
use notify_svc::handler::{self, Notifications};
use notify_svc::payments::Payments;
use notify_svc::{cli, payments, run};
use runtime::{health, migrate, telemetry};
use schema::database::NOTIFICATIONS;
use schema::names;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(status) => return status,
    };
    let done = match config.verb {
        Verb::Migrate(config) => migrate::migrate(&config, async |tables| NOTIFICATIONS.migrate(tables).await).await,
        Verb::Health(config) => health::health(&config).await,
        Verb::Status(config) => cli::status::status(config).await,
        Verb::Email(verb) => effect::cli::effect(verb).await,
        Verb::Suppression(verb) => cli::suppression::suppression(verb).await,
        Verb::Inbox(verb) => verb.run(handler::source(), Notifications::default()).await,
        Verb::Payments(verb) => verb.run(payments::source(names::PAYMENTS_STREAM), Payments::default()).await,
        Verb::Run(config) => {
            match telemetry::init(env!("CARGO_PKG_NAME"), config.process.log_format, &config.process.log_filter) {
                Ok(()) => run::run(*config).await,
                Err(misconfigured) => Err(misconfigured.into()),
            }
        }
    };
    runtime::config::exit(done)
}
