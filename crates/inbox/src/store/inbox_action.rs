//! `inbox_action`: what people decided about messages and aggregates, each written in the transaction that carries it out.

use runtime::mysql::Transaction;
use runtime::operator::decision::By;

/// What is decided.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A dead message is processed again.
    Requeue,
    /// A dead message is given up.
    Discard,
    /// An aggregate goes on without versions.
    Skip,
    /// A part of the stream is read again.
    Reread,
}

/// Records a decision about a subject.
///
/// # Errors
/// Any fault.
pub async fn record(tx: &mut Transaction, by: By<'_>, action: Action, subject: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO inbox_action (actor, action, subject, reason)
         VALUES (?, ?, ?, ?)",
        by.actor,
        action.as_str(),
        subject,
        by.reason,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
            Self::Skip => "skip",
            Self::Reread => "reread",
        }
    }
}
