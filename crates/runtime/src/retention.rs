//! Retention: what is old is deleted on a timer, in steps that are bounded and have pauses between them, so that it never stands
//! in the way of work.
//!
//! Every replica does it; that two meet is harmless. A fault is logged, and the next time goes on. The outbox has a walk of its
//! own, because what it deletes has to be proven.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::telemetry::chain;

/// Rows of one step: a few milliseconds of work, and of locks.
pub const ROWS_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(50);
/// Between two times.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Purges each minute until the stop; `purge` says how many rows went.
pub async fn keep_up<F>(what: &'static str, shutdown: &CancellationToken, mut purge: impl FnMut() -> F)
where
    F: Future<Output = sqlx::Result<u64>>,
{
    let mut period = tokio::time::interval(PERIOD);
    while shutdown.run_until_cancelled(period.tick()).await.is_some() {
        match purge().await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(what, rows, "old rows purged"),
            Err(error) => tracing::warn!(what, error = chain(&error), "purging failed, trying again later"),
        }
    }
}

/// Deletes step by step until one finds fewer rows than it may take, or the stop; how many rows went. A step is told how many it
/// may take.
///
/// # Errors
/// Those of a step.
pub async fn in_steps<F>(shutdown: &CancellationToken, mut step: impl FnMut(u32) -> F) -> sqlx::Result<u64>
where
    F: Future<Output = sqlx::Result<u64>>,
{
    let mut purged = 0;
    while !shutdown.is_cancelled() {
        let rows = step(ROWS_MAX).await?;
        purged += rows;
        if rows < u64::from(ROWS_MAX) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(purged)
}
