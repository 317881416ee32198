//! Waiting until something serves.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout};

/// Waits until `probe` says that what has this name serves.
///
/// # Errors
/// If it does not within `limit`, or the probe gives up: one line that says why.
pub async fn until_ready(name: &str, limit: Duration, probe: impl AsyncFn() -> Probe) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let reason = match timeout(Duration::from_secs(5), probe()).await {
            Ok(Probe::Ready) => return Ok(()),
            Ok(Probe::NotYet(reason)) => reason,
            Ok(Probe::Never(reason)) => bail!("{name} can't be used: {reason}"),
            Err(_) => "it did not answer within 5 s".to_owned(),
        };
        if Instant::now() >= deadline {
            bail!("{name} was not ready within {} s: {reason}", limit.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What asking a starting server gave.
#[derive(Debug)]
pub enum Probe {
    /// It serves.
    Ready,
    /// It does not serve yet, with the reason.
    NotYet(String),
    /// Asking again is of no use, with the reason.
    Never(String),
}
