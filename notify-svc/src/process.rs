//! From messages to effects: each event has exactly one effect in the database, in the order of its versions.
//!
//! A batch is one transaction: inbox row, version gate and notification of every message in it, or none. Only a
//! duplicate is settled inside it, because a refused INSERT undoes itself alone; any other trouble rolls the batch back
//! and gives each message a transaction of its own, so that it costs nobody else. The caller acknowledges after the
//! commit: a crash between the two makes a redelivery, and that a duplicate
//! (`a_redelivered_message_is_a_duplicate`).

use runtime::mysql::is_data_fault;
use runtime::telemetry::chain;
use schema::names;
use sqlx::{MySql, MySqlPool, Transaction};
use tracing::Instrument;

use crate::event::{Event, Undecodable};
use crate::message::Message;
use crate::notification::{NewNotification, Unnotifiable};
use crate::store::inbox_gate::Step;
use crate::store::{Receipt, inbox, inbox_dead, inbox_gate, notifications};

/// What became of a message. It is committed, but for `Early`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event has had its effect, now or before.
    Applied(Receipt),
    /// An elder version of its order has not come yet; nothing was written.
    Early,
    /// It is in `inbox_dead`.
    Dead,
}

/// An event with its effect, or the reason why there is none.
type Decoded = Result<(Event, NewNotification), String>;

/// Processes a batch in stream order, adding one outcome for each message to `outcomes`. Messages that already have an
/// outcome are left alone, so after an error the same call goes on where it stopped.
///
/// # Errors
/// A fault of the database; what had been committed before it is in `outcomes`.
pub async fn process(pool: &MySqlPool, batch: &[Message], outcomes: &mut Vec<Outcome>) -> sqlx::Result<()> {
    let todo = &batch[outcomes.len()..];
    let decoded: Vec<Decoded> = todo.iter().map(decode).collect();
    if todo.len() > 1
        && let Some(together) = all_in_one(pool, todo, &decoded).await?
    {
        outcomes.extend(together);
        return Ok(());
    }
    for (message, decoded) in todo.iter().zip(&decoded) {
        let span = span(message, decoded);
        outcomes.push(one(pool, message, decoded).instrument(span).await?);
    }
    Ok(())
}

fn decode(message: &Message) -> Decoded {
    let event = Event::decode(message).map_err(|error: Undecodable| error.reason())?;
    let notification = NewNotification::of(&event).map_err(|error: Unnotifiable| error.to_string())?;
    Ok((event, notification))
}

/// The whole batch in one transaction; none if a message needs one of its own.
async fn all_in_one(pool: &MySqlPool, batch: &[Message], decoded: &[Decoded]) -> sqlx::Result<Option<Vec<Outcome>>> {
    let mut tx = pool.begin().await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for (message, decoded) in batch.iter().zip(decoded) {
        let span = span(message, decoded);
        match write(&mut tx, message, decoded).instrument(span).await {
            Ok(Outcome::Early) => return Ok(None),
            Ok(outcome) => outcomes.push(outcome),
            Err(error) if is_data_fault(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    tx.commit().await?;
    Ok(Some(outcomes))
}

/// One message in one transaction; a value that the database refuses makes it dead.
async fn one(pool: &MySqlPool, message: &Message, decoded: &Decoded) -> sqlx::Result<Outcome> {
    let mut tx = pool.begin().await?;
    match write(&mut tx, message, decoded).await {
        Ok(Outcome::Early) => {
            tx.rollback().await?;
            Ok(Outcome::Early)
        }
        Ok(outcome) => {
            tx.commit().await?;
            Ok(outcome)
        }
        Err(error) if is_data_fault(&error) => {
            tx.rollback().await?;
            let mut tx = pool.begin().await?;
            let outcome = bury(&mut tx, message, &chain(&error)).await?;
            tx.commit().await?;
            Ok(outcome)
        }
        Err(error) => Err(error),
    }
}

async fn write(tx: &mut Transaction<'_, MySql>, message: &Message, decoded: &Decoded) -> sqlx::Result<Outcome> {
    match decoded {
        Ok((event, notification)) => apply(tx, message, event, notification).await,
        Err(reason) => bury(tx, message, reason).await,
    }
}

/// The inbox row comes first: it makes two processes that hold the same message queue up for its key.
async fn apply(
    tx: &mut Transaction<'_, MySql>,
    message: &Message,
    event: &Event,
    notification: &NewNotification,
) -> sqlx::Result<Outcome> {
    if inbox::record(tx, event, message.stream_sequence).await? == Receipt::Duplicate {
        tracing::debug!(deliveries = message.deliveries, "duplicate");
        return Ok(Outcome::Applied(Receipt::Duplicate));
    }
    match pass_gate(tx, event).await? {
        Turn::Next => {}
        Turn::Ahead => {
            tracing::debug!(deliveries = message.deliveries, "ahead of its turn");
            return Ok(Outcome::Early);
        }
        Turn::Behind => {
            tracing::warn!("another event with this version of the order had its effect before; this one has none");
            return Ok(Outcome::Applied(Receipt::Duplicate));
        }
    }
    let receipt = notifications::insert(tx, notification).await?;
    Ok(Outcome::Applied(receipt))
}

/// Where an event stands in the order of its aggregate's versions.
enum Turn {
    Next,
    Behind,
    Ahead,
}

/// An event without a version, from a writer that keeps none, is always next.
async fn pass_gate(tx: &mut Transaction<'_, MySql>, event: &Event) -> sqlx::Result<Turn> {
    let Some(version) = event.envelope.aggregate_version else { return Ok(Turn::Next) };
    let step = Step { aggregate_type: names::ORDER, aggregate_id: event.envelope.aggregate_id, version };
    if version.get() == 1 {
        return Ok(match inbox_gate::open(tx, step).await? {
            Receipt::First => Turn::Next,
            Receipt::Duplicate => Turn::Behind,
        });
    }
    if inbox_gate::advance(tx, step).await? {
        return Ok(Turn::Next);
    }
    let stands_at = inbox_gate::version(tx, step).await?;
    Ok(if stands_at.is_some_and(|stands_at| stands_at >= version.get()) { Turn::Behind } else { Turn::Ahead })
}

async fn bury(tx: &mut Transaction<'_, MySql>, message: &Message, reason: &str) -> sqlx::Result<Outcome> {
    if inbox_dead::keep(tx, message, reason).await? == Receipt::First {
        // The reason may quote the message: it stays in the row.
        tracing::error!("message is dead; see inbox_dead");
    }
    Ok(Outcome::Dead)
}

fn span(message: &Message, decoded: &Decoded) -> tracing::Span {
    let span = tracing::info_span!(
        "inbox.process",
        stream.sequence = message.stream_sequence,
        event.id = tracing::field::Empty,
        event.r#type = tracing::field::Empty,
        aggregate.id = tracing::field::Empty,
        traceparent = message.header(names::TRACEPARENT_HEADER),
    );
    if let Ok((event, _)) = decoded {
        span.record("event.id", tracing::field::display(event.envelope.event_id));
        span.record("event.type", &event.envelope.event_type);
        span.record("aggregate.id", tracing::field::display(event.envelope.aggregate_id));
    }
    span
}
