//! The table `outbox_action`: who did what to the outbox, written in the transaction that did it.

use runtime::mysql::Transaction;

/// An action of an operator.
#[derive(Debug)]
pub struct Action<'a> {
    /// Who ran the verb.
    pub actor: &'a str,
    /// The verb.
    pub verb: Verb,
    /// What it was done to.
    pub scope: &'a str,
    pub reason: Option<&'a str>,
    /// How many events it changed.
    pub events: u64,
}

/// The verbs that change something.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Requeue,
    Discard,
    Replay,
    Pause,
    Resume,
    Purge,
    ForgetStream,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
            Self::Replay => "replay",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Purge => "purge",
            Self::ForgetStream => "forget-stream",
        }
    }
}

/// Adds a record.
pub async fn record(tx: &mut Transaction, action: &Action<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO outbox_action (actor, action, scope, reason, events)
         VALUES (LEFT(?, 100), ?, LEFT(?, 1000), LEFT(?, 1000), ?)",
        action.actor,
        action.verb.as_str(),
        action.scope,
        action.reason,
        action.events
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
