//! Deletes idempotency keys that expired.
//!
//! A key that is still there after its time counts as free all the same, so nothing depends on when this runs. Test
//! `expired_keys_are_purged_in_bounded_batches`.

use runtime::mysql::Pool;
use runtime::retention;
use tokio_util::sync::CancellationToken;

use crate::store::idempotency_keys;

/// Keys of one DELETE.
pub const BATCH_MAX: u32 = retention::ROWS_MAX;

/// Purges now and then until `shutdown`.
///
/// # Errors
/// None: faults are logged, for requests report a faulty database, and the purge has time.
pub async fn run(pool: Pool, shutdown: CancellationToken) -> anyhow::Result<()> {
    let step = |keys_max| idempotency_keys::purge(&pool, keys_max);
    retention::keep_up("idempotency keys", &shutdown, || retention::in_steps(&shutdown, step)).await;
    Ok(())
}
