//! The servers of one figure, with nothing in them, and the relay between them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Connection, MySqlPool};
use stack::home::Home;
use stack::port::Port;
use stack::process::{Launch, Output, Process};
use stack::server::{MySql, Nats, NatsOptions};
use stack::{Engine, account};
use tokio::time::{Instant, sleep};

use super::outbox;
use crate::command::cargo::Metadata;
use crate::command::scratch::Scratch;

const PASSWORD: &str = "bench";
/// No drain takes longer.
const DRAIN_WITHIN: Duration = Duration::from_secs(1800);
const STEP: Duration = Duration::from_millis(5);

/// The servers. Dropped with everything in them.
pub(super) struct Rig {
    database: MySql,
    nats: Nats,
    pool: MySqlPool,
    relay: PathBuf,
    scratch: Scratch,
    ports: [Port; 4],
}

impl Rig {
    /// Starts them; `sync_always` has the broker sync before each PubAck.
    pub(super) async fn start(home: &Home, engine: Engine, sync_always: bool) -> anyhow::Result<Rig> {
        let scratch = Scratch::new(home)?;
        let ports = [Port::reserve(), Port::reserve(), Port::reserve(), Port::reserve()];
        let database = MySql::start_from_template(home, engine, scratch.path(), ports[0].number()).await?;
        let options = NatsOptions {
            data: scratch.path().join("nats"),
            port: ports[1].number(),
            monitor_port: ports[2].number(),
            sync_always,
            output: Output::File(scratch.path().join("nats.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let nats = Nats::start(home, options).await?;
        let definition = &schema::database::ORDERS;
        let mut admin = account::connect(&database.admin_url("")).await?;
        account::create_database(&mut admin, definition.name).await?;
        admin.close().await?;
        let url = database.admin_url(definition.name);
        let mut connection = account::connect(&url).await?;
        account::migrate(&mut connection, definition).await?;
        account::grant(&mut connection, definition, |_| PASSWORD.to_owned()).await?;
        connection.close().await?;
        let pool = MySqlPoolOptions::new().max_connections(4).connect(&url).await?;
        let relay = Metadata::read(home).await?.release_binaries().join("outbox-relay");
        Ok(Rig { database, nats, pool, relay, scratch, ports })
    }

    /// The outbox, as the administrator.
    pub(super) fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    pub(super) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// Starts the relay with least privileges; `path` is its PUBLISH_PATH.
    pub(super) fn start_relay(&self, path: &str) -> anyhow::Result<Process> {
        let url = self.database.url("outbox_relay", PASSWORD, schema::database::ORDERS.name);
        Launch::new("outbox-relay", &self.relay)
            .arg("run")
            .env("DATABASE_URL", url)
            .env("NATS_URL", self.nats.url())
            .env("ADMIN_ADDR", format!("127.0.0.1:{}", self.ports[3].number()))
            .env("PUBLISH_PATH", path)
            .output(Output::File(self.scratch.path().join("relay.log")))
            .on_launcher_death(Signal::SIGKILL)
            .spawn()
    }

    /// Has the relay drain what is pending; events per second from the first settled one to the last.
    pub(super) async fn drain(&mut self, path: &str) -> anyhow::Result<f64> {
        let first = outbox::oldest_pending(&self.pool).await?.context("nothing is pending")?;
        let pending = outbox::count_pending(&self.pool).await?;
        let mut relay = self.start_relay(path)?;
        let deadline = Instant::now() + DRAIN_WITHIN;
        let mut started = None;
        let begin = loop {
            // Until the first batch is settled the clock starts anew: what the process takes to start is not counted.
            if outbox::oldest_pending(&self.pool).await? != Some(first) {
                break started.context("the relay was too quick to be measured")?;
            }
            started = Some(Instant::now());
            if Instant::now() > deadline {
                bail!("the relay published nothing: {}", relay.last_words());
            }
            sleep(STEP).await;
        };
        while outbox::oldest_pending(&self.pool).await?.is_some() {
            if Instant::now() > deadline {
                bail!("the relay is not done: {}", relay.last_words());
            }
            sleep(STEP).await;
        }
        let rate = pending as f64 / begin.elapsed().as_secs_f64();
        eprintln!("drained {pending} events, {}", memory(&relay));
        relay.stop(Duration::from_secs(20)).await.context("cannot stop the relay")?;
        Ok(rate)
    }
}

/// The most memory that a process has held.
fn memory(process: &Process) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    peak.split_whitespace().collect::<Vec<_>>().join(" ")
}
