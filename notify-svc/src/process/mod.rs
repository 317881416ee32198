//! From messages to effects: each event has exactly one effect in the database, in the order of its versions.
//!
//! A batch is one transaction of a few statements, whatever its size: inbox rows, version gates and notifications of all
//! its events, or none. It is tried in the belief that all is new and in turn; what that leaves is tried once more by what
//! the database knows: early events are parked, and a gate that moves takes along what is parked behind it. What is left
//! then gets a transaction a message, so that a fault costs nobody else. The caller acknowledges after the commit: a crash
//! between the two makes a redelivery, and that a duplicate
//! (`a_crash_between_commit_and_ack_makes_no_second_notification`).

mod decide;
mod limit;
mod parked;
mod plan;
mod single;
mod skip;
mod tally;
mod turn;
mod unpark;

use std::collections::HashSet;
use std::sync::Arc;

use runtime::mysql::{Pool, Transaction};
use schema::names;
use tracing::Instrument;

use crate::event::{Content, Event, Undecodable};
use crate::message::Message;
use crate::notification::{NewNotification, Unnotifiable};
use crate::store::inbox_gate::Move;
use crate::store::{Receipt, inbox, inbox_gate, inbox_parked, notifications};
pub use decide::{Failure, Requeued, discard, requeue};
pub use limit::Limit;
use plan::Plan;
pub use skip::{Unskippable, skip};
pub use tally::Tally;
use unpark::Unparked;

/// What became of a message. It is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event has had its effect, now or before.
    Applied(Receipt),
    /// It is a tombstone: its version counts, and nothing else.
    Tombstone,
    /// An earlier version of its order has not come yet: it is parked.
    Early,
    /// The database refuses its effect: it is parked and tried again, until its attempts are spent.
    Failed,
    /// Its id was used before with another payload, or its version by another event; it is in `inbox_dead`.
    Conflict,
    /// It can't be processed; it is in `inbox_dead`.
    Dead,
}

/// An event that can be processed, with its effect: none if it is a tombstone.
#[derive(Clone, Debug)]
struct Work {
    /// Its message's place in the batch.
    place: usize,
    event: Event,
    notification: Option<NewNotification>,
}

/// How messages are processed.
#[derive(Clone, Debug)]
pub struct Process {
    /// The database `notifications`.
    pub pool: Pool,
    /// Attempts after which an event whose effect the database refuses is dead.
    pub attempts_max: u32,
    /// What one transaction may hold, by what the database has managed lately.
    pub limit: Arc<Limit>,
    /// What parked events came to, to be counted.
    pub tally: Arc<Tally>,
}

impl Process {
    /// Processes the messages that have no outcome yet, in stream order. After an error the same call goes on where it
    /// stopped.
    ///
    /// # Errors
    /// A fault of the database; what had been committed before it is in `outcomes`.
    pub async fn batch(&self, batch: &[Message], outcomes: &mut [Option<Outcome>]) -> sqlx::Result<()> {
        let mut works = Vec::with_capacity(batch.len());
        for (place, message) in batch.iter().enumerate() {
            if outcomes[place].is_some() {
                continue;
            }
            match decode(place, message) {
                Ok(work) => works.push(work),
                Err(reason) => {
                    let outcome = self.bury(message, &reason);
                    outcomes[place] = Some(outcome.instrument(span(message, None)).await?);
                }
            }
        }
        if !works.is_empty() {
            self.together(batch, &works, outcomes).await?;
        }
        for work in left(&works, outcomes) {
            let message = &batch[work.place];
            let outcome = self.single(message, work);
            outcomes[work.place] = Some(outcome.instrument(span(message, Some(&work.event))).await?);
        }
        Ok(())
    }

    /// As many as possible in one transaction, and most of the others in a second one.
    async fn together(&self, batch: &[Message], works: &[Work], outcomes: &mut [Option<Outcome>]) -> sqlx::Result<()> {
        let hopeful = Plan::hopeful(works);
        if self.write(batch, works, &hopeful).await? == Receipt::First {
            settle(works, &hopeful, outcomes);
        }
        let works: Vec<Work> = left(works, outcomes).into_iter().cloned().collect();
        if works.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = works.iter().map(|work| work.event.envelope.event_id).collect();
        let orders: HashSet<_> = works.iter().map(|work| work.event.envelope.aggregate_id).collect();
        let places: Vec<_> = works.iter().filter_map(|work| turn::place(&work.event)).collect();
        let recorded = inbox::recorded(&self.pool, &ids).await?;
        let gates = inbox_gate::versions(&self.pool, &orders.into_iter().collect::<Vec<_>>()).await?;
        let parked = inbox_parked::standing(&self.pool, &places).await?;
        let informed = Plan::informed(&works, &recorded, &gates, &parked);
        let is_all_known = informed.next.is_empty() && informed.early.is_empty();
        if is_all_known || self.write(batch, &works, &informed).await? == Receipt::First {
            settle(&works, &informed, outcomes);
        }
        Ok(())
    }

    /// Writes what is planned, all or nothing: nothing if a key is taken, a gate stands elsewhere, or the database refuses
    /// a value.
    async fn write(&self, batch: &[Message], works: &[Work], plan: &Plan) -> sqlx::Result<Receipt> {
        let span = tracing::info_span!("inbox.process", messages = plan.next.len() + plan.early.len());
        let mut tx = self.pool.begin().await?;
        let written = self.write_in(&mut tx, batch, works, plan).instrument(span).await;
        match written {
            Ok(Some(unparked)) => {
                tx.commit().await?;
                self.tally.add(unparked);
                Ok(Receipt::First)
            }
            Ok(None) => tx.rollback().await.map(|()| Receipt::Duplicate),
            Err(error) if single::is_own_fault(&error) => tx.rollback().await.map(|()| Receipt::Duplicate),
            Err(error) => Err(error),
        }
    }

    /// None if a key is taken or a gate stands elsewhere.
    async fn write_in(
        &self,
        tx: &mut Transaction,
        batch: &[Message],
        works: &[Work],
        plan: &Plan,
    ) -> sqlx::Result<Option<Unparked>> {
        let next = || plan.next.iter().map(|index| &works[*index]);
        let events: Vec<_> = next().map(|work| (&work.event, batch[work.place].stream_sequence)).collect();
        if !events.is_empty() && inbox::record_all(tx, &events).await? == Receipt::Duplicate
            || pass_gates(tx, &plan.moves).await? == Receipt::Duplicate
            || !plan.early.is_empty() && parked::park_all(tx, batch, works, plan).await? == Receipt::Duplicate
        {
            return Ok(None);
        }
        let effects: Vec<_> = next().filter_map(|work| work.notification.as_ref()).collect();
        if !effects.is_empty() && notifications::insert_all(tx, &effects).await? == Receipt::Duplicate {
            return Ok(None);
        }
        unpark::unpark(tx, &plan.passed(), self.limit.now()).await
    }
}

/// Those that have no outcome yet.
fn left<'a>(works: &'a [Work], outcomes: &[Option<Outcome>]) -> Vec<&'a Work> {
    works.iter().filter(|work| outcomes[work.place].is_none()).collect()
}

/// Moves gates in the transaction of the effects behind them; a duplicate if one does not stand where it was believed to.
async fn pass_gates(tx: &mut Transaction, moves: &[Move]) -> sqlx::Result<Receipt> {
    let (new, old): (Vec<Move>, Vec<Move>) = moves.iter().partition(|step| step.from.is_none());
    if !new.is_empty() && inbox_gate::open_all(tx, &new).await? == Receipt::Duplicate {
        return Ok(Receipt::Duplicate);
    }
    let all_moved = old.is_empty() || inbox_gate::advance_all(tx, &old).await? == old.len() as u64;
    Ok(if all_moved { Receipt::First } else { Receipt::Duplicate })
}

fn settle(works: &[Work], plan: &Plan, outcomes: &mut [Option<Outcome>]) {
    for work in plan.next.iter().map(|index| &works[*index]) {
        outcomes[work.place] = Some(applied(&work.event));
    }
    for work in plan.duplicates.iter().map(|index| &works[*index]) {
        outcomes[work.place] = Some(Outcome::Applied(Receipt::Duplicate));
    }
    for work in plan.early.iter().map(|index| &works[*index]) {
        outcomes[work.place] = Some(Outcome::Early);
    }
}

fn applied(event: &Event) -> Outcome {
    match event.content {
        Content::Order(_) => Outcome::Applied(Receipt::First),
        Content::Tombstone => Outcome::Tombstone,
    }
}

fn decode(place: usize, message: &Message) -> Result<Work, String> {
    let event = Event::decode(message).map_err(|error: Undecodable| error.reason())?;
    let notification = match &event.content {
        Content::Tombstone => None,
        Content::Order(order_event) => {
            let notification = NewNotification::of(event.envelope.event_id, order_event);
            Some(notification.map_err(|error: Unnotifiable| error.to_string())?)
        }
    };
    Ok(Work { place, event, notification })
}

fn span(message: &Message, event: Option<&Event>) -> tracing::Span {
    let span = tracing::info_span!(
        "inbox.process",
        stream.sequence = message.stream_sequence,
        event.id = tracing::field::Empty,
        event.r#type = tracing::field::Empty,
        aggregate.id = tracing::field::Empty,
        traceparent = message.header(names::TRACEPARENT_HEADER),
    );
    if let Some(event) = event {
        span.record("event.id", tracing::field::display(event.envelope.event_id));
        span.record("event.type", &event.envelope.event_type);
        span.record("aggregate.id", tracing::field::display(event.envelope.aggregate_id));
    }
    span
}
