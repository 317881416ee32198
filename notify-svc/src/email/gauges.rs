//! Samples the email queue for the gauges, by indexed and bounded queries.

use super::sender::Queue;
use crate::notification::EmailState;
use crate::store::email_count;

/// Samples now.
///
/// # Errors
/// Any fault of the database; the gauges then keep what they say, and the time of that.
pub(super) async fn sample(queue: &Queue) -> sqlx::Result<()> {
    let pending = email_count::count(&queue.pool, EmailState::Pending).await?;
    let oldest = email_count::oldest_pending_seconds(&queue.pool).await?;
    let dead = email_count::count_undecided(&queue.pool).await?;
    queue.metrics.email_queue(pending, oldest.unwrap_or_default(), dead);
    Ok(())
}
