//! Deletes idempotency keys that expired, in bounded batches with pauses, so that it never stands in the way of orders.
//!
//! Every replica does it; that two meet is harmless. A key that is still there after its time counts as free all the
//! same, so nothing depends on when this runs. Test `expired_keys_are_purged_in_bounded_batches`.

use std::time::Duration;

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::store::idempotency_keys;

/// Keys of one DELETE: a few milliseconds of work, and of locks.
pub const BATCH_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(60);

/// Purges now and then until `shutdown`.
///
/// # Errors
/// None: faults are logged.
pub async fn run(pool: Pool, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        let pause = match idempotency_keys::purge(&pool, BATCH_MAX).await {
            Ok(purged) if purged == u64::from(BATCH_MAX) => PAUSE,
            Ok(_) => INTERVAL,
            // Requests report a faulty database, and the purge has time: no reason to end the process.
            Err(error) => {
                tracing::warn!(error = chain(&error), "purging idempotency keys failed, trying again later");
                INTERVAL
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
