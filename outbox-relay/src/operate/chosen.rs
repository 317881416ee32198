//! What the verbs share that name events.

use std::collections::BTreeSet;

use runtime::exit::{NotFound, Refused};
use uuid::Uuid;

use crate::store::outbox_operator::{ChosenRow, ChosenState};

/// The ids, each once: naming an event twice means it once.
pub fn each_once(named: &[Uuid]) -> Vec<Uuid> {
    named.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Refuses the whole verb unless each event that was named is there, in one of these states.
///
/// # Errors
/// The first that is not.
pub fn check_chosen(named: &[Uuid], chosen: &[ChosenRow], states: &[ChosenState]) -> anyhow::Result<()> {
    for id in named {
        let row = chosen.iter().find(|row| row.event_id == *id);
        let missing = || NotFound(format!("there is no event {id} in the outbox; nothing was changed"));
        let row = row.ok_or_else(missing)?;
        let expected = states.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        anyhow::ensure!(
            states.contains(&row.state),
            Refused(format!("event {id} is {}, not {expected}; nothing was changed", row.state))
        );
    }
    Ok(())
}

/// The ids as one text, for the record.
pub fn scope_of(chosen: &[ChosenRow]) -> String {
    chosen.iter().map(|row| row.event_id.to_string()).collect::<Vec<_>>().join(" ")
}

/// Why a verb rolled back what it had done.
pub fn changed_meanwhile() -> Refused {
    Refused("somebody else changed one of the events; nothing was changed".to_owned())
}
