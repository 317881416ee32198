//! Has events wait that are above a limit, and tries them when it was raised; [`crate::limits`] decides.

use std::time::Instant;

use super::claim::Aside;
use super::drainer::{Drainer, TurnError};
use crate::lease::Tenure;
use crate::limits::{Over, Verdict};
use crate::store::outbox_put_off;

impl Drainer {
    /// Notes the largest payload that is taken now; if it grew, what waits for a limit is tried.
    ///
    /// # Errors
    /// As the database has it.
    pub async fn follow_limit(&self, tenure: &Tenure, limit: u64, known: &mut Option<u64>) -> Result<(), TurnError> {
        let before = known.replace(limit);
        if before.is_none_or(|before| limit > before) {
            let due = outbox_put_off::make_due(&self.pool, &tenure.token).await.map_err(TurnError::Claim)?;
            if due > 0 {
                tracing::info!(events = due, limit, "events that waited for a limit are tried again");
            }
        }
        Ok(())
    }

    /// Decides on the events above a limit, by limits that were asked for at this time, and adds them to what is not published
    /// now. What can't be decided by them is left as it is, for the claim after the limits were asked for again.
    ///
    /// # Errors
    /// As the database has it.
    pub async fn set_aside(
        &self,
        over: Vec<Over>,
        asked_at: Option<Instant>,
        aside: &mut Aside,
    ) -> Result<(), TurnError> {
        if over.is_empty() {
            return Ok(());
        }
        let waiting = outbox_put_off::aggregates_over_limit(&self.pool).await.map_err(TurnError::Claim)?;
        let Verdict { dead, put_off, suspects_limit } = self.judge.decide(over, waiting, asked_at);
        if suspects_limit {
            tracing::error!(
                events = put_off.len(),
                "events of several orders are above a limit: the limit is taken to be wrong, and they wait"
            );
        }
        aside.faulty.extend(dead);
        aside.put_off.extend(put_off);
        Ok(())
    }
}
