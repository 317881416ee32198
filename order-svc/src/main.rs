//! The operator's checklist: read the settings, start logging, do what the verb says.

use std::process::ExitCode;

use order_svc::cli::customer;
use order_svc::config::{Config, Verb};
use order_svc::{payments, run};
use runtime::{health, migrate, telemetry};
use schema::database::ORDERS;

#[tokio::main]
async fn main() -> ExitCode {
    let config: Config = match runtime::config::parse() {
        Ok(config) => config,
        Err(status) => return status,
    };
    let done = match config.verb {
        Verb::Migrate(config) => migrate::migrate(&config, async |tables| ORDERS.migrate(tables).await).await,
        Verb::Health(config) => health::health(&config).await,
        Verb::Customer(verb) => customer::customer(verb).await,
        Verb::Inbox(verb) => payments::verb(*verb).await,
        Verb::Run(config) => {
            match telemetry::init(env!("CARGO_PKG_NAME"), config.process.log_format, &config.process.log_filter) {
                Ok(()) => run::run(*config).await,
                Err(misconfigured) => Err(misconfigured.into()),
            }
        }
    };
    runtime::config::exit(done)
}
