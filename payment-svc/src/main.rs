//! The operator's checklist: read the settings, start logging, do what the verb says.

use std::process::ExitCode;

use payment_svc::config::{Config, Verb};
use payment_svc::{cli, handler, run};
use runtime::{health, migrate, telemetry};
use schema::database::PAYMENTS;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(status) => return status,
    };
    let done = match config.verb {
        Verb::Migrate(config) => migrate::migrate(&config, async |tables| PAYMENTS.migrate(tables).await).await,
        Verb::Health(config) => health::health(&config).await,
        Verb::Payment(verb) => cli::payment(verb).await,
        Verb::Effect(verb) => effect::cli::effect(verb).await,
        Verb::Inbox(verb) => match handler::for_verbs() {
            Ok(payments) => verb.run(handler::source(), payments).await,
            Err(error) => Err(error),
        },
        Verb::Run(config) => {
            match telemetry::init(env!("CARGO_PKG_NAME"), config.process.log_format, &config.process.log_filter) {
                Ok(()) => run::run(*config).await,
                Err(misconfigured) => Err(misconfigured.into()),
            }
        }
    };
    runtime::config::exit(done)
}
