//! One pull at a time: the broker may have at most one batch of messages on its way to us.
//!
//! Made by hand from a pull request and its reply subject, because the client's own iterators either pull ahead while
//! nobody reads, or don't notice that a restarted broker forgot the request. A pull that is lost says so within two
//! seconds of a reconnect, and within two heartbeats of any other silence.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::jetstream::{self, Message as RawMessage};
use async_nats::{Client, StatusCode, Subject, Subscriber};
use chrono::DateTime;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::durable::Settings;
use super::faults::Fault;
use crate::message::Message;

/// Long pulls keep an idle service quiet.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(12);
const CONNECTION_CHECK: Duration = Duration::from_secs(1);
/// Of the reply subject of a message that is to be answered.
const ACK_PREFIX: &str = "$JS.ACK.";
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);
const CLOSE_QUIET: Duration = Duration::from_millis(100);

pub(super) use async_nats::jetstream::message::Acker;

/// A message, and the means to answer it.
pub(super) struct Delivery {
    pub(super) message: Message,
    pub(super) acker: Acker,
}

/// What a pull brought.
pub(super) enum Pulled {
    /// At least one message, in stream order.
    Batch(Vec<Delivery>),
    /// Nothing, and nothing will come: attach again.
    Lost(Fault),
    /// The process is stopping.
    Stopped,
}

/// An attachment to the consumer, with at most one pull request outstanding.
pub(super) struct Pull {
    client: Client,
    consumer: PullConsumer,
    inbox: Subject,
    replies: Subscriber,
    batch_size_max: usize,
    /// What has arrived and not been taken: no more than one request brings.
    waiting: VecDeque<Delivery>,
    /// Messages that the outstanding request may still bring.
    outstanding: usize,
    /// Times that the client had connected when the outstanding request was made.
    connects: u64,
    lost: Option<Fault>,
}

impl Pull {
    pub(super) async fn open(client: &Client, consumer: PullConsumer, settings: &Settings) -> Result<Self, Fault> {
        let inbox = Subject::from(client.new_inbox());
        let replies = client.subscribe(inbox.clone()).await.map_err(|error| {
            tracing::warn!(%error, "subscribing to the pull's replies failed");
            Fault::BrokerUnreachable
        })?;
        let (client, batch_size_max) = (client.clone(), usize::from(settings.batch_size_max));
        let waiting = VecDeque::new();
        Ok(Self { client, consumer, inbox, replies, batch_size_max, waiting, outstanding: 0, connects: 0, lost: None })
    }

    /// Waits for the first message, then takes those that have arrived with it. An alarm loses the pull.
    pub(super) async fn next(&mut self, shutdown: &CancellationToken, alarm: &CancellationToken) -> Pulled {
        match self.until_waiting(shutdown, alarm).await {
            Ok(true) => {}
            Ok(false) => return Pulled::Stopped,
            Err(fault) => return Pulled::Lost(fault),
        }
        self.take_in();
        let taken = self.waiting.len().min(self.batch_size_max);
        let mut batch: Vec<_> = self.waiting.drain(..taken).collect();
        // A redelivery may come after later messages; in stream order, replicas lock rows in the same order.
        batch.sort_by_key(|delivery| delivery.message.stream_sequence);
        Pulled::Batch(batch)
    }

    /// Those that wait behind a batch: while it takes long, they need beats like the batch itself.
    pub(super) fn behind(&mut self) -> impl Iterator<Item = &Acker> {
        self.take_in();
        self.waiting.iter().map(|delivery| &delivery.acker)
    }

    /// Takes what has arrived, without waiting.
    fn take_in(&mut self) {
        while self.lost.is_none()
            && let Some(Some(reply)) = self.replies.next().now_or_never()
        {
            match self.read(reply) {
                Ok(delivery) => self.waiting.extend(delivery),
                Err(fault) => self.lost = Some(fault),
            }
        }
    }

    /// Waits until there is a message; false at a stop.
    async fn until_waiting(&mut self, shutdown: &CancellationToken, alarm: &CancellationToken) -> Result<bool, Fault> {
        let mut heard = Instant::now();
        let mut connection_check = interval(CONNECTION_CHECK);
        loop {
            if let Some(fault) = self.lost {
                return Err(fault);
            }
            if self.outstanding == 0 && self.waiting.is_empty() {
                self.request().await?;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(false),
                () = alarm.cancelled() => return Err(Fault::ConsumerUnfit),
                () = std::future::ready(()), if !self.waiting.is_empty() => return Ok(true),
                reply = self.replies.next() => {
                    heard = Instant::now();
                    let reply = reply.ok_or(Fault::PullLost)?;
                    let delivery = self.read(reply)?;
                    self.waiting.extend(delivery);
                }
                _ = connection_check.tick() => self.check_connection(heard)?,
            }
        }
    }

    async fn request(&mut self) -> Result<(), Fault> {
        let batch = BatchConfig {
            batch: self.batch_size_max,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.consumer.request_batch(batch, self.inbox.clone()).await.map_err(|error| {
            tracing::warn!(%error, "asking for messages failed");
            Fault::PullLost
        })?;
        self.outstanding = self.batch_size_max;
        self.connects = self.client.statistics().connects.load(Ordering::Relaxed);
        Ok(())
    }

    /// A restarted broker has forgotten the request, and a reconnect may have missed its end.
    fn check_connection(&self, heard: Instant) -> Result<(), Fault> {
        if self.client.connection_state() != State::Connected {
            return Err(Fault::BrokerUnreachable);
        }
        let reconnected = self.client.statistics().connects.load(Ordering::Relaxed) != self.connects;
        if reconnected || heard.elapsed() > SILENCE_MAX { Err(Fault::PullLost) } else { Ok(()) }
    }

    /// A message, or a word about the pull.
    fn read(&mut self, reply: async_nats::Message) -> Result<Option<Delivery>, Fault> {
        // A message may have been stored with what looks like a status.
        let is_message = reply.reply.as_ref().is_some_and(|answer_to| answer_to.starts_with(ACK_PREFIX));
        match reply.status.filter(|_| !is_message) {
            None | Some(StatusCode::OK) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                Ok(self.delivery(reply))
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(StatusCode::TIMEOUT) => {
                self.outstanding = 0;
                Ok(None)
            }
            Some(status) => {
                tracing::warn!(%status, description = reply.description.as_deref(), "broker ended the pull");
                Err(Fault::PullLost)
            }
        }
    }

    /// None if it did not come through the consumer: there is nothing to answer then.
    fn delivery(&self, raw: async_nats::Message) -> Option<Delivery> {
        let raw = RawMessage { message: raw, context: jetstream::new(self.client.clone()) };
        match message(&raw) {
            Ok(message) => Some(Delivery { message, acker: raw.split().1 }),
            Err(error) => {
                tracing::warn!(error, "message on the pull's reply subject is not from JetStream");
                None
            }
        }
    }

    /// Gives up the pull and returns what had been delivered and not been taken.
    ///
    /// What the broker sends to a subscription that has just ended is lost until the end of the ack wait: so the request
    /// is left to be filled first, as it is at once under load, or until nothing comes for a moment.
    pub(super) async fn close(mut self) -> Vec<Delivery> {
        let mut left: Vec<_> = self.waiting.drain(..).collect();
        let filling = async {
            while self.outstanding > 0
                && let Ok(Some(reply)) = timeout(CLOSE_QUIET, self.replies.next()).await
            {
                left.extend(self.read(reply).ok().flatten());
            }
        };
        if timeout(CLOSE_TIME_MAX, filling).await.is_err() {
            tracing::debug!("messages kept coming; those on their way may wait for the end of the ack wait");
        }
        if let Err(error) = self.replies.drain().await {
            tracing::debug!(%error, "draining the pull failed");
        }
        while let Ok(Some(reply)) = timeout(CLOSE_TIME_MAX, self.replies.next()).await {
            left.extend(self.read(reply).ok().flatten());
        }
        left
    }
}

fn message(raw: &RawMessage) -> Result<Message, async_nats::Error> {
    let info = raw.info()?;
    let headers = raw.headers.iter().flat_map(|headers| headers.iter());
    let pairs = headers.flat_map(|(name, values)| {
        values.iter().map(move |value| (AsRef::<str>::as_ref(name).to_owned(), value.as_str().to_owned()))
    });
    Ok(Message {
        subject: raw.subject.to_string(),
        headers: pairs.collect(),
        payload: raw.payload.clone(),
        stream_sequence: info.stream_sequence,
        stored_at: DateTime::from_timestamp_nanos(i64::try_from(info.published.unix_timestamp_nanos())?),
        deliveries: u32::try_from(info.delivered)?,
    })
}
