//! The wake hint: tells the relay that the outbox has something, so that it need not wait for its next poll.
//!
//! Guarantees nothing, and holds nobody up: no request waits for it, and it is dropped when NATS is away. Commits that
//! come faster than `GAP` share a hint, and one follows the last of them, also in a stop: the relay reads all there is anyhow,
//! and a message for each commit would cost NATS and us more than the request's own answer. Tests
//! `orders_are_accepted_while_nats_is_away`, `an_order_that_is_committed_in_a_stop_still_wakes_the_relay`. The only file
//! that knows NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use futures::FutureExt;
use prometheus::Registry;
use runtime::nats::NatsConfig;
use runtime::readiness::Readiness;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Hint, Metrics};

/// At least this long from one hint to the next. The relay is not ready for another much sooner, and at full load each
/// costs NATS and us what could be requests.
const GAP: Duration = Duration::from_millis(5);

/// A stop waits so long for the last hint to be written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Asks for hints. Clones ask the same [`run`].
#[derive(Clone, Debug)]
pub struct Wake {
    asked: Arc<Notify>,
    metrics: Metrics,
}

impl Wake {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { asked: Arc::default(), metrics }
    }

    /// Something was committed.
    pub(crate) fn hint(&self) {
        self.asked.notify_one();
    }
}

/// Connects in the background, for ever; `/metrics` tells how the connection is, and the service is not ready if NATS never took its
/// login. `name` is the service's.
///
/// # Errors
/// If an address can't be parsed, or there is such a connection already.
pub async fn connect(name: &'static str, config: &NatsConfig, told: (&Readiness, &Registry)) -> anyhow::Result<Client> {
    runtime::nats::connect_serving(name, config, told).await
}

/// Sends the hints that are asked for to the relay's `subject`, until nobody is `served` any more; then the last one, if it
/// is owed.
///
/// # Errors
/// Never; the signature is a part's.
pub async fn run(client: Client, subject: &'static str, wake: Wake, served: CancellationToken) -> anyhow::Result<()> {
    while served.run_until_cancelled(wake.asked.notified()).await.is_some() {
        wake.metrics.wake_hint(hint(&client, subject));
        tokio::time::sleep(GAP).await;
    }
    if wake.asked.notified().now_or_never().is_some() {
        wake.metrics.wake_hint(hint(&client, subject));
    }
    // What is handed to the connection is written by a task of its own, which ends with the process.
    if client.connection_state() == State::Connected
        && !matches!(timeout(FLUSH_TIME_MAX, client.flush()).await, Ok(Ok(())))
    {
        tracing::debug!("the last wake hint may be lost; the relay polls");
    }
    Ok(())
}

/// Sends a hint, or drops it rather than wait.
fn hint(client: &Client, subject: &'static str) -> Hint {
    if client.connection_state() != State::Connected {
        return Hint::Dropped;
    }
    // The future hands the message to the connection's bounded channel. Polled once: a full channel means that NATS has
    // hints enough.
    let sent = client.publish(subject, Bytes::new()).now_or_never();
    if matches!(sent, Some(Ok(()))) { Hint::Sent } else { Hint::Dropped }
}
