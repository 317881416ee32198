//! `stack prove`: a whole pipeline of its own under load and under fire, and then a comparison of what customers were answered
//! with what is in the tables, in the streams, at the mail server and in the payment provider's books.
//!
//! Guarantees that the schedule of faults follows from the seed alone, that the checker asks no service, and that what
//! failed can be examined: data, logs and answers are kept. Timing is the machine's: a seed repeats the faults, not
//! what they meet.

mod drain;
mod faults;
mod journal;
mod pipeline;
mod report;
mod schedule;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use stack::Engine;
use stack::home::Home;
use stack::proof::{Asked, Claim, Customers, check, check_emails};

use faults::Trial;
use journal::Journal;
use pipeline::Pipeline;
use report::Report;
use schedule::Fault;
use stack::scratch::Scratch;
use stack::signals::Signals;

/// Bounded for two cores that also run the servers: it is the faults that are to be heavy.
const CUSTOMERS: usize = 6;
const PACE: Duration = Duration::from_millis(150);
/// What a customer has begun before the faults ended is answered within this time after it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How to prove.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which database server to run.
    #[arg(long, env = "STACK_DB", value_enum, default_value_t = Engine::MySql)]
    db: Engine,

    /// How many nats-servers to run: 1, or 3 as a cluster with three copies of the stream.
    #[arg(long, env = "STACK_NATS_NODES", default_value = "1", value_parser = super::up::nats_nodes)]
    nats_nodes: u16,

    /// What the faults and the customers are drawn from; random unless given. The same seed, duration and number of
    /// nats-servers make the same schedule.
    #[arg(long)]
    seed: Option<u64>,

    /// How long faults go on, such as 90s or 10m; starting, draining and checking come on top.
    #[arg(long, default_value = "90s", value_parser = runtime::config::duration)]
    duration: Duration,

    /// Print the verdict as JSON; faults are printed on standard error.
    #[arg(long)]
    json: bool,
}

/// Runs it; exits 0 if every claim holds and 1 if one does not.
pub(crate) async fn run(home: &Home, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let bounds = Duration::from_secs(5)..=Duration::from_secs(24 * 60 * 60);
    ensure!(bounds.contains(&arguments.duration), "--duration has to be from 5s to 24h");
    let mut signals = Signals::catch()?;
    let scratch = Scratch::new(home)?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let journal = Journal::open(scratch.path(), arguments.json)?;
    let proving = Box::pin(prove(home, scratch.path(), arguments, (seed, &journal)));
    let proved = tokio::select! {
        proved = proving => proved,
        () = signals.arrive() => bail!("interrupted"),
    };
    match proved {
        Ok(report) if report.holds() => {
            report.print(arguments.json, None)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(report) => {
            report.print(arguments.json, Some(&scratch.keep(home, &format!("prove-{seed}"))?))?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            let kept = scratch.keep(home, &format!("prove-{seed}"))?;
            Err(error.context(format!("nothing is proved with seed {seed}; data and logs are in {}", kept.display())))
        }
    }
}

async fn prove(
    home: &Home,
    folder: &Path,
    arguments: &Arguments,
    (seed, journal): (u64, &Journal),
) -> anyhow::Result<Report> {
    let Arguments { db, nats_nodes, duration, .. } = *arguments;
    let (processes, lines) = pipeline::names(db, nats_nodes);
    let faults = schedule::draw(seed, duration, &processes, &lines);
    let length = humantime::format_duration(duration);
    journal.say(&format!("seed {seed}: {} faults in {length} on {db} and {nats_nodes} nats-server(s)", faults.len()));
    let pipeline = Pipeline::start(home, folder, db, nats_nodes).await?;
    let trial = Trial::new(&pipeline, journal);
    let claims = tokio::select! {
        claims = put_to_the_proof(&trial, folder, &faults, seed) => claims?,
        failed = trial.watch() => match failed? {},
    };
    pipeline.end().await?;
    let duration = humantime::format_duration(duration).to_string().replace(' ', "");
    let report = Report { seed, db: db.name(), nats_nodes, duration, faults, claims };
    write(folder, "verdict.json", &report)?;
    Ok(report)
}

/// From the first order to the verdict. What ends by itself meanwhile is another's to see.
async fn put_to_the_proof(trial: &Trial<'_>, folder: &Path, faults: &[Fault], seed: u64) -> anyhow::Result<Vec<Claim>> {
    let Trial { pipeline, journal, .. } = *trial;
    journal.note("", "everything runs; customers begin to order");
    let customers = Customers::start(&pipeline.order_svc(), CUSTOMERS, PACE, seed);
    trial.inflict(faults).await?;
    journal.note("", "no more faults; everything has to recover and drain");
    let asked = customers.stop(ANSWERED_WITHIN).await;
    write(folder, "answers.json", &asked)?;
    let left = trial.drain().await?;
    trial.stop_services().await?;
    journal.note("", "drained and stopped; comparing what customers were answered with what is there");
    let evidence = pipeline.evidence().await?;
    let told = check(&asked, &evidence).into_iter().chain(check_emails(&evidence, &trial.senders()));
    Ok([stopped(trial), drained(&asked, left)].into_iter().chain(told).collect())
}

fn stopped(trial: &Trial<'_>) -> Claim {
    let text = "each process that was asked to stop exited 0, and none ended by itself";
    Claim::new("stopped", text, *trial.stops.borrow()).except(trial.misdeeds.borrow().iter().cloned())
}

fn drained(asked: &[Asked], left: Vec<String>) -> Claim {
    let text = "everything recovered by itself: nothing is left to do";
    Claim::new("drained", text, asked.len()).except(left)
}

fn write(folder: &Path, name: &str, content: &impl serde::Serialize) -> anyhow::Result<()> {
    let path = folder.join(name);
    let text = serde_json::to_vec_pretty(content).context("it has no keys that JSON lacks")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
