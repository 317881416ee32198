//! The durable pull consumer: takes batches from the stream, has them processed and answers after the commit.
//!
//! Guarantees that an acknowledged message is committed, parked or in `inbox_dead`; that a fault of the database costs no
//! message an attempt: it is held, with in-progress beats, and nothing more is pulled; that a batch that is too much for
//! the database shrinks until it fits; and that a stop finishes what is being written and naks the rest. Whatever goes
//! wrong with the broker ends in attaching again. Relies on the inbox to make every redelivery harmless, so that no answer
//! needs a confirmation.

mod attachment;
mod durable;
mod examination;
mod faults;
mod history;
mod monitor;
mod patience;
mod pull;
mod stored;
mod unreadable;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::client::FlushErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::AckKind;
use chrono::Utc;
use futures::FutureExt;
use runtime::readiness::Latch;
use runtime::retry::Retry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use durable::Settings;
pub use faults::{Fault, LastFault};
pub use monitor::{Connection, ConsumerState, Monitor, PositionState, Status, StreamState};
pub use stored::sequence_since;

use crate::handler::Handler;
use crate::metrics::{Answer, Metrics};
use crate::outcome::Outcome;
use crate::position::Position;
use crate::process::{Batch, Process};
use crate::repair::Repair;
use crate::store::Receipt;
use attachment::Attached;
use examination::Examiner;
use pull::{Acker, Delivery, Pull, Pulled};

/// How long one attempt to process a batch may take before it is given up and tried again.
pub const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(10);
/// Answers are small, but a broker that is away lets them pile up in front of the connection.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Twice this, and a repair, fit into ten seconds.
const WATCH_PERIOD: Duration = Duration::from_secs(3);
/// A message that the database has not taken, though it took others meanwhile, comes again after this.
const HELD_DELAY: Duration = Duration::from_secs(10);

/// The consumer of this process.
#[derive(Debug)]
pub struct Consumer<H> {
    /// The connection to the broker.
    pub client: Client,
    /// What makes effects of messages.
    pub process: Process<H>,
    /// How the durable consumer is set up and pulled.
    pub settings: Settings,
    /// Where faults are reported.
    pub monitor: Monitor,
    /// What is counted.
    pub metrics: Metrics,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

impl<H: Handler> Consumer<H> {
    /// Consumes until the stop; `latch`, if there is one, is set when it first got hold of the stream.
    pub async fn run(self, mut latch: Option<Latch>) {
        let inbox = &self.process.inbox;
        // What the process before, or a connection that was lost, left unanswered may be what it was lost for.
        let mut is_doubtful = true;
        let mut examiner = Examiner::new(&self.client, &inbox.pool, &inbox.source, &self.settings);
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(2));
        while !self.shutdown.is_cancelled() {
            let fault = match self.shutdown.run_until_cancelled(Box::pin(self.attach(&mut examiner, is_doubtful))).await
            {
                None => break,
                Some(Ok((attached, pull))) => {
                    tracing::info!(batch_size_max = self.settings.batch_size_max, "attached to the stream");
                    is_doubtful = false;
                    self.monitor.attached();
                    latch.take().into_iter().for_each(Latch::set);
                    let alarm = CancellationToken::new();
                    let (tell, lost) = watch::channel(attached.lost.clone());
                    tokio::select! {
                        fault = self.consume(pull, &attached, &mut retry, &alarm) => fault,
                        () = self.watch(&mut examiner, &attached, &alarm, &tell) => None,
                        () = self.read_history(attached.reading, lost) => None,
                    }
                }
                Some(Err(fault)) => Some(fault),
            };
            if let Some(fault) = fault {
                is_doubtful |= matches!(fault, Fault::BrokerUnreachable | Fault::PullLost);
                self.monitor.report(fault);
            }
            if self.is_client_gone() {
                tracing::error!("the NATS client has ended; the process ends, and the next one looks for the reason");
                return;
            }
            if retry.wait(&self.shutdown).await.is_err() {
                break;
            }
        }
        self.flush().await;
    }

    /// Its task panics over some headers, and nothing brings it back: each answer of it is an error at once.
    fn is_client_gone(&self) -> bool {
        let flushed = self.client.flush().now_or_never();
        matches!(flushed, Some(Err(error)) if error.kind() == FlushErrorKind::SendError)
    }

    async fn attach(&self, examiner: &mut Examiner<'_>, is_doubtful: bool) -> Result<(Attached, Pull), Fault> {
        let attached = attachment::attach(examiner).await?;
        let skipped = (!attached.lost.is_empty()).then_some(Repair::EventsSkipped);
        if let Some(repair) = attached.repair.or(skipped) {
            tracing::warn!(reason = repair.label(), "{}", repair.describe());
            self.metrics.repaired(repair);
        }
        if is_doubtful {
            for _ in 0..unreadable::settle_all(&self.client, &attached, &self.process).await? {
                self.metrics.processed(Outcome::Dead, Duration::ZERO);
                self.metrics.answered(Answer::Term);
            }
        }
        let pull = Pull::open(&self.client, attached.consumer.clone(), &self.settings).await?;
        Ok((attached, pull))
    }

    /// Raises the alarm when stream, consumer and database do not fit each other, and sends what the consumer will not bring.
    /// Never returns: a batch in hand is finished first.
    async fn watch(
        &self,
        examiner: &mut Examiner<'_>,
        attached: &Attached,
        alarm: &CancellationToken,
        lost: &watch::Sender<Vec<RangeInclusive<u64>>>,
    ) {
        let mut is_told = !attached.lost.is_empty();
        loop {
            tokio::time::sleep(WATCH_PERIOD).await;
            let examined = match tokio::time::timeout(WATCH_PERIOD, examiner.examine()).await {
                Ok(Ok(examined)) => examined,
                Ok(Err(fault @ Fault::StreamDoubted)) => {
                    self.monitor.report(fault);
                    continue;
                }
                Ok(Err(_)) | Err(_) => continue,
            };
            if examined.repair.is_some() || examined.coverage.position.reading != attached.reading {
                // It is done already, and attaching again finds nothing wrong.
                if examined.repair == Some(Repair::EffectsGone) {
                    tracing::warn!(reason = Repair::EffectsGone.label(), "{}", Repair::EffectsGone.describe());
                    self.metrics.repaired(Repair::EffectsGone);
                }
                alarm.cancel();
                return std::future::pending().await;
            }
            let found = examined.lost();
            self.tell(&examined.coverage.position, &found);
            if !found.is_empty() && !is_told {
                tracing::warn!(reason = Repair::EventsSkipped.label(), "{}", Repair::EventsSkipped.describe());
                self.metrics.repaired(Repair::EventsSkipped);
            }
            is_told = !found.is_empty();
            lost.send_replace(found);
        }
    }

    fn tell(&self, position: &Position, lost: &[RangeInclusive<u64>]) {
        let unread = lost.iter().map(|range| range.end() - range.start() + 1).sum();
        self.metrics.positioned(unread, position.gone);
        self.monitor.positioned(PositionState { floor: position.floor, unread, gone: position.gone });
    }

    /// Handles batch after batch until the stop, or until the pull is lost.
    async fn consume(
        &self,
        mut pull: Pull,
        attached: &Attached,
        retry: &mut Retry,
        alarm: &CancellationToken,
    ) -> Option<Fault> {
        let fault = loop {
            match pull.next(&self.shutdown, alarm).await {
                Pulled::Batch(mut batch) => {
                    retry.reset();
                    if let Err(fault) =
                        stored::complete(&self.client, &self.process.inbox.source.stream, &mut batch).await
                    {
                        self.give_back(batch).await;
                        break Some(fault);
                    }
                    self.handle(batch, &mut pull, attached.reading).await;
                }
                Pulled::Lost(fault) => break Some(fault),
                Pulled::Stopped => break None,
            }
        };
        // What had arrived already need not wait for the end of the ack wait.
        self.give_back(pull.close().await).await;
        fault
    }

    async fn give_back(&self, batch: Vec<Delivery>) {
        for delivery in batch {
            self.answer(&delivery.acker, AckKind::Nak(None), Answer::Nak).await;
        }
    }

    /// Processes a batch, however long the database is away, and answers each message.
    async fn handle(&self, deliveries: Vec<Delivery>, pull: &mut Pull, reading: Uuid) {
        let started = Instant::now();
        let (messages, ackers): (Vec<_>, Vec<_>) =
            deliveries.into_iter().map(|delivery| (delivery.message, delivery.acker)).unzip();
        let batch = self.process.inbox.batch(reading, messages);
        tokio::select! {
            () = self.process_patiently(&batch) => {}
            () = self.beat(&ackers, pull) => {}
        }
        self.metrics.batch(started.elapsed());
        self.count(&batch);
        let answers = self.answer_all(&batch, &ackers);
        if tokio::time::timeout(ANSWER_TIME_MAX, answers).await.is_err() {
            tracing::warn!("broker takes no answers; what was committed will be delivered again as duplicates");
        }
    }

    /// Tells the broker again and again that the messages, and those behind them, are being worked on. Never returns.
    async fn beat(&self, ackers: &[Acker], pull: &mut Pull) {
        loop {
            tokio::time::sleep(self.settings.ack_wait / 3).await;
            for acker in ackers.iter().chain(pull.behind()) {
                if let Err(error) = acker.ack_with(AckKind::Progress).await {
                    tracing::debug!(error, "in-progress beat failed");
                }
            }
        }
    }

    fn count(&self, batch: &Batch<H::Effect>) {
        let (now, mut has_effects) = (Utc::now(), false);
        for entry in &batch.entries {
            let Some(outcome) = entry.outcome() else { continue };
            self.metrics.processed(outcome, (now - entry.message.stored_at).to_std().unwrap_or_default());
            has_effects |= outcome == Outcome::Applied(Receipt::First);
        }
        if has_effects {
            self.process.inbox.handler.committed();
        }
        batch.entries.iter().filter(|entry| entry.message.deliveries > 1).for_each(|_| self.metrics.redelivered());
    }

    async fn answer_all(&self, batch: &Batch<H::Effect>, ackers: &[Acker]) {
        for (entry, acker) in batch.entries.iter().zip(ackers) {
            match entry.outcome() {
                Some(outcome) if outcome.is_settled() => {
                    self.answer(acker, AckKind::Ack, Answer::Ack).await;
                }
                Some(_) => self.answer(acker, AckKind::Term, Answer::Term).await,
                // The process is stopping: another one may have it at once.
                None if self.shutdown.is_cancelled() => self.answer(acker, AckKind::Nak(None), Answer::Nak).await,
                None => self.answer(acker, AckKind::Nak(Some(HELD_DELAY)), Answer::Nak).await,
            }
        }
    }

    async fn answer(&self, acker: &Acker, kind: AckKind, answer: Answer) {
        match acker.ack_with(kind).await {
            Ok(()) => self.metrics.answered(answer),
            Err(error) => tracing::warn!(error, "answering the broker failed; the message will be delivered again"),
        }
    }

    /// Answers wait in the client's buffer: a stop sends them before the process ends.
    async fn flush(&self) {
        let connected = self.client.connection_state() == State::Connected;
        if !connected || tokio::time::timeout(ANSWER_TIME_MAX, self.client.flush()).await.is_err() {
            tracing::warn!("broker takes no answers; they will be delivered again as duplicates");
        }
    }
}
