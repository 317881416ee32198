//! Samples the outbox and the proof of the stream for the gauges, by indexed queries, on a timer, in the active relay only.

use std::time::Duration;

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::heal::LossMetrics;
use crate::lease::Activity;
use crate::metrics::Metrics;
use crate::store::outbox_count::{self, State, StateCount};
use crate::store::relay_stream::{self, StreamRow};

/// How old a gauge may be.
const INTERVAL: Duration = Duration::from_secs(5);

/// Samples until shutdown. A standby reports 0, so that the sum over all relays is right.
///
/// # Errors
/// Never; a failed sample is logged and the gauge keeps its value.
pub async fn run(
    pool: Pool,
    activity: Activity,
    metrics: Metrics,
    losses: LossMetrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut timer = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
        for state in State::ALL {
            if !activity.is_active() {
                metrics.sample(state, &StateCount { events: 0, oldest_seconds: None });
                continue;
            }
            match outbox_count::count(&pool, state).await {
                Ok(count) => metrics.sample(state, &count),
                Err(error) => tracing::warn!(error = chain(&error), "can't sample the outbox"),
            }
        }
        let waiting = if activity.is_active() { outbox_count::waiting(&pool).await } else { Ok(0) };
        match waiting {
            Ok(events) => metrics.sample_waiting(events),
            Err(error) => tracing::warn!(error = chain(&error), "can't sample the outbox"),
        }
        match activity.is_active() {
            true => match relay_stream::look(&pool).await {
                Ok(row) => losses.sample(&row),
                Err(error) => tracing::warn!(error = chain(&error), "can't sample relay_stream"),
            },
            false => losses.sample(&StreamRow::default()),
        }
    }
    Ok(())
}
