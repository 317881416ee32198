//! `bench SECTION`: measures on this machine, as ratios to a limit measured in the same run.
//!
//! Guarantees that a figure says what it is compared with. Absolute rates belong to a machine; ratios carry over.
//! What we want of each stands in `aim.rs`. A figure that is missed is told; one that can't be believed fails the run.

mod aim;
mod bare;
mod basket;
mod chain;
mod e2e;
mod events;
mod figure;
mod growth;
mod inbox;
mod latency;
mod load;
mod open;
mod order;
mod relay;
mod round;
mod write;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Command, FromArgMatches, Parser, Subcommand};
use stack::Engine;
use stack::home::Home;
use stack::signals::Signals;

use aim::Verdict;
use figure::{Figure, print};

/// Measures on this machine, as ratios to a limit that is measured in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The section; each says with `--help` what it measures and against which limit.
    #[command(subcommand)]
    section: Section,
    /// Print JSON for scripts instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

/// What can be measured at once.
#[derive(Debug, Subcommand)]
enum Section {
    All(All),
    #[command(flatten)]
    One(One),
}

/// The sections, one file each.
#[derive(Debug, Subcommand)]
enum One {
    Write(write::Arguments),
    Open(open::Arguments),
    Inbox(inbox::Arguments),
    Latency(latency::Arguments),
    Relay(relay::Arguments),
    Recover(relay::recover::Arguments),
    #[command(name = "e2e")]
    EndToEnd(e2e::Arguments),
}

/// Every section with its defaults, one after the other.
#[derive(Debug, clap::Args)]
struct All {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    db: Engine,
}

/// On one thread, because the kernel ends the children of a thread that ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures a section; whether every figure can be believed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let home = Home::find()?;
    let mut signals = Signals::catch()?;
    let measuring = async {
        match &arguments.section {
            Section::All(all) => measure_all(&home, all).await,
            Section::One(section) => measure(&home, section).await,
        }
    };
    let figures = tokio::select! {
        figures = measuring => figures?,
        () = signals.arrive() => bail!("interrupted"),
    };
    print(&figures, arguments.json)?;
    Ok(figures.iter().all(|figure| figure.verdict() != Verdict::Failed))
}

async fn measure_all(home: &Home, all: &All) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in ["write", "open", "relay", "inbox", "latency", "recover", "e2e"] {
        let sections = One::augment_subcommands(Command::new("bench"));
        let section = sections.get_matches_from(["bench", name, "--db", all.db.name()]);
        figures.extend(measure(home, &One::from_arg_matches(&section)?).await?);
    }
    Ok(figures)
}

async fn measure(home: &Home, section: &One) -> anyhow::Result<Vec<Figure>> {
    match section {
        One::Write(arguments) => write::measure(home, arguments).await,
        One::Open(arguments) => open::measure(home, arguments).await,
        One::Inbox(arguments) => inbox::measure(home, arguments).await,
        One::Latency(arguments) => latency::measure(home, arguments).await,
        One::Relay(arguments) => relay::measure(home, arguments).await,
        One::Recover(arguments) => relay::recover::measure(home, arguments).await,
        One::EndToEnd(arguments) => Box::pin(e2e::measure(home, arguments)).await,
    }
}
