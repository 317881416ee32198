//! `stack bench SECTION`: measures on this machine, as ratios to a limit measured in the same run.
//!
//! Guarantees that a figure says what it is compared with. Absolute rates belong to a machine; ratios carry over.
//! Nothing here judges: the targets stand in docs/benchmarks.md beside the figures.

mod bare;
mod chain;
mod events;
mod inbox;
mod latency;
mod load;
mod relay;
mod write;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Command, FromArgMatches, Subcommand};
use serde::Serialize;
use stack::Engine;
use stack::home::Home;

use super::signals::Signals;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
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
    Inbox(inbox::Arguments),
    Latency(latency::Arguments),
    Relay(relay::Arguments),
}

/// Every section with its defaults, one after the other.
#[derive(Debug, clap::Args)]
struct All {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    db: Engine,
}

/// One measured number.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// Its name in docs/benchmarks.md and in scripts.
    pub(crate) name: &'static str,
    /// The number.
    pub(crate) value: f64,
    /// Its unit, such as `orders/s` or `ms`.
    pub(crate) unit: &'static str,
    /// What the same machine reached in the same run without our code, in the same unit; none if there is no such limit.
    pub(crate) limit: Option<f64>,
    /// `value / limit`, or the median of that over rounds; for times, how many times the limit it took.
    pub(crate) ratio: Option<f64>,
}

impl Figure {
    /// The median of rounds, each a number and the limit that was measured beside it. The ratio is the median of the
    /// rounds' ratios: what slows the machine down for a while slows both.
    pub(crate) fn of_rounds(name: &'static str, unit: &'static str, rounds: &[(f64, f64)]) -> Figure {
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut numbers: Vec<f64> = rounds.iter().map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let ratio = median(|(value, limit)| value / limit);
        Figure { name, value: median(|round| round.0), unit, limit: Some(median(|round| round.1)), ratio: Some(ratio) }
    }

    /// A number compared with its limit.
    pub(crate) fn against(name: &'static str, value: f64, unit: &'static str, limit: f64) -> Figure {
        Figure { name, value, unit, limit: Some(limit), ratio: Some(value / limit) }
    }

    /// A number that stands alone.
    pub(crate) fn alone(name: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure { name, value, unit, limit: None, ratio: None }
    }
}

/// Prints figures as a table, or as the JSON that scripts rely on.
pub(crate) fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "figures": figures }))?);
        return Ok(());
    }
    println!("{:<24} {:>12} {:<10} {:>12} {:>7}", "figure", "value", "unit", "limit", "ratio");
    let number = |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
    for figure in figures {
        let (limit, ratio) = (number(figure.limit, 2), number(figure.ratio, 2));
        println!("{:<24} {:>12.2} {:<10} {:>12} {:>7}", figure.name, figure.value, figure.unit, limit, ratio);
    }
    Ok(())
}

/// Measures a section.
pub(crate) async fn run(home: &Home, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let measuring = async {
        match &arguments.section {
            Section::All(all) => measure_all(home, all).await,
            Section::One(section) => measure(home, section).await,
        }
    };
    let figures = tokio::select! {
        figures = measuring => figures?,
        () = signals.arrive() => bail!("interrupted"),
    };
    print(&figures, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure_all(home: &Home, all: &All) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in ["write", "relay", "inbox", "latency"] {
        let sections = One::augment_subcommands(Command::new("bench"));
        let section = sections.get_matches_from(["bench", name, "--db", all.db.name()]);
        figures.extend(measure(home, &One::from_arg_matches(&section)?).await?);
    }
    Ok(figures)
}

async fn measure(home: &Home, section: &One) -> anyhow::Result<Vec<Figure>> {
    match section {
        One::Write(arguments) => write::measure(home, arguments).await,
        One::Inbox(arguments) => inbox::measure(home, arguments).await,
        One::Latency(arguments) => latency::measure(home, arguments).await,
        One::Relay(arguments) => relay::measure(home, arguments).await,
    }
}

/// Of times in ascending order.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(f64::NAN)
}
