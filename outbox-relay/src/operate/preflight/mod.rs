//! The preflight: does what the promises rest on hold here?
//!
//! Guarantees to change nothing. What can't be asked, because the database or the broker is away, is a note and never a
//! reason not to start: a relay waits for both. Each finding says what is, why it matters and how to fix it.

mod board;
mod database;
mod difference;
mod finding;
pub mod stream;
mod variables;

use std::time::Duration;

use runtime::mysql::Pool;
use runtime::retry::Retry;
use tokio_util::sync::CancellationToken;

use self::finding::Answers;
use self::stream::{Broker, Demands};

pub use board::Board;
pub use finding::{Finding, Findings};

const REFUSED: &str = "the preflight found what must be fixed, and --strict is set";

/// Checks everything.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub pool: Pool,
    pub broker: Broker,
    pub demands: Demands,
}

impl Preflight {
    /// Checks once; each of the two servers is given a few seconds.
    pub async fn check(&self) -> Findings {
        self.ask().await.into()
    }

    async fn ask(&self) -> Answers {
        let (database, stream) = tokio::join!(database::check(&self.pool), self.broker.check(&self.demands));
        Answers { database, stream }
    }

    /// Checks once if the relay is strict.
    ///
    /// # Errors
    /// If something must be fixed.
    pub async fn admit(&self, is_strict: bool) -> anyhow::Result<()> {
        if is_strict {
            let found = self.check().await;
            found.log();
            anyhow::ensure!(!found.refuse(), "{REFUSED}");
        }
        Ok(())
    }

    /// Checks until both servers answered once, and then again and again, `every` so often: somebody may edit the stream or
    /// the server at any time. What is new is logged, and what is found stands on the board; only the first check refuses.
    ///
    /// # Errors
    /// If `is_strict` and something must be fixed.
    pub async fn run(
        self,
        board: Board,
        is_strict: bool,
        every: Duration,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut retry = Retry::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut before: Option<Findings> = None;
        loop {
            let answers = self.ask().await;
            board.tell(&answers);
            let found = Findings::from(answers);
            board.count(&found);
            if found.is_complete {
                found.log_new(before.as_ref());
                anyhow::ensure!(!(is_strict && before.is_none() && found.refuse()), "{REFUSED}");
                before = Some(found);
                retry.reset();
                if shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
                    return Ok(());
                }
            } else if retry.wait(&shutdown).await.is_err() {
                return Ok(());
            }
        }
    }
}
