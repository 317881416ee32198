//! The metrics of the loss detector. Labels come from closed sets and are all there at 0 from the start.

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, Registry, register_gauge_with_registry as gauge,
    register_int_counter_with_registry as counter, register_int_gauge_with_registry as int_gauge,
};
use runtime::counters;

use super::sign::Sign;
use crate::store::relay_stream::StreamRow;

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct LossMetrics {
    checks: IntCounterVec,
    losses: IntCounterVec,
    healed: IntCounter,
    proven: IntGauge,
    proven_age: Gauge,
    unread_dropped: IntGauge,
}

impl LossMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let signs = Sign::ALL.map(Sign::as_str);
        let by_sign = |name, help| counters::register(registry, name, help, "sign", &signs);
        Ok(Self {
            checks: by_sign(
                "relay_deep_checks_total",
                "Comparisons of the outbox with the stream, by the sign that led to them.",
            )?,
            losses: by_sign(
                "relay_losses_total",
                "Losses of the broker that were found, by the sign that led to the comparison.",
            )?,
            healed: counter!(
                "relay_healed_events_total",
                "Events that the broker had acknowledged and lost, made pending again.",
                registry
            )?,
            proven: int_gauge!(
                "stream_proven_sequence",
                "Messages up to this sequence of the stream are proven: they were still there PROOF_HORIZON after they were \
                 stored, by when the broker has synced them to disk. Sampled by every relay: take the highest.",
                registry
            )?,
            proven_age: gauge!(
                "stream_proven_age_seconds",
                "How old the last proof is: all that the stream held so many seconds ago is proven. Before the first proof, \
                 seconds since a relay first checked the stream. Sampled by every relay: take the highest.",
                registry
            )?,
            unread_dropped: int_gauge!(
                "stream_unread_dropped_messages",
                "About how many messages the limits of the stream dropped before every durable consumer had them. Above 0 \
                 nothing more is proven or purged, until the limits are changed and what they dropped is published again. \
                 Sampled by every relay: take the highest.",
                registry
            )?,
        })
    }

    /// A deep check began.
    pub fn checked(&self, sign: Sign) {
        self.checks.with_label_values(&[sign.as_str()]).inc();
    }

    /// A deep check found a loss.
    pub fn healed(&self, sign: Sign, events: u64) {
        self.losses.with_label_values(&[sign.as_str()]).inc();
        self.healed.inc_by(events);
    }

    /// A sample of the table.
    pub fn sample(&self, row: &StreamRow) {
        self.proven.set(row.proven_seq.as_i64());
        self.proven_age.set(row.proven_seconds.unwrap_or(0.0));
        self.unread_dropped.set(i64::try_from(row.unread_dropped).unwrap_or(i64::MAX));
    }
}
