//! As much of a batch as possible in one transaction.
//!
//! It is tried in the belief that all is new and in turn; what that leaves is tried once more by what the database knows:
//! early events are parked, and a gate that moves takes along what is parked behind it. Either transaction notes what it
//! settles as read: no crash and no restore can part the position from the effects
//! (`no_kill_parts_the_position_from_the_effects`).

use std::collections::HashSet;

use runtime::mysql::Transaction;
use tracing::Instrument;
use uuid::Uuid;

use super::Process;
use super::fault::is_own_fault;
use super::parked;
use super::plan::{Known, Plan};
use super::turn;
use super::unpark::{Unparked, unpark};
use super::work::Entry;
use crate::position;
use crate::store::inbox_gate::Move;
use crate::store::{Receipt, inbox, inbox_gate, inbox_parked, notifications};

impl Process {
    /// Processes the messages that have no outcome yet. After an error the same call goes on where it stopped.
    ///
    /// # Errors
    /// A fault of the database; what had been committed before it has its outcome.
    pub async fn batch(&self, reading: Uuid, entries: &[Entry]) -> sqlx::Result<()> {
        for is_informed in [false, true] {
            let open: Vec<_> = entries.iter().filter(|entry| entry.is_open()).collect();
            self.together(reading, &open, is_informed).await?;
        }
        for entry in entries.iter().filter(|entry| entry.is_open()) {
            self.single(reading, entry).instrument(entry.span()).await?;
        }
        Ok(())
    }

    /// Writes what is planned, all or nothing: nothing if a key is taken, a gate stands elsewhere, or the database refuses
    /// a value.
    async fn together(&self, reading: Uuid, open: &[&Entry], is_informed: bool) -> sqlx::Result<()> {
        if open.iter().all(|entry| entry.work.is_err()) {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        let plan = if is_informed { Plan::informed(open, &known(&mut tx, open).await?) } else { Plan::hopeful(open) };
        let span = tracing::info_span!("inbox.process", messages = plan.decided.len());
        match self.write(&mut tx, reading, &plan).instrument(span).await {
            Ok(Some(unparked)) => {
                tx.commit().await?;
                self.tally.add(unparked);
                plan.decided.iter().for_each(|(entry, outcome)| entry.settle(*outcome));
                Ok(())
            }
            Ok(None) => tx.rollback().await,
            Err(error) if is_own_fault(&error) => tx.rollback().await,
            Err(error) => Err(error),
        }
    }

    /// None if a key is taken or a gate stands elsewhere.
    async fn write(&self, tx: &mut Transaction, reading: Uuid, plan: &Plan<'_>) -> sqlx::Result<Option<Unparked>> {
        let next: Vec<_> = plan.next().collect();
        let events: Vec<_> = next.iter().map(|(message, work)| (&work.event, message.stream_sequence)).collect();
        if !events.is_empty() && inbox::record_all(tx, &events).await? == Receipt::Duplicate
            || pass_gates(tx, &plan.moves).await? == Receipt::Duplicate
            || !plan.waits.is_empty() && parked::park_all(tx, plan).await? == Receipt::Duplicate
        {
            return Ok(None);
        }
        let effects: Vec<_> = next.iter().filter_map(|(_, work)| work.notification.as_ref()).collect();
        if !effects.is_empty() && notifications::insert_all(tx, &effects).await? == Receipt::Duplicate {
            return Ok(None);
        }
        position::add(tx, reading, plan.decided.iter().map(|(entry, outcome)| (&entry.message, *outcome))).await?;
        unpark(tx, &plan.passed(), self.limit.now()).await
    }
}

/// What the database knows, by the transaction that will go by it: another connection may lead to another server since.
async fn known(tx: &mut Transaction, open: &[&Entry]) -> sqlx::Result<Known> {
    let works: Vec<_> = open.iter().filter_map(|entry| entry.work.as_ref().ok()).collect();
    let ids: Vec<_> = works.iter().map(|work| work.event_id()).collect();
    let orders: HashSet<_> = works.iter().map(|work| work.event.envelope.aggregate_id).collect();
    let places: Vec<_> = works.iter().filter_map(|work| turn::place(&work.event)).collect();
    Ok(Known::new(
        inbox::recorded(&mut **tx, &ids).await?,
        inbox_gate::versions(&mut **tx, &orders.into_iter().collect::<Vec<_>>()).await?,
        inbox_parked::standing(&mut **tx, &places).await?,
    ))
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
