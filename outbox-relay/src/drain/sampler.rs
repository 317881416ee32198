//! Samples the outbox, the lease and the proof of the stream for the gauges, by indexed and bounded queries, on a timer.
//!
//! Each relay does, active or not: gauges that only the active one set would read healthy when there is none. The time of the
//! sample stands beside them, so that one whose database is away can be told from one that has nothing to say.

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, IntGauge, Registry, register_gauge_with_registry as gauge,
    register_int_gauge_with_registry as int_gauge,
};
use runtime::counters;
use runtime::mysql::Pool;
use runtime::telemetry::chain;
use runtime::time;
use schema::names::OUTBOX_LEASE;
use tokio_util::sync::CancellationToken;

use crate::heal::LossMetrics;
use crate::store::lease::{self, LeaseRow};
use crate::store::outbox_count::{self, State};
use crate::store::relay_stream;

/// How old a gauge may be.
const INTERVAL: Duration = Duration::from_secs(5);

/// Samples the tables.
#[derive(Debug)]
pub struct Sampler {
    pool: Pool,
    losses: LossMetrics,
    events: GaugeVec,
    oldest: GaugeVec,
    waiting: IntGauge,
    lease_taken: IntGauge,
    lease_epoch: Gauge,
    lease_outage: IntGauge,
    sampled_at: Gauge,
}

impl Sampler {
    /// Registers the gauges.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry, pool: Pool, losses: LossMetrics) -> prometheus::Result<Self> {
        let by_state =
            |name, help| counters::register_gauges(registry, name, help, "state", &State::ALL.map(State::as_str));
        Ok(Self {
            pool,
            losses,
            events: by_state(
                "outbox_events",
                "Events in the outbox by state; above 10000 an estimate. Sampled by every relay: take the highest.",
            )?,
            oldest: by_state(
                "outbox_oldest_age_seconds",
                "Seconds since the oldest event of a state was inserted, pending ones that wait for their next attempt left \
                 out; 0 if there is none. Sampled by every relay: take the highest.",
            )?,
            waiting: int_gauge!(
                "outbox_waiting_events",
                "Events that wait for their next attempt or for a limit; 10000: that many or more. Sampled by every relay: take the \
                 highest.",
                registry
            )?,
            lease_taken: int_gauge!(
                "relay_lease_taken",
                "1 while some relay holds the lease and renews it in time, by the database clock. Sampled by every relay.",
                registry
            )?,
            lease_epoch: gauge!(
                "relay_lease_epoch",
                "How often a relay took the lease, which makes it the active one. Sampled by every relay.",
                registry
            )?,
            lease_outage: int_gauge!(
                "relay_lease_outage",
                "1 while the holder of the lease says that the broker takes no events. Sampled by every relay.",
                registry
            )?,
            sampled_at: gauge!(
                "outbox_sampled_timestamp_seconds",
                "Unix time at which this relay last sampled all that it samples; 0 before it did. Every 5 seconds, unless the \
                 database is away.",
                registry
            )?,
        })
    }

    /// Samples until shutdown.
    ///
    /// # Errors
    /// Never; a failed sample is logged, and the gauges keep their values and their time.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut timer = tokio::time::interval(INTERVAL);
        while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
            match self.sample().await {
                Ok(()) => self.sampled_at.set(time::unix_seconds()),
                Err(error) => tracing::warn!(error = chain(&error), "can't sample the outbox"),
            }
        }
        Ok(())
    }

    async fn sample(&self) -> sqlx::Result<()> {
        let Self { pool, .. } = self;
        for state in State::ALL {
            let count = outbox_count::count(pool, state).await?;
            self.events.with_label_values(&[state.as_str()]).set(count.events as f64);
            self.oldest.with_label_values(&[state.as_str()]).set(count.oldest_seconds.unwrap_or(0.0));
        }
        self.waiting.set(outbox_count::waiting(pool).await?);
        let lease = lease::read(pool, OUTBOX_LEASE).await?.ok_or(sqlx::Error::RowNotFound)?;
        self.sample_lease(&lease);
        self.losses.sample(&relay_stream::read(pool).await?);
        Ok(())
    }

    fn sample_lease(&self, LeaseRow { holder, epoch, is_alive, outage, .. }: &LeaseRow) {
        self.lease_taken.set((holder.is_some() && *is_alive).into());
        self.lease_epoch.set(*epoch as f64);
        self.lease_outage.set(outage.is_some().into());
    }
}
