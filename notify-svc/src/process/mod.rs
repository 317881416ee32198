//! From messages to effects: each event has exactly one effect in the database, in the order of its versions.
//!
//! A batch is one transaction of a few statements, whatever its size: inbox rows, version gates and notifications of all
//! its events, or none. It is tried in the belief that all is new and in turn, and if that is refused, once more by what
//! the database knows. What does not fit, and everything after a second refusal, gets a transaction a message, so that
//! a fault costs nobody else. The caller acknowledges after the commit: a crash between the two makes a redelivery, and
//! that a duplicate (`a_crash_between_commit_and_ack_makes_no_second_notification`).

mod plan;
mod single;
mod skip;

use std::collections::HashSet;

use runtime::mysql::{Pool, Transaction, is_data_fault};
use schema::names;
use tracing::Instrument;

use crate::event::{Content, Event, Undecodable};
use crate::message::Message;
use crate::notification::{NewNotification, Unnotifiable};
use crate::store::inbox_gate::Move;
use crate::store::{Receipt, inbox, inbox_gate, notifications};
use plan::Plan;
pub use single::{Failure, Requeued, discard, requeue};
pub use skip::{Unskippable, skip};

/// What became of a message. It is committed, but for `Early` and `Failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event has had its effect, now or before.
    Applied(Receipt),
    /// It is a tombstone: its version counts, and nothing else.
    Tombstone,
    /// An elder version of its order has not come yet; no effect was written.
    Early,
    /// The database refuses its effect; it comes again, until its deliveries are spent.
    Failed,
    /// Its id was used before, with another payload; it is in `inbox_dead`.
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
    /// Deliveries after which a message that the database refuses is dead.
    pub deliveries_max: u32,
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
        if works.len() > 1 {
            self.together(batch, &works, outcomes).await?;
        }
        for work in works.iter().filter(|work| outcomes[work.place].is_none()).collect::<Vec<_>>() {
            let message = &batch[work.place];
            let outcome = self.single(message, work);
            outcomes[work.place] = Some(outcome.instrument(span(message, Some(&work.event))).await?);
        }
        Ok(())
    }

    /// As many as possible in one transaction.
    async fn together(&self, batch: &[Message], works: &[Work], outcomes: &mut [Option<Outcome>]) -> sqlx::Result<()> {
        let hopeful = Plan::hopeful(works);
        if self.write(batch, works, &hopeful).await? == Receipt::First {
            settle(works, &hopeful, outcomes);
            return Ok(());
        }
        let ids: Vec<_> = works.iter().map(|work| work.event.envelope.event_id).collect();
        let orders: HashSet<_> = works.iter().map(|work| work.event.envelope.aggregate_id).collect();
        let recorded = inbox::recorded(&self.pool, &ids).await?;
        let gates = inbox_gate::versions(&self.pool, &orders.into_iter().collect::<Vec<_>>()).await?;
        let informed = Plan::informed(works, &recorded, &gates);
        if informed.next.is_empty() || self.write(batch, works, &informed).await? == Receipt::First {
            settle(works, &informed, outcomes);
        }
        Ok(())
    }

    /// Writes what is planned, all or nothing: nothing if a key is taken, a gate stands elsewhere, or the database refuses
    /// a value.
    async fn write(&self, batch: &[Message], works: &[Work], plan: &Plan) -> sqlx::Result<Receipt> {
        let span = tracing::info_span!("inbox.process", messages = plan.next.len());
        let mut tx = self.pool.begin().await?;
        let written = async {
            let next = || plan.next.iter().map(|index| &works[*index]);
            let events: Vec<_> = next().map(|work| (&work.event, batch[work.place].stream_sequence)).collect();
            if inbox::record_all(&mut tx, &events).await? == Receipt::Duplicate
                || pass_gates(&mut tx, &plan.moves).await? == Receipt::Duplicate
            {
                return Ok(Receipt::Duplicate);
            }
            let effects: Vec<_> = next().filter_map(|work| work.notification.as_ref()).collect();
            if effects.is_empty() { Ok(Receipt::First) } else { notifications::insert_all(&mut tx, &effects).await }
        };
        match written.instrument(span).await {
            Ok(Receipt::First) => tx.commit().await.map(|()| Receipt::First),
            Ok(Receipt::Duplicate) => tx.rollback().await.map(|()| Receipt::Duplicate),
            Err(error) if is_data_fault(&error) || single::is_constraint_fault(&error) => {
                tx.rollback().await.map(|()| Receipt::Duplicate)
            }
            Err(error) => Err(error),
        }
    }
}

/// Moves gates in the transaction of the effects behind them; a duplicate if one does not stand where it was believed to.
async fn pass_gates(tx: &mut Transaction, moves: &[Move]) -> sqlx::Result<Receipt> {
    let (new, old): (Vec<Move>, Vec<Move>) = moves.iter().partition(|step| step.from == 0);
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
