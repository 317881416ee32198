//! Waiting for something to become true.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `holds` says true, for at most 20 seconds, also when it never answers.
///
/// # Panics
/// Naming `what`, when time has run out.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// As [`eventually`], with another limit.
///
/// # Panics
/// Naming `what`, when time has run out.
pub async fn eventually_within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    loop {
        match timeout_at(deadline, holds()).await {
            Ok(true) => return,
            Ok(false) if Instant::now() < deadline => sleep(PAUSE).await,
            _ => panic!("not within {limit:?}: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::eventually_within;

    #[tokio::test]
    #[should_panic(expected = "not within 1ms: an answer")]
    async fn a_predicate_that_hangs_is_given_up() {
        eventually_within(Duration::from_millis(1), "an answer", async || pending().await).await;
    }

    #[tokio::test]
    #[should_panic(expected = "not within 1ms: the moon")]
    async fn a_predicate_that_never_holds_is_given_up() {
        eventually_within(Duration::from_millis(1), "the moon", async || false).await;
    }
}
