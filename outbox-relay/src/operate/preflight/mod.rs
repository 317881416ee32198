//! The preflight: does what the promises rest on hold here?
//!
//! Guarantees to change nothing. What can't be asked, because the database or the broker is away, is a note and never a
//! reason not to start: a relay waits for both. Each finding says what is, why it matters and how to fix it.

mod board;
mod database;
mod difference;
mod stream;
mod variables;

use std::borrow::Cow;
use std::time::Duration;

use runtime::mysql::Pool;
use runtime::retry::Retry;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::StreamConfig;

pub use board::Board;
pub use stream::Broker;

const REFUSED: &str = "the preflight found what must be fixed, and --strict is set";

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A promise does not hold.
    Error,
    /// A promise holds by luck, or at a price.
    Warning,
    /// Good to know, or not to be found out from here.
    Note,
}

impl Severity {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// The name in labels and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Which setting, for programs.
    pub setting: Cow<'static, str>,
    pub what: String,
    pub why: &'static str,
    pub fix: String,
}

impl Finding {
    fn new(
        severity: Severity,
        setting: impl Into<Cow<'static, str>>,
        what: String,
        why: &'static str,
        fix: &str,
    ) -> Self {
        Self { severity, setting: setting.into(), what, why, fix: fix.to_owned() }
    }

    /// Something could not be asked.
    fn unasked(setting: &'static str, what: String) -> Self {
        let why = "what was not looked at may be wrong";
        Self::new(Severity::Note, setting, what, why, "try again when it answers")
    }
}

/// What the settings of the relay demand.
#[derive(Clone, Debug)]
pub struct Demands {
    pub stream: StreamConfig,
    /// See [`worst_replay`].
    pub worst_replay: Duration,
}

/// The longest time after which a takeover publishes again what a crash left unsettled.
pub fn worst_replay(publish_timeout: Duration, lease_time: Duration) -> Duration {
    2 * (publish_timeout + lease_time)
}

/// Looks at everything.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub pool: Pool,
    pub broker: Broker,
    pub demands: Demands,
}

/// What each server has, or that it could not be asked.
struct Looked {
    database: Result<Vec<Finding>, Finding>,
    stream: Result<Vec<Finding>, Finding>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Whether database and broker both answered.
    pub is_complete: bool,
}

impl Findings {
    /// Whether a promise does not hold.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether something must be fixed before a strict relay runs.
    pub fn refuse(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity != Severity::Note)
    }
}

impl Preflight {
    /// Looks once; each of the two servers is given a few seconds.
    pub async fn look(&self) -> Findings {
        self.ask().await.into()
    }

    async fn ask(&self) -> Looked {
        let (database, stream) = tokio::join!(database::look(&self.pool), self.broker.look(&self.demands));
        Looked { database, stream }
    }

    /// Looks once if the relay is strict.
    ///
    /// # Errors
    /// If something must be fixed.
    pub async fn admit(&self, is_strict: bool) -> anyhow::Result<()> {
        if is_strict {
            let found = self.look().await;
            found.log();
            anyhow::ensure!(!found.refuse(), "{REFUSED}");
        }
        Ok(())
    }

    /// Looks until both servers answered once, and then again and again, `every` so often: somebody may edit the stream or
    /// the server at any time. What is new is logged, and what is found stands on the board; only the first look refuses.
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
            let looked = self.ask().await;
            board.tell(&looked);
            let found = Findings::from(looked);
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

impl From<Looked> for Findings {
    fn from(Looked { database, stream }: Looked) -> Self {
        let is_complete = database.is_ok() && stream.is_ok();
        let mut findings: Vec<Finding> =
            [database, stream].into_iter().flat_map(|looked| looked.unwrap_or_else(|unasked| vec![unasked])).collect();
        findings.sort_by_key(|finding| finding.severity);
        Self { findings, is_complete }
    }
}

impl Findings {
    fn log(&self) {
        self.log_new(None);
    }

    /// What was not found before, and what is found no more.
    fn log_new(&self, before: Option<&Self>) {
        let lacks = |found: &Self, one: &Finding| {
            !found.findings.iter().any(|other| (&other.setting, &other.what) == (&one.setting, &one.what))
        };
        for finding in self.findings.iter().filter(|one| before.is_none_or(|before| lacks(before, one))) {
            let Finding { severity, setting, what, why, fix } = finding;
            let setting: &str = setting;
            match severity {
                Severity::Error => tracing::error!(setting, what, why, fix, "preflight"),
                Severity::Warning => tracing::warn!(setting, what, why, fix, "preflight"),
                Severity::Note => tracing::info!(setting, what, why, fix, "preflight"),
            }
        }
        for finding in before.iter().flat_map(|before| &before.findings).filter(|one| lacks(self, one)) {
            tracing::info!(setting = &*finding.setting, what = finding.what, "preflight: is no longer so");
        }
    }
}
