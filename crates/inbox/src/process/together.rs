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

use super::fault::is_own_fault;
use super::plan::{Known, Plan};
use super::tally::Unparked;
use super::turn;
use super::work::Entry;
use super::{Inbox, Process};
use crate::event::Content;
use crate::handler::{Applied, Handler};
use crate::position;
use crate::store::inbox_gate::Move;
use crate::store::{Receipt, inbox, inbox_gate, inbox_parked};

impl<H: Handler> Process<H> {
    /// Processes the messages that have no outcome yet. After an error the same call goes on where it stopped.
    ///
    /// # Errors
    /// A fault of the database; what had been committed before it has its outcome.
    pub async fn batch(&self, reading: Uuid, entries: &[Entry<H::Effect>]) -> sqlx::Result<()> {
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
    async fn together(&self, reading: Uuid, open: &[&Entry<H::Effect>], is_informed: bool) -> sqlx::Result<()> {
        if open.iter().all(|entry| matches!(entry.content, Content::Dead(_))) {
            return Ok(());
        }
        let mut tx = self.inbox.pool.begin().await?;
        let plan = if is_informed {
            Plan::informed(open, &self.inbox.known(&mut tx, open).await?)
        } else {
            Plan::hopeful(open)
        };
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
    async fn write(
        &self,
        tx: &mut Transaction,
        reading: Uuid,
        plan: &Plan<'_, H::Effect>,
    ) -> sqlx::Result<Option<Unparked>> {
        let inbox = &self.inbox;
        let next: Vec<_> = plan.next().collect();
        let events: Vec<_> = next.iter().map(|(message, work)| (&work.event, message.stream_sequence)).collect();
        if !events.is_empty() && inbox::record_all(tx, &self.inbox.source, &events).await? == Receipt::Duplicate
            || inbox.pass_gates(tx, &plan.moves).await? == Receipt::Duplicate
            || !plan.waits.is_empty() && inbox.park_all(tx, plan).await? == Receipt::Duplicate
        {
            return Ok(None);
        }
        if inbox.apply(tx, next.iter().filter_map(|(_, work)| work.effect.as_ref())).await? != Applied::Done {
            return Ok(None);
        }
        position::add(
            tx,
            &inbox.source,
            reading,
            plan.decided.iter().map(|(entry, outcome)| (&entry.message, *outcome)),
        )
        .await?;
        inbox.unpark(tx, &plan.passed(), self.limit.now()).await
    }
}

impl<H: Handler> Inbox<H> {
    /// What the database knows, by the transaction that will go by it: another connection may lead to another server since.
    async fn known(&self, tx: &mut Transaction, open: &[&Entry<H::Effect>]) -> sqlx::Result<Known> {
        let works: Vec<_> = open.iter().filter_map(|entry| entry.work()).collect();
        let ids: Vec<_> = works.iter().map(|work| work.event_id()).collect();
        let aggregates: HashSet<_> = works.iter().map(|work| work.event.envelope.aggregate_id).collect();
        let places: Vec<_> = works.iter().filter_map(|work| turn::place(&work.event)).collect();
        Ok(Known::new(
            inbox::recorded(&mut *tx, &self.source, &ids).await?,
            inbox_gate::versions(&mut *tx, &self.source, &aggregates.into_iter().collect::<Vec<_>>()).await?,
            inbox_parked::standing(&mut *tx, &self.source, &places).await?,
        ))
    }

    /// Moves gates in the transaction of the effects behind them; a duplicate if one does not stand where it was believed to.
    async fn pass_gates(&self, tx: &mut Transaction, moves: &[Move]) -> sqlx::Result<Receipt> {
        let (new, old): (Vec<Move>, Vec<Move>) = moves.iter().partition(|step| step.from.is_none());
        if !new.is_empty() && inbox_gate::open_all(tx, &self.source, &new).await? == Receipt::Duplicate {
            return Ok(Receipt::Duplicate);
        }
        let moved = if old.is_empty() { 0 } else { inbox_gate::advance_all(tx, &self.source, &old).await? };
        Ok(if moved == old.len() as u64 { Receipt::First } else { Receipt::Duplicate })
    }
}
