//! The process of the Debezium engine.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde::Deserialize;
use sqlx::MySqlConnection;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::process::{Launch, Output, Process};
use tempfile::TempDir;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

const READY_WITHIN: Duration = Duration::from_secs(120);
const PUBLISHED_WITHIN: Duration = Duration::from_secs(900);
/// Between two events by which it is seen to read.
const MARKED_EVERY: Duration = Duration::from_millis(300);

/// An engine that stands at a place in the binary log.
pub(super) struct Debezium {
    program: PathBuf,
    script: PathBuf,
    /// Port, password, NATS and folder.
    arguments: [String; 4],
    folder: TempDir,
}

/// What an engine published.
#[derive(Debug, PartialEq)]
pub(super) struct Published {
    /// Events a second, from its first acknowledged batch to the last, and of the second half.
    pub(super) rate: f64,
    pub(super) warm_rate: f64,
    /// Seconds from its start to the first.
    pub(super) first_after: f64,
    /// Megabytes at their peak.
    pub(super) memory: f64,
    /// Seconds of processor time.
    pub(super) processor: f64,
}

/// What the script prints.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    Acknowledged { events: u64, at: f64 },
    Ended { memory: f64, processor: f64 },
}

impl Debezium {
    /// One that goes on at the end of the binary log.
    pub(super) async fn at_the_end(
        home: &Home,
        pipeline: &Pipeline,
        writer: &mut MySqlConnection,
    ) -> anyhow::Result<Debezium> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let url: Url = pipeline.url("root", "orders").parse().context("the URL is ours")?;
        let debezium = Debezium {
            program: home.program("debezium-python")?,
            script: home.root().join("crates/bench/peer/debezium_peer.py"),
            arguments: [
                url.port().context("the URL has a port")?.to_string(),
                url.password().unwrap_or_default().to_owned(),
                pipeline.nats.url(),
                folder.path().display().to_string(),
            ],
            folder,
        };
        let mut process = debezium.launch("prepare", 1)?;
        let ended = async {
            loop {
                mark(writer).await?;
                if let Ok(status) = timeout(MARKED_EVERY, process.wait()).await {
                    return anyhow::Ok(status?);
                }
            }
        };
        let status = timeout(READY_WITHIN, ended).await.context("Debezium does not read the binary log")??;
        if !status.success() {
            bail!("Debezium did not start: {}", process.last_words());
        }
        Ok(debezium)
    }

    /// Publishes so many events that were appended since.
    pub(super) async fn publish(self, events: u64) -> anyhow::Result<Published> {
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("it is after 1970")?;
        let mut process = self.launch("drain", events)?;
        let status = timeout(PUBLISHED_WITHIN, process.wait()).await.context("Debezium takes too long")??;
        if !status.success() {
            bail!("Debezium failed: {}", process.last_words());
        }
        let log = fs::read_to_string(self.log("drain")).context("cannot read what Debezium said")?;
        Published::read(&log, started.as_secs_f64()).context("Debezium did not say what it published")
    }

    fn launch(&self, mode: &str, events: u64) -> anyhow::Result<Process> {
        let launch = Launch::new("debezium", &self.program).arg(&self.script).arg(mode).args(&self.arguments);
        launch.arg(events.to_string()).output(Output::File(self.log(mode))).spawn()
    }

    fn log(&self, mode: &str) -> PathBuf {
        self.folder.path().join(format!("{mode}.log"))
    }
}

/// An event that is no order's.
async fn mark(writer: &mut MySqlConnection) -> sqlx::Result<()> {
    let mark = "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
                VALUES ('marker', ?, 1, 'marked', 'order.marked', '{}')";
    sqlx::query(mark).bind(Uuid::now_v7().to_string()).execute(writer).await.map(drop)
}

impl Published {
    fn read(log: &str, started: f64) -> Option<Published> {
        let said: Vec<Said> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let acknowledged: Vec<(f64, f64)> = said
            .iter()
            .filter_map(|said| match said {
                Said::Acknowledged { events, at } => Some((*events as f64, *at)),
                Said::Ended { .. } => None,
            })
            .collect();
        let (first, last) = (acknowledged.first()?, acknowledged.last()?);
        let half = acknowledged.iter().find(|(events, _)| *events >= last.0 / 2.0)?;
        let rate = |from: &(f64, f64)| (last.0 - from.0) / (last.1 - from.1);
        let Some(Said::Ended { memory, processor }) = said.last() else { return None };
        let (rate, warm_rate, first_after) = (rate(first), rate(half), first.1 - started);
        Some(Published { rate, warm_rate, first_after, memory: *memory, processor: *processor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_half_begins_when_half_of_the_events_are_acknowledged() {
        let log = r#"WARN something
{"events": 100, "at": 1003.0}
{"events": 400, "at": 1006.0}
{"events": 600, "at": 1008.0}
{"events": 1000, "at": 1009.0}
{"memory": 887.0, "processor": 31.5}
"#;
        let (rate, warm_rate, first_after) = (150.0, 400.0, 3.0);
        let expected = Published { rate, warm_rate, first_after, memory: 887.0, processor: 31.5 };
        assert_eq!(Published::read(log, 1000.0), Some(expected));
        assert_eq!(Published::read("Traceback\n", 1000.0), None);
    }
}
