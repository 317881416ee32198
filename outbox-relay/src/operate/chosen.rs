//! What the verbs share that name events.

use std::collections::BTreeSet;

use anyhow::Context;
use uuid::Uuid;

use crate::store::outbox_operator::ChosenRow;

/// The ids, each once: naming an event twice means it once.
pub fn each_once(named: &[Uuid]) -> Vec<Uuid> {
    named.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Refuses the whole verb unless each event that was named is there, in one of these states.
///
/// # Errors
/// The first that is not.
pub fn check_chosen(named: &[Uuid], chosen: &[ChosenRow], states: &[&str]) -> anyhow::Result<()> {
    for id in named {
        let row = chosen.iter().find(|row| row.event_id == *id);
        let row = row.with_context(|| format!("there is no event {id} in the outbox; nothing was changed"))?;
        let expected = states.join(" or ");
        anyhow::ensure!(
            states.contains(&row.state.as_str()),
            "event {id} is {}, not {expected}; nothing was changed",
            row.state
        );
    }
    Ok(())
}

/// The ids as one text, for the record.
pub fn scope_of(chosen: &[ChosenRow]) -> String {
    chosen.iter().map(|row| row.event_id.to_string()).collect::<Vec<_>>().join(" ")
}
