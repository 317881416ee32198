//! Samples, once a second, of the memory of each program and of what waits anywhere.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use schema::names;
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::figure::Figure;
use crate::findings::{Curves, Line};
use crate::growth::Growth;

const PERIOD: Duration = Duration::from_secs(1);

/// What waits: events that are not notified yet, emails, and payments anywhere on their way.
const BACKLOGS: [&str; 3] = ["e2e_backlog_events", "e2e_backlog_emails", "e2e_backlog_payments"];

/// At one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Megabytes that each program holds.
    memory: Vec<(Program, f64)>,
    backlogs: [i64; 3],
}

/// Samples until it is stopped.
pub(super) struct Watch {
    stop: oneshot::Sender<()>,
    sampling: JoinHandle<anyhow::Result<Vec<Sample>>>,
}

impl Watch {
    pub(super) async fn start(
        pipeline: &Pipeline,
        pids: Vec<(Program, i32)>,
        [orders, notifications, payments]: [MySqlPool; 3],
    ) -> anyhow::Result<Watch> {
        let client = async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
        let watcher = Watcher { pids, jetstream: jetstream::new(client), orders, notifications, payments };
        let (stop, stopped) = oneshot::channel();
        Ok(Watch { stop, sampling: tokio::spawn(watcher.run(stopped)) })
    }

    pub(super) async fn stop(self) -> anyhow::Result<Vec<Sample>> {
        drop(self.stop);
        self.sampling.await.context("the sampler panicked")?
    }
}

struct Watcher {
    pids: Vec<(Program, i32)>,
    jetstream: jetstream::Context,
    orders: MySqlPool,
    notifications: MySqlPool,
    payments: MySqlPool,
}

impl Watcher {
    async fn run(self, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => return Ok(samples),
                _ = ticks.tick() => samples.push(self.sample().await?),
            }
        }
    }

    async fn sample(&self) -> anyhow::Result<Sample> {
        let memory = self.pids.iter().map(|(program, pid)| anyhow::Ok((*program, memory(*pid)?)));
        let memory = memory.collect::<anyhow::Result<Vec<_>>>()?;
        let (notify, pay) = (names::NOTIFY_DURABLE, names::PAYMENT_DURABLE);
        let events = pending(&self.orders, "outbox").await? + self.unread(names::STREAM, notify).await?;
        let emails = pending(&self.notifications, "effect").await?;
        let payments = self.unread(names::STREAM, pay).await?
            + pending(&self.payments, "effect").await?
            + pending(&self.payments, "outbox").await?
            + self.unread(names::PAYMENTS_STREAM, names::ORDERS_DURABLE).await?;
        Ok(Sample { memory, backlogs: [events, emails, payments] })
    }

    /// Messages that a consumer has not acknowledged: all of them as long as it is not there.
    async fn unread(&self, stream: &str, consumer: &str) -> anyhow::Result<i64> {
        let stream = self.jetstream.get_stream(stream).await.context("a stream is not there")?;
        match stream.consumer_info(consumer).await {
            Ok(info) => Ok(i64::try_from(info.num_pending)? + i64::try_from(info.num_ack_pending)?),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
                Ok(i64::try_from(stream.cached_info().state.messages)?)
            }
            Err(error) => Err(error).context("cannot tell what a consumer has to read"),
        }
    }
}

async fn pending(pool: &MySqlPool, table: &str) -> sqlx::Result<i64> {
    let count = format!("SELECT COUNT(*) FROM {table} WHERE state = 'pending'");
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(pool).await
}

/// Megabytes that a process holds in memory.
fn memory(pid: i32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("a program has ended")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = resident.trim().trim_end_matches(" kB").parse().context("VmRSS is a number")?;
    Ok(kib * 1024.0 / 1e6)
}

/// The last sample of each against the first after the warm-up.
pub(super) fn figures(samples: &[Sample]) -> Vec<Figure> {
    let figure = |name: &str, unit: &str, of: &dyn Fn(&Sample) -> f64| {
        let Growth { first, last } = Growth::of(&samples.iter().map(of).collect::<Vec<_>>())?;
        let note = format!("from {first:.0} to {last:.0} {unit}");
        Some(Figure::against(name, last, unit, first).noting(note))
    };
    let programs = samples.first().map_or(0, |sample| sample.memory.len());
    let memory = (0..programs).filter_map(|index| {
        let name = format!("e2e_memory_{}", samples[0].memory[index].0.name().replace('-', "_"));
        figure(&name, "MB", &|sample| sample.memory[index].1)
    });
    let backlogs = BACKLOGS.iter().enumerate();
    let backlogs =
        backlogs.filter_map(|(index, name)| figure(name, "waiting", &|sample| sample.backlogs[index] as f64));
    memory.chain(backlogs).collect()
}

/// The samples over time.
pub(super) fn curves(samples: &[Sample]) -> Vec<Curves> {
    let line = |name: String, of: &dyn Fn(&Sample) -> f64| {
        let points = samples.iter().enumerate().map(|(second, sample)| (second as f64, of(sample))).collect();
        Line { name, points }
    };
    let memory = samples.first().into_iter().flat_map(|first| first.memory.iter().enumerate());
    let memory = memory.map(|(index, (program, _))| line(program.name().to_owned(), &|sample| sample.memory[index].1));
    let backlogs = BACKLOGS.iter().enumerate();
    let backlogs = backlogs
        .map(|(index, name)| line(name.replace("e2e_backlog_", ""), &|sample: &Sample| sample.backlogs[index] as f64));
    let curves = |name: &str, title: &str, up: &str, lines: Vec<Line>| {
        let [name, title, up] = [name, title, up].map(str::to_owned);
        Curves { name, title, across: "seconds".to_owned(), up, lines }
    };
    vec![
        curves("e2e-memory", "Memory of the programs under full load", "MB", memory.collect()),
        curves("e2e-backlog", "What waits under full load", "waiting", backlogs.collect()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Verdict;

    fn of(waiting: impl Fn(i64) -> i64) -> Verdict {
        let sample = |second| Sample { memory: vec![(Program::OrderSvc, 20.0)], backlogs: [0, waiting(second), 0] };
        let figures = figures(&(0..60).map(sample).collect::<Vec<_>>());
        let names: Vec<_> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["e2e_memory_order_svc", BACKLOGS[0], BACKLOGS[1], BACKLOGS[2]]);
        assert_eq!(figures[0].verdict(), Verdict::Met);
        figures[2].verdict()
    }

    #[test]
    fn a_backlog_that_grows_is_marked_and_one_that_does_not_is_met() {
        assert_eq!(of(|second| 3000 * second), Verdict::Missed);
        assert_eq!(of(|second| 5000 - 10 * second), Verdict::Met);
        assert_eq!(of(|_| 0), Verdict::Met);
    }
}
