//! Paused subjects: which events are not published for now.
//!
//! The table is the truth and every relay follows it, so a pause holds whichever relay is active and survives their
//! restarts. A relay claims nothing before it first read them and follows a change within [`INTERVAL`]. Events that match
//! are held as if an earlier event were dead, so they cost the claim nothing however many they are, and later events of their aggregates
//! can't overtake them; [`crate::hold::release`] lets them go on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use runtime::mysql::{Pool, is_transient};
use runtime::retry::Retry;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use super::metrics::HousekeepingMetrics;
use crate::store;
use crate::subject::Pattern;

/// How old what was read may be.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// What this relay knows of the table; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<RwLock<Arc<Paused>>>);

/// The patterns at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Paused(Vec<Pattern>);

impl Pauses {
    /// The patterns as last read.
    pub fn now(&self) -> Arc<Paused> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the table.
    ///
    /// # Errors
    /// If the database can't be read; what was known stays.
    pub async fn fetch(&self, pool: &Pool) -> sqlx::Result<usize> {
        let texts = store::pause::patterns(pool).await?;
        let patterns: Vec<Pattern> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let count = patterns.len();
        let paused = Paused(patterns);
        if *self.now() != paused {
            // The verb `pause` writes patterns only; another program may have written anything.
            tracing::info!(patterns = ?texts, understood = count, "paused subjects changed");
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(paused);
        }
        Ok(count)
    }

    /// Reads until it succeeds: before that nothing may be published.
    ///
    /// # Errors
    /// A fault that waiting can't fix, or a stop of the process.
    pub async fn first_look(&self, pool: &Pool, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut retry = Retry::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            match self.fetch(pool).await {
                Ok(_) => return Ok(()),
                Err(error) if is_transient(&error) => {
                    tracing::warn!(error = chain(&error), "can't read outbox_pause, trying again");
                    retry.wait(shutdown).await?;
                }
                Err(error) => return Err(anyhow::Error::new(error).context("reading outbox_pause")),
            }
        }
    }
}

impl Paused {
    /// Whether events for this subject wait.
    pub fn include(&self, subject: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(subject))
    }
}

/// Follows the table until shutdown.
///
/// # Errors
/// Never; the first of failed reads is logged, and what was known stays.
pub async fn follow(
    pool: Pool,
    pauses: Pauses,
    metrics: HousekeepingMetrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_told = false;
    while shutdown.run_until_cancelled(timer.tick()).await.is_some() {
        let fetched = pauses.fetch(&pool).await;
        match &fetched {
            Ok(patterns) => metrics.paused_patterns(*patterns),
            // Twice a second is too often to say it; whoever claims and samples says that it lasts.
            Err(error) if !is_told => tracing::warn!(error = chain(error), "can't read outbox_pause, trying again"),
            Err(error) => tracing::debug!(error = chain(error), "can't read outbox_pause"),
        }
        is_told = fetched.is_err();
    }
    Ok(())
}
