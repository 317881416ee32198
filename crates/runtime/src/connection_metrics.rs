//! What every service says of its build and of its connections to the database and to NATS, read when /metrics is asked.

use std::sync::atomic::Ordering;

use async_nats::Client;
use async_nats::connection::State;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use crate::mysql::Pool;

/// Registers `build_info`, `database_up`, `database_pool_connections`, `nats_up` and `nats_connects_total`.
///
/// # Errors
/// If one is registered already.
pub fn register(registry: &Registry, pool: &Pool, nats: &Client) -> prometheus::Result<()> {
    let build = IntGaugeVec::new(Opts::new("build_info", "1; the version is the label's value."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(Database::new(pool.clone())?))?;
    registry.register(Box::new(Nats::new(nats.clone())?))
}

struct Database {
    pool: Pool,
    up: IntGauge,
    connections: IntGaugeVec,
}

impl Database {
    fn new(pool: Pool) -> prometheus::Result<Self> {
        let up = "0 if the database could not be reached when a connection to it was last wanted, else 1.";
        let connections = "Connections of the pool: in use, idle, and the most that it opens (max).";
        Ok(Self {
            pool,
            up: IntGauge::new("database_up", up)?,
            connections: IntGaugeVec::new(Opts::new("database_pool_connections", connections), &["state"])?,
        })
    }
}

impl Collector for Database {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.connections.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.up.set(self.pool.is_up().into());
        let status = self.pool.status();
        let used = status.size - status.available;
        let states = [("used", used), ("idle", status.available), ("max", status.max_size)];
        for (state, number) in states {
            self.connections.with_label_values(&[state]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        [self.up.collect(), self.connections.collect()].concat()
    }
}

struct Nats {
    client: Client,
    up: IntGauge,
    connects: IntCounter,
}

impl Nats {
    fn new(client: Client) -> prometheus::Result<Self> {
        let up = "1 while the connection to NATS is open; the relay publishes by another one, which it opens with its lease.";
        let connects = "Connections to NATS that were opened, one after another.";
        Ok(Self {
            client,
            up: IntGauge::new("nats_up", up)?,
            connects: IntCounter::new("nats_connects_total", connects)?,
        })
    }
}

impl Collector for Nats {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.connects.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.up.set((self.client.connection_state() == State::Connected).into());
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        self.connects.inc_by(connects.saturating_sub(self.connects.get()));
        [self.up.collect(), self.connects.collect()].concat()
    }
}
