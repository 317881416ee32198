//! `stack`: runs the pipeline on this machine, and tests it.

mod command;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use runtime::exit::{self, EXIT_CONFIG};
use runtime::manual;
use stack::home::Home;

/// Runs the pipeline on this machine, and tests it. `make help` lists the usual ways to call it.
#[derive(Debug, Parser)]
#[command(name = "stack")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring up database, NATS, services and gateway, and stay in the foreground; Ctrl-C stops it all.
    Up(command::up::Settings),
    /// Print what gives a shell the verbs and the databases of the stack that is up: eval "$(stack env)", and then
    /// outbox-relay status, notify-svc status, orders-sql < schema/inspect/orders/relay_stream.sql.
    Env,
    /// Check a running deployment from outside: databases, broker, streams, consumers, lags, clocks, services, their versions and
    /// metrics; with --order one order, too. Prints what is well and what is not, and what to do; exits 4 if something is not.
    Doctor(Box<command::doctor::Settings>),
    /// Stop notify-svc, place orders, see them wait in NATS, start it again: each is notified once. Prints what it sees.
    DemoDowntime(command::demo_downtime::Arguments),
    /// Run a pipeline under load while servers, services and connections fail, then compare what customers were answered with
    /// what is in the tables and the streams, at the mail server and in the payment provider's books. Exits 1 if anything was lost,
    /// repeated or reordered, or money was taken or kept wrongly.
    Prove(command::prove::Arguments),
    /// Run the tests against real servers that are started for them.
    Test(command::test::Arguments),
    /// Describe the services' SQL for builds without a database: writes `.sqlx`.
    SqlxPrepare(command::sqlx_prepare::Arguments),
}

/// On one thread, because the kernel ends the children of a thread that ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = manual::with_manual(Cli::command());
    let parsed = command.clone().try_get_matches().and_then(|matches| {
        if let Some(answered) = manual::answer(command, &matches) {
            return Ok(Err(answered));
        }
        Cli::from_arg_matches(&matches).map(Ok)
    });
    match parsed {
        Ok(Ok(cli)) => run(cli.verb).await.unwrap_or_else(|error| {
            eprintln!("stack: {error:#}");
            exit::status(&error)
        }),
        Ok(Err(answered)) => answered,
        Err(error) => {
            // Nothing useful is left to do if it can't be said.
            error.print().ok();
            if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS }
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    // It needs no checkout.
    if let Verb::Doctor(settings) = &verb {
        return command::doctor::run(settings).await;
    }
    let home = Home::find()?;
    match verb {
        Verb::Doctor(settings) => command::doctor::run(&settings).await,
        Verb::Up(settings) => command::up::run(&home, &settings).await,
        Verb::Env => command::env::run(&home).map(|()| ExitCode::SUCCESS),
        Verb::DemoDowntime(arguments) => command::demo_downtime::run(&home, &arguments).await,
        Verb::Prove(arguments) => command::prove::run(&home, &arguments).await,
        Verb::Test(arguments) => command::test::run(&home, &arguments).await,
        Verb::SqlxPrepare(arguments) => command::sqlx_prepare::run(&home, &arguments).await,
    }
}
