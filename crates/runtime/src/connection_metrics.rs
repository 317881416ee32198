//! What every service says of its build and of its connections to the database and to NATS, read when /metrics is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Client;
use async_nats::connection::State;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use crate::mysql::Pool;

/// Registers `build_info`, `database_up`, `database_login_refused` and `database_pool_connections`.
///
/// # Errors
/// If one is registered already.
pub fn register(registry: &Registry, pool: &Pool) -> prometheus::Result<()> {
    let build = IntGaugeVec::new(Opts::new("build_info", "1; the version is the label's value."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(Database::new(pool.clone())?))
}

/// Registers `nats_up`, `nats_login_refused` and `nats_connects_total`.
pub(crate) fn register_nats(
    registry: &Registry,
    client: &Client,
    is_refused: Arc<AtomicBool>,
) -> prometheus::Result<()> {
    registry.register(Box::new(Nats::new(client.clone(), is_refused)?))
}

struct Database {
    pool: Pool,
    up: IntGauge,
    refused: IntGauge,
    connections: IntGaugeVec,
}

impl Database {
    fn new(pool: Pool) -> prometheus::Result<Self> {
        let up = "0 if the database could not be reached when a connection to it was last wanted, else 1.";
        let refused = "1 while the database refuses our login, which it took before.";
        let connections = "Connections of the pool: in use, idle, and the most that it opens (max).";
        Ok(Self {
            pool,
            up: IntGauge::new("database_up", up)?,
            refused: IntGauge::new("database_login_refused", refused)?,
            connections: IntGaugeVec::new(Opts::new("database_pool_connections", connections), &["state"])?,
        })
    }
}

impl Collector for Database {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.refused.desc(), self.connections.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.up.set(self.pool.is_up().into());
        self.refused.set(self.pool.is_refused().into());
        let status = self.pool.status();
        let used = status.size - status.available;
        let states = [("used", used), ("idle", status.available), ("max", status.max_size)];
        for (state, number) in states {
            self.connections.with_label_values(&[state]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        [self.up.collect(), self.refused.collect(), self.connections.collect()].concat()
    }
}

struct Nats {
    client: Client,
    is_refused: Arc<AtomicBool>,
    up: IntGauge,
    refused: IntGauge,
    connects: IntCounter,
}

impl Nats {
    fn new(client: Client, is_refused: Arc<AtomicBool>) -> prometheus::Result<Self> {
        let up = "1 while the connection to NATS is open; the relay publishes by another one, which it opens with its lease.";
        let refused = "1 while NATS refuses our login; the relay publishes by another connection.";
        let connects = "Connections to NATS that were opened, one after another.";
        Ok(Self {
            client,
            is_refused,
            up: IntGauge::new("nats_up", up)?,
            refused: IntGauge::new("nats_login_refused", refused)?,
            connects: IntCounter::new("nats_connects_total", connects)?,
        })
    }
}

impl Collector for Nats {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.refused.desc(), self.connects.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.up.set((self.client.connection_state() == State::Connected).into());
        self.refused.set(self.is_refused.load(Ordering::Relaxed).into());
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        self.connects.inc_by(connects.saturating_sub(self.connects.get()));
        [self.up.collect(), self.refused.collect(), self.connects.collect()].concat()
    }
}
