//! How much of a connection pool is in use, read when /metrics is asked.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use crate::mysql::Pool;

/// `database_pool_connections` by state, and the most there may be.
#[derive(Debug)]
pub struct PoolMetrics {
    pool: Pool,
    connections: IntGaugeVec,
}

impl PoolMetrics {
    /// Of this pool; register it once.
    ///
    /// # Errors
    /// Never for these names; the signature is prometheus's.
    pub fn new(pool: Pool) -> prometheus::Result<Self> {
        let help = "Connections of the pool: in use, idle, and the most that it opens (max).";
        let connections = IntGaugeVec::new(Opts::new("database_pool_connections", help), &["state"])?;
        Ok(Self { pool, connections })
    }
}

impl Collector for PoolMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.connections.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.pool.status();
        let used = status.size - status.available;
        let states = [("used", used), ("idle", status.available), ("max", status.max_size)];
        for (state, number) in states {
            self.connections.with_label_values(&[state]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        self.connections.collect()
    }
}
