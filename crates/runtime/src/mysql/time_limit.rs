//! How long the database may take.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::timeout;

/// A transient error if time runs out.
pub(super) async fn in_time<T>(
    time_max: Duration,
    statement: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(std::io::Error::new(ErrorKind::TimedOut, "the database did not answer in time"));
    timeout(time_max, statement).await.map_err(late)?
}
