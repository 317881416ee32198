//! How much of a connection pool is in use, read when /metrics is asked.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};
use sqlx::MySqlPool;

/// `database_pool_connections` by state, and the most there may be.
#[derive(Debug)]
pub struct PoolMetrics {
    pool: MySqlPool,
    connections: IntGaugeVec,
}

impl PoolMetrics {
    /// Of this pool; register it once.
    ///
    /// # Errors
    /// Never for these names; the signature is prometheus's.
    pub fn new(pool: MySqlPool) -> prometheus::Result<Self> {
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
        // The two are read one after the other: never report a negative number of connections in use.
        let (size, idle) = (self.pool.size(), u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX));
        let states =
            [("used", size.saturating_sub(idle)), ("idle", idle), ("max", self.pool.options().get_max_connections())];
        for (state, number) in states {
            self.connections.with_label_values(&[state]).set(i64::from(number));
        }
        self.connections.collect()
    }
}
