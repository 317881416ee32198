//! Whose an effect is while it is performed, and whether a statement found it so.

use schema::ids::EffectId;
use uuid::Uuid;

use crate::effect::Effect;

/// Who holds effects: one value for each claim, so that a process that lost its lease can't conclude for its successor.
#[derive(Clone, Debug)]
pub(crate) struct Claim(pub(super) String);

impl Claim {
    /// A claim that nobody else makes.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }
}

/// An effect under a claim, as it was when it was claimed. A lease that ended is still its process's until another process
/// begins: nobody holds the effect then, and it was not tried since.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: EffectId,
    pub(super) token: String,
    pub(super) attempts: u32,
    pub(super) put_off: u32,
}

impl Held {
    pub(crate) fn new(effect: &Effect, claim: &Claim) -> Self {
        Self { id: effect.id, token: claim.0.clone(), attempts: effect.attempts, put_off: effect.put_off }
    }
}

/// Whether a settlement found the effect under its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It did, and wrote the outcome.
    Yes,
    /// Another process has it, or it is ended.
    ClaimLost,
}

impl Settled {
    pub(super) fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Yes } else { Self::ClaimLost }
    }
}
