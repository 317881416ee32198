//! The wake hint: tells the relay that the outbox has something, so that it need not wait for its next poll.
//!
//! Guarantees nothing, and holds nobody up: no request waits for it, and it is dropped when NATS is away. Commits that
//! come faster than `GAP` share a hint, and one follows the last of them, also in a stop: the relay reads all there is anyhow,
//! and a message for each order would cost NATS and us more than the order's own HTTP answer. Tests
//! `orders_are_accepted_while_nats_is_away`, `an_order_that_is_committed_in_a_stop_still_wakes_the_relay`. The only file
//! that knows NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use futures::FutureExt;
use runtime::nats::NatsConfig;
use schema::names;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Hint, Metrics};

/// At least this long from one hint to the next. The relay is not ready for another much sooner, and at full load each
/// costs NATS and us what could be orders.
const GAP: Duration = Duration::from_millis(5);

/// A stop waits so long for the last hint to be written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Asks for hints. Clones ask the same [`run`].
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Something was committed.
    pub fn hint(&self) {
        self.0.notify_one();
    }
}

/// Connects in the background, for ever.
///
/// # Errors
/// If an address can't be parsed.
pub async fn connect(config: &NatsConfig) -> anyhow::Result<Client> {
    runtime::nats::connect("order-svc", config).await
}

/// Sends the hints that are asked for, until nobody is `served` any more; then the last one, if it is owed.
///
/// # Errors
/// Never; the signature is a part's.
pub async fn run(client: Client, wake: Wake, metrics: Metrics, served: CancellationToken) -> anyhow::Result<()> {
    while served.run_until_cancelled(wake.0.notified()).await.is_some() {
        metrics.wake_hint(hint(&client));
        tokio::time::sleep(GAP).await;
    }
    if wake.0.notified().now_or_never().is_some() {
        metrics.wake_hint(hint(&client));
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
fn hint(client: &Client) -> Hint {
    if client.connection_state() != State::Connected {
        return Hint::Dropped;
    }
    // The future hands the message to the connection's bounded channel. Polled once: a full channel means that NATS has
    // hints enough.
    let sent = client.publish(names::ORDERS_WAKE_SUBJECT, Bytes::new()).now_or_never();
    if matches!(sent, Some(Ok(()))) { Hint::Sent } else { Hint::Dropped }
}
