//! What became of a transaction that failed, and whether it may be tried again as a whole.
//!
//! Before COMMIT is sent nothing is committed, so a fault that passes by itself (deadlock, killed connection, failover)
//! is tried again a few times. If the answer to COMMIT is lost, the next attempt finds out: attempts keep the ids of the
//! rows and the event, so what is there is ours, and what the server is still committing makes the attempt wait. Only if
//! the database stays away is the outcome unknown. Test `a_lost_answer_to_commit_is_found_out`.

use std::time::Duration;

use runtime::mysql::{self, is_transient};
use runtime::retry::Retry;
use sqlx::{Executor, MySql};
use tokio::time::Instant;

use crate::config::EventBytesMax;

/// A transaction that is open: ours, or sqlx's own.
pub trait OpenTransaction {
    /// Runs the statements in it.
    fn executor(&mut self) -> impl Executor<'_, Database = MySql>;
}

impl OpenTransaction for mysql::Transaction {
    fn executor(&mut self) -> impl Executor<'_, Database = MySql> {
        self
    }
}

impl OpenTransaction for sqlx::Transaction<'_, MySql> {
    fn executor(&mut self) -> impl Executor<'_, Database = MySql> {
        &mut **self
    }
}

/// Attempts of one request, the first included.
const ATTEMPTS_MAX: u32 = 5;
/// No attempt starts later than this: a client that waited so long had better hear the truth.
const RETRY_WITHIN: Duration = Duration::from_secs(2);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_millis(200);

/// Where a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// COMMIT was not sent: nothing is committed.
    #[error("running the transaction")]
    BeforeCommit(#[from] sqlx::Error),
    /// COMMIT was sent and not confirmed: everything is committed, or nothing.
    #[error("committing the transaction")]
    AtCommit(#[source] sqlx::Error),
    /// The broker would refuse the event: nothing is committed.
    #[error("the event may take {bytes} bytes as a message, more than {limit}")]
    EventTooLarge {
        /// Payload, headers and envelope.
        bytes: usize,
        /// What the broker takes.
        limit: EventBytesMax,
    },
    /// The service met what passes by itself, such as a key that others take and free: nothing is committed.
    #[error("{0}")]
    Contended(&'static str),
    /// An event of another writer took the aggregate's next version meanwhile: nothing is committed.
    #[error("appending an event whose version another writer took")]
    VersionTaken,
}

/// The attempts of one transaction.
#[derive(Debug)]
pub(crate) struct Attempts {
    made: u32,
    began: Instant,
    retry: Retry,
    /// An attempt sent COMMIT and nobody knows yet what became of it.
    in_doubt: bool,
}

impl Attempts {
    /// Starts with the first attempt.
    pub(crate) fn begin() -> Self {
        Self { made: 1, began: Instant::now(), retry: Retry::new(FIRST_DELAY, LONGEST_DELAY), in_doubt: false }
    }

    /// Waits until the transaction may be tried again.
    ///
    /// # Errors
    /// The same error, if trying again is of no use or too late; as [`TransactionError::AtCommit`] if an attempt may have
    /// committed.
    pub(crate) async fn next(&mut self, error: TransactionError) -> Result<(), TransactionError> {
        self.in_doubt |= matches!(error, TransactionError::AtCommit(_));
        if self.made == ATTEMPTS_MAX || !is_worth_retrying(&error) {
            return Err(self.doubt(error));
        }
        let delay = self.retry.next_delay();
        if self.began.elapsed() + delay > RETRY_WITHIN {
            return Err(self.doubt(error));
        }
        tokio::time::sleep(delay).await;
        self.made += 1;
        Ok(())
    }

    fn doubt(&self, error: TransactionError) -> TransactionError {
        match error {
            TransactionError::BeforeCommit(error) if self.in_doubt => TransactionError::AtCommit(error),
            error => error,
        }
    }
}

/// The pool has waited its time already when it gives up; the rest fails fast and may pass fast, or comes too late.
fn is_worth_retrying(error: &TransactionError) -> bool {
    match error {
        TransactionError::BeforeCommit(sqlx::Error::PoolTimedOut) | TransactionError::EventTooLarge { .. } => false,
        TransactionError::BeforeCommit(error) | TransactionError::AtCommit(error) => is_transient(error),
        TransactionError::Contended(_) | TransactionError::VersionTaken => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> sqlx::Error {
        sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_before_commit_is_tried_again_a_few_times() {
        let mut attempts = Attempts::begin();
        for _ in 1..ATTEMPTS_MAX {
            attempts.next(cut().into()).await.unwrap();
        }
        attempts.next(cut().into()).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_to_commit_leaves_doubt_until_an_attempt_succeeds() {
        let mut attempts = Attempts::begin();
        attempts.next(TransactionError::AtCommit(cut())).await.unwrap();
        attempts.next(cut().into()).await.unwrap();
        let given_up = attempts.next(sqlx::Error::PoolTimedOut.into()).await.unwrap_err();
        assert!(matches!(given_up, TransactionError::AtCommit(sqlx::Error::PoolTimedOut)), "{given_up:?}");
    }

    #[tokio::test]
    async fn what_does_not_pass_by_itself_is_not_tried_again() {
        Attempts::begin().next(sqlx::Error::RowNotFound.into()).await.unwrap_err();
        Attempts::begin().next(sqlx::Error::PoolTimedOut.into()).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_starts_late() {
        let mut attempts = Attempts::begin();
        tokio::time::advance(RETRY_WITHIN + Duration::from_millis(1)).await;
        attempts.next(cut().into()).await.unwrap_err();
    }
}
