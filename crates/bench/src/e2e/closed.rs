//! The closed loop: whoever was notified lets in the next order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::Subscriber;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use schema::names;
use stack::pipeline::Pipeline;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::load::Client;

/// A notification that takes longer than a second is late however much longer it takes.
const LATE: Duration = Duration::from_secs(1);

/// Lets in orders.
pub(super) struct Loop {
    window: Arc<Semaphore>,
    acknowledgements: Subscriber,
}

/// What happened.
pub(super) struct Done {
    /// When counting began, after the warm-up.
    pub(super) began: DateTime<Utc>,
    /// When the last orders were let in.
    pub(super) ended: DateTime<Utc>,
    /// When each event's notification was committed, by its place in the stream.
    pub(super) notified: HashMap<u64, DateTime<Utc>>,
}

impl Loop {
    pub(super) async fn new(pipeline: &Pipeline, window: u16) -> anyhow::Result<Loop> {
        let client = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
        let client = client.connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
        let subject = format!("$JS.ACK.{}.{}.>", names::STREAM, names::NOTIFY_DURABLE);
        let acknowledgements = client.subscribe(subject).await?;
        client.flush().await?; // the broker knows of it before the first order
        Ok(Loop { window: Arc::new(Semaphore::new(window.into())), acknowledgements })
    }

    /// Has clients place orders for so long, of which a sixth warms up.
    pub(super) async fn run(self, address: &str, clients: u16, seconds: Duration) -> anyhow::Result<Done> {
        let (stop, stopped) = oneshot::channel();
        let listening = tokio::spawn(listen(self.acknowledgements, Arc::clone(&self.window), stopped));
        let clients = Client::connect_all(address, clients.into()).await?;
        let (start, until) = (Utc::now(), Instant::now() + seconds);
        let placing = clients.into_iter().map(|client| place_until(client, &self.window, until));
        futures::future::try_join_all(placing).await?;
        let ended = Utc::now();
        sleep(2 * LATE).await;
        drop(stop);
        Ok(Done { began: start + seconds / 6, ended, notified: listening.await? })
    }
}

async fn place_until(mut client: Client, window: &Semaphore, until: Instant) -> anyhow::Result<()> {
    while Instant::now() < until {
        // Let in by a notification, which gives the place back.
        let Ok(place) = timeout_at(until, window.acquire()).await else { break };
        place.context("the window is never closed")?.forget();
        client.place().await?;
    }
    Ok(())
}

/// When each message was acknowledged first, until told to stop.
async fn listen(
    acknowledgements: Subscriber,
    window: Arc<Semaphore>,
    stopped: oneshot::Receiver<()>,
) -> HashMap<u64, DateTime<Utc>> {
    let mut notified = HashMap::new();
    let mut acknowledgements = std::pin::pin!(acknowledgements.take_until(stopped));
    while let Some(acknowledgement) = acknowledgements.next().await {
        let sequence = acknowledgement.subject.rsplit('.').nth(3).and_then(|token| token.parse::<u64>().ok());
        let Some(sequence) = sequence.filter(|_| acknowledgement.payload.starts_with(b"+ACK")) else { continue };
        if notified.insert(sequence, Utc::now()).is_none() {
            window.add_permits(1);
        }
    }
    notified
}
