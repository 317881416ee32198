//! A replica of notify-svc that takes messages and has no effect of them: it hangs with them, or hands them back.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind, Message};
use futures::{StreamExt, TryStreamExt};
use schema::names;
use stack::testing::{Nats, eventually};

/// One that a test plays: no replica of the real program does so on purpose.
pub(super) struct Replica {
    consumer: PullConsumer,
    held: Vec<Message>,
}

impl Replica {
    pub(super) async fn attach(nats: &Nats) -> Self {
        let client = Nats::client(&nats.url(), names::NOTIFY_DURABLE).await;
        let stream = jetstream::new(client).get_stream(names::STREAM).await.unwrap();
        Self { consumer: stream.get_consumer(names::NOTIFY_DURABLE).await.unwrap(), held: Vec::new() }
    }

    /// Takes so many messages.
    pub(super) async fn hold(&mut self, count: usize) {
        eventually("a replica holds messages", async || {
            let wanted = self.consumer.fetch().max_messages(count - self.held.len());
            self.held.extend(wanted.messages().await.unwrap().try_collect::<Vec<_>>().await.unwrap());
            self.held.len() == count
        })
        .await;
    }

    /// Takes what there is or soon comes, and hands it back at once.
    pub(super) async fn hand_back(&mut self, count: usize) {
        let wanted = self.consumer.batch().max_messages(count).expires(Duration::from_secs(1));
        let mut messages = wanted.messages().await.unwrap();
        while let Some(message) = messages.next().await {
            message.unwrap().ack_with(AckKind::Nak(None)).await.unwrap();
        }
    }
}
