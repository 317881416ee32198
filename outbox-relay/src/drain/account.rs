//! What the stream holds and nobody settled, as a relay leaves it that died or was cut off between PubAck and settle.
//!
//! Guarantees that each such event is settled by its id before anything is published. It is read in pieces: strangers may have
//! stored any number of messages behind the last settled event, and these neither take memory nor outlive the tenure. A reading
//! that was broken off goes on where it was, unless a database connection was lost: the next may lead to another database.

use schema::sequence::StreamSeq;

use super::drainer::{Drainer, TurnError};
use crate::lease::Tenure;
use crate::publish::Publisher;
use crate::publish::stored::Stored;
use crate::store::outbox_settle;

/// Events in one statement.
const FOUND_MAX: usize = 1_000;

impl Drainer {
    /// Settles what the stream holds above a sequence. `doubts` is how many database connections had been lost when that
    /// sequence was read.
    pub(super) async fn account(
        &self,
        tenure: &Tenure,
        publisher: &Publisher,
        (from, doubts): (StreamSeq, u64),
    ) -> Result<(), TurnError> {
        let acks = &self.lines.acks;
        publisher.attach(from.max(acks.accounted_to(doubts))).await?;
        while let Some(stored) = publisher.account_on().await? {
            if !tenure.is_valid() {
                return Err(TurnError::Over);
            }
            self.settle_found(tenure, &stored).await?;
            acks.accounted(publisher.accounted_to(), doubts);
        }
        Ok(())
    }

    /// Settles what the stream has and nobody accounted for.
    pub(super) async fn settle_found(&self, tenure: &Tenure, stored: &[Stored]) -> Result<(), TurnError> {
        let found: Vec<_> = stored.iter().filter_map(Stored::event).collect();
        for found in found.chunks(FOUND_MAX) {
            let settled = outbox_settle::settle_found(&self.pool, &tenure.token, found).await;
            let settled = settled.map_err(TurnError::Claim)?;
            if settled > 0 {
                tracing::warn!(events = settled, "found in the stream and settled: their relay had not come to it");
                self.metrics.recovered(settled);
            }
        }
        Ok(())
    }
}
