//! The wake hint: tells the relay that the outbox has something, so that it need not wait for its next poll.
//!
//! Guarantees nothing, and holds nobody up: the hint is dropped when NATS is away or busy, nothing is queued for later,
//! and no request waits for it. Test `orders_are_accepted_while_nats_is_away`. The only file that knows NATS.

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use futures::FutureExt;
use runtime::nats::NatsConfig;
use schema::names;

/// Sends hints.
#[derive(Clone, Debug)]
pub struct Wake {
    client: Client,
}

/// What became of a hint, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Handed to the connection.
    Sent,
    /// Not: the relay will find the event when it polls.
    Dropped,
}

impl Hint {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Dropped];

    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

impl Wake {
    /// Connects in the background, for ever.
    ///
    /// # Errors
    /// If an address can't be parsed.
    pub async fn connect(config: &NatsConfig) -> anyhow::Result<Self> {
        Ok(Self { client: runtime::nats::connect("order-svc", config).await? })
    }

    /// Sends a hint, or drops it rather than wait.
    pub fn hint(&self) -> Hint {
        if self.client.connection_state() != State::Connected {
            return Hint::Dropped;
        }
        // The future hands the message to the connection's bounded channel. Polled once: a full channel means that
        // NATS has hints enough.
        let sent = self.client.publish(names::ORDERS_WAKE_SUBJECT, Bytes::new()).now_or_never();
        if matches!(sent, Some(Ok(()))) { Hint::Sent } else { Hint::Dropped }
    }
}
