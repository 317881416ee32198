//! The issuer's keys as they were fetched last.
//!
//! They are fetched once a minute, so that one that the issuer withdraws is soon refused, and when a token names a key that is not
//! there, at most every five seconds, so that a new key needs no wait and made-up names cost the issuer nothing. One task fetches:
//! an answer that comes late replaces no newer one, and a caller that goes away breaks nothing off. A source that is away, or has
//! nothing of use, leaves the last keys in place. All is timed by the monotonic clock, which nobody sets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::keys::KeySet;
use super::source::{self, Source};
use crate::readiness::Latch;
use crate::telemetry::chain;

/// How old keys become while the source answers.
const REFRESH: Duration = Duration::from_secs(60);
/// When to try again while it does not.
const RETRY: Duration = Duration::from_secs(2);
/// At most so often a token makes us fetch keys.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// Keys, and who fetches them.
#[derive(Debug)]
pub(super) struct HeldKeys {
    source: Source,
    last: watch::Sender<Fetch>,
    /// A token names a key that is not there.
    wanted: Notify,
}

/// What the last fetch has left.
#[derive(Debug, Default)]
struct Fetch {
    keys: Option<Arc<KeySet>>,
    /// It brought none; these are older.
    is_away: bool,
    /// When a token last made us fetch.
    asked_at: Option<Instant>,
}

impl Fetch {
    /// Whether a token may make us fetch. A source that is away is asked again in any case.
    fn may_be_renewed(&self) -> bool {
        !self.is_away && self.asked_at.is_none_or(|at| at.elapsed() >= FETCH_PAUSE)
    }
}

impl HeldKeys {
    pub(super) fn new(source: Source) -> Self {
        Self { source, last: watch::Sender::default(), wanted: Notify::new() }
    }

    /// The keys, however old; none if there never were some.
    pub(super) fn last(&self) -> Option<Arc<KeySet>> {
        self.last.borrow().keys.clone()
    }

    /// The keys for a token that names none of the last ones: fetched now, or no longer ago than tokens may make us fetch. None if
    /// they can't be had.
    pub(super) async fn renewed(&self) -> Option<Arc<KeySet>> {
        let mut last = self.last.subscribe();
        if last.borrow().may_be_renewed() {
            self.wanted.notify_one();
        }
        let fetch = timeout(source::TIME_MAX, last.wait_for(|fetch| !fetch.may_be_renewed())).await.ok()?.ok()?;
        if fetch.is_away { None } else { fetch.keys.clone() }
    }

    /// Fetches until shutdown.
    pub(super) async fn keep(self: Arc<Self>, latch: Latch, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (mut latch, mut asked_at) = (Some(latch), None);
        loop {
            let Some(fetched) = shutdown.run_until_cancelled(self.source.read()).await else { return Ok(()) };
            let pause = if fetched.is_ok() { REFRESH } else { RETRY };
            if fetched.is_ok()
                && let Some(latch) = latch.take()
            {
                latch.set();
            }
            self.note(fetched, asked_at);
            let Some(asked) = shutdown.run_until_cancelled(timeout(pause, self.asked())).await else { return Ok(()) };
            asked_at = asked.ok().or(asked_at);
        }
    }

    /// Waits until a token may make us fetch.
    async fn asked(&self) -> Instant {
        loop {
            self.wanted.notified().await;
            if self.last.borrow().may_be_renewed() {
                return Instant::now();
            }
        }
    }

    /// It is told once when keys can't be had, and once when they can again.
    fn note(&self, fetched: anyhow::Result<KeySet>, asked_at: Option<Instant>) {
        let was_away = self.last.borrow().is_away;
        match &fetched {
            Ok(_) if was_away => tracing::info!("the issuer's keys can be had again"),
            Err(error) if !was_away => {
                let error = chain(error.as_ref());
                tracing::warn!(error, "the issuer's keys can't be had; those that were are kept");
            }
            _ => {}
        }
        self.last.send_modify(|last| {
            last.is_away = fetched.is_err();
            last.asked_at = asked_at;
            if let Ok(keys) = fetched {
                last.keys = Some(Arc::new(keys));
            }
        });
    }
}
