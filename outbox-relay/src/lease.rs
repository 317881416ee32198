//! The lease: of any number of relays, one is active.
//!
//! Guarantees that a relay publishes only while its tenure is valid by its own monotonic clock, which runs on while
//! the process is stopped, and that it settles only while the database still has its token, which no other tenure ever had. A
//! tenure that is not renewed in time ends by itself; the settles of a relay that slept through its end change nothing
//! (`a_stale_relay_settles_nothing`). What such a relay has on its way to the broker is refused there: see
//! [`crate::publish`].
//!
//! A standby believes no clock but its own: the database's may be set back and forth. It takes a lease whose row did not
//! change while it watched for a lease time, a released one at once, and one whose holder has been saying for a lease time that
//! the broker takes nothing from it, if the broker answers us (`a_relay_that_is_cut_off_from_the_broker_is_relieved`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::mysql::Pool;
use runtime::operator;
use runtime::retry::{Retry, Stopped};
use runtime::telemetry::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store;
use crate::store::lease::LeaseRow;
use crate::stream::Reach;

/// A relay that relieved others without having anything published waits at most this long before it does so again.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Takes, keeps and gives up the lease of one outbox.
#[derive(Debug)]
pub struct Lease {
    pool: Pool,
    name: &'static str,
    time: Duration,
    metrics: Metrics,
    /// How long a holder's outage has to last before it is relieved: longer each time that it did not help.
    patience: Duration,
    active: watch::Sender<bool>,
}

/// Whether this relay is the active one; a clone is the same.
#[derive(Clone, Debug)]
pub struct Activity(watch::Receiver<bool>);

impl Activity {
    /// At this moment.
    pub fn is_active(&self) -> bool {
        *self.0.borrow()
    }
}

/// The time in which this relay is the active one.
#[derive(Debug)]
pub struct Tenure {
    /// What every statement of this tenure compares: no other tenure, of whichever relay, has the same.
    pub token: String,
    /// Whether the row still has an outage that the holder before had.
    pub inherits_outage: bool,
    valid_until: Mutex<Instant>,
    /// Cancelled when the tenure is over.
    pub over: CancellationToken,
}

impl Tenure {
    /// Whether this relay may still publish.
    pub fn is_valid(&self) -> bool {
        !self.over.is_cancelled() && Instant::now() < self.valid_until()
    }

    fn valid_until(&self) -> Instant {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Why a standby may take the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chance {
    /// It was released.
    Free,
    /// Nobody renewed it for a lease time.
    Abandoned,
    /// Its holder can't publish, and we may be able to.
    Relief,
}

/// What a standby saw of the row, and since when it is so by our clock.
#[derive(Debug, Default)]
struct Watched {
    renewal: Option<(LeaseRow, Instant)>,
    outage: Option<(LeaseRow, Instant)>,
}

impl Watched {
    /// Notes the row as it was seen at a moment.
    fn see(&mut self, row: &LeaseRow, now: Instant) {
        if !self.renewal.as_ref().is_some_and(|(before, _)| row.is_unchanged(before)) {
            self.renewal = Some((row.clone(), now));
        }
        let is_same = |before: &LeaseRow| (&before.holder, before.outage_since) == (&row.holder, row.outage_since);
        if row.outage.is_none() {
            self.outage = None;
        } else if !self.outage.as_ref().is_some_and(|(before, _)| is_same(before)) {
            self.outage = Some((row.clone(), now));
        }
    }

    /// What the last reading makes possible.
    fn chance(&self, now: Instant, time: Duration, patience: Duration) -> Option<Chance> {
        let (row, since) = self.renewal.as_ref()?;
        let has_lasted = |since: Instant, time| now.saturating_duration_since(since) >= time;
        if row.holder.is_none() {
            Some(Chance::Free)
        } else if has_lasted(*since, time) {
            Some(Chance::Abandoned)
        } else {
            self.outage.as_ref().filter(|(_, since)| has_lasted(*since, patience)).map(|_| Chance::Relief)
        }
    }
}

impl Lease {
    /// A lease that other relays may take `time` after this one died.
    pub fn new(pool: Pool, name: &'static str, time: Duration, metrics: Metrics) -> Self {
        Self { pool, name, time, metrics, patience: time, active: watch::Sender::new(false) }
    }

    /// For those who work beside the active relay only.
    pub fn activity(&self) -> Activity {
        Activity(self.active.subscribe())
    }

    fn set_active(&self, is_active: bool) {
        self.active.send_replace(is_active);
        self.metrics.lease_held(is_active);
    }

    /// Stands by until the lease may be taken, then takes it.
    ///
    /// # Errors
    /// [`Stopped`] when the process is to stop.
    pub async fn acquire(&mut self, reach: &Reach, shutdown: &CancellationToken) -> Result<Tenure, Stopped> {
        let mut retry = Retry::new(self.time / 3, self.time / 3);
        let mut watched = Watched::default();
        let token = token();
        loop {
            if shutdown.is_cancelled() {
                return Err(Stopped);
            }
            match self.try_acquire(&token, &mut watched, reach, shutdown).await {
                Ok(Some(tenure)) => {
                    tracing::info!(token = tenure.token, "lease acquired, this relay is active");
                    self.set_active(true);
                    return Ok(tenure);
                }
                Ok(None) => {
                    self.metrics.outage_ended();
                    tracing::debug!("another relay is active, standing by");
                }
                Err(error) => {
                    self.metrics.database_away();
                    tracing::warn!(error = chain(&error), "can't take the lease, trying again");
                }
            }
            retry.wait(shutdown).await?;
        }
    }

    /// Reads the row once, and takes the lease if the row is still as it was seen.
    async fn try_acquire(
        &mut self,
        token: &str,
        watched: &mut Watched,
        reach: &Reach,
        shutdown: &CancellationToken,
    ) -> sqlx::Result<Option<Tenure>> {
        let row = store::lease::read(&self.pool, self.name).await?.ok_or(sqlx::Error::RowNotFound)?;
        watched.see(&row, Instant::now());
        if row.outage.is_none() {
            self.patience = self.time;
        }
        // It may be ours, if the answer to the statement that took it was lost.
        let is_ours = row.holder.as_deref() == Some(token);
        let chance = watched.chance(Instant::now(), self.time, self.patience).or(is_ours.then_some(Chance::Free));
        let Some(chance) = chance else { return Ok(None) };
        let is_relief = chance == Chance::Relief;
        if is_relief && !reach.answers().await {
            return Ok(None);
        }
        // Counted from before the statement, so that our clock runs out before those of the others do.
        let valid_until = Instant::now() + self.time;
        if !store::lease::take(&self.pool, self.name, &row, (token, self.time), is_relief).await? {
            return Ok(None);
        }
        if is_relief {
            self.patience = (self.patience * 2).min(PATIENCE_MAX.max(self.time));
            let outage = row.outage.as_deref().unwrap_or_default();
            tracing::warn!(outage, "the relay that was active can't publish, taking over from it");
        }
        Ok(Some(Tenure {
            token: token.to_owned(),
            inherits_outage: is_relief,
            valid_until: Mutex::new(valid_until),
            over: shutdown.child_token(),
        }))
    }

    /// Keeps the tenure until it is over.
    pub async fn keep(&self, tenure: &Tenure, shutdown: &CancellationToken) {
        self.renew(tenure).await;
        // Not when it is released: a settle may wait for the database long after another relay took over.
        self.set_active(false);
        if !shutdown.is_cancelled() {
            self.metrics.lease_lost();
        }
    }

    /// Renews it three times as often as needed; ends it if that fails for too long.
    async fn renew(&self, tenure: &Tenure) {
        loop {
            tokio::select! {
                () = tenure.over.cancelled() => return,
                () = tokio::time::sleep(self.time / 3) => {}
            }
            let valid_until = Instant::now() + self.time;
            let renewal = store::lease::renew(&self.pool, self.name, &tenure.token, self.time);
            match tokio::time::timeout_at(tenure.valid_until().into(), renewal).await {
                Ok(Ok(true)) => tenure.extend(valid_until),
                Ok(Ok(false)) => {
                    tracing::warn!(token = tenure.token, "another relay took the lease");
                    tenure.over.cancel();
                }
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "can't renew the lease, trying again"),
                Err(_) => {}
            }
            if !tenure.is_valid() && !tenure.over.is_cancelled() {
                tracing::warn!(token = tenure.token, "the lease was not renewed in time, this relay stands by");
                self.metrics.database_away();
                tenure.over.cancel();
            }
        }
    }

    /// Writes down for people why the broker takes no events, or that it takes them again; whether that could be written.
    pub async fn note_outage(&self, tenure: &Tenure, outage: Option<&str>) -> bool {
        let noted = store::lease::note_outage(&self.pool, self.name, &tenure.token, outage).await;
        if let Err(error) = &noted {
            tracing::warn!(error = chain(error), "can't write down how the broker is");
        }
        noted.is_ok()
    }

    /// Ends the tenure for good, so that a standby takes over at once. A failure costs it the lease time, no more.
    pub async fn release(&self, tenure: &Tenure) {
        let release = store::lease::release(&self.pool, self.name, &tenure.token);
        match tokio::time::timeout(self.time, release).await {
            Ok(Ok(true)) => tracing::info!(token = tenure.token, "lease released"),
            Ok(Ok(false)) => tracing::info!(token = tenure.token, "lease was lost already"),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "can't release the lease, it will expire"),
            Err(_) => tracing::warn!("can't release the lease in time, it will expire"),
        }
    }
}

/// A fresh token: host and process are for people, the rest is of one tenure only.
fn token() -> String {
    let host: String = operator::machine().chars().take(50).collect();
    format!("{host}:{}:{}", std::process::id(), Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(3);

    fn row(holder: Option<&str>, renewed: i64) -> LeaseRow {
        LeaseRow {
            holder: holder.map(str::to_owned),
            epoch: 7,
            expires_at: chrono::DateTime::from_timestamp_secs(renewed).unwrap(),
            is_alive: true,
            outage: None,
            outage_since: None,
        }
    }

    /// What readings at these seconds, at rows renewed at these moments of the database, make possible after the last one.
    fn chance(reads: &[(u64, i64)]) -> Option<Chance> {
        let (begin, mut watched, mut now) = (Instant::now(), Watched::default(), Instant::now());
        for (at, renewed) in reads {
            now = begin + Duration::from_secs(*at);
            watched.see(&row(Some("a"), *renewed), now);
        }
        watched.chance(now, TIME, TIME)
    }

    #[test]
    fn a_lease_is_abandoned_when_its_row_did_not_change_for_a_lease_time_whatever_it_says_of_the_time() {
        assert_eq!(chance(&[(0, 1)]), None, "seen once");
        assert_eq!(chance(&[(0, 1), (2, 1)]), None);
        assert_eq!(chance(&[(0, 1), (3, 1)]), Some(Chance::Abandoned));
        assert_eq!(chance(&[(0, 9_000_000_000), (3, 9_000_000_000)]), Some(Chance::Abandoned), "hours ahead");
        assert_eq!(chance(&[(0, 5), (2, 6), (4, 7), (6, 8)]), None, "renewed");
        assert_eq!(chance(&[(0, 8), (2, 6), (4, 4), (6, 2)]), None, "renewed by a clock that goes back");
    }

    #[test]
    fn a_released_lease_is_free_at_once_and_a_holder_that_can_not_publish_is_relieved_after_a_while() {
        let now = Instant::now();
        let mut watched = Watched::default();
        watched.see(&row(None, 1), now);
        assert_eq!(watched.chance(now, TIME, TIME), Some(Chance::Free));

        let since = chrono::DateTime::from_timestamp_secs(1);
        let away =
            |renewed| LeaseRow { outage: Some("away".to_owned()), outage_since: since, ..row(Some("a"), renewed) };
        for second in 0..6 {
            let now = now + Duration::from_secs(second);
            watched.see(&away(second.cast_signed()), now);
            let expected = (second >= 3).then_some(Chance::Relief);
            assert_eq!(watched.chance(now, TIME, TIME), expected, "after {second} s");
            assert_eq!(watched.chance(now, TIME, TIME * 2), None, "patient");
        }
        watched.see(&row(Some("a"), 9), now + Duration::from_secs(9));
        assert_eq!(watched.chance(now + Duration::from_secs(9), TIME, TIME), None, "it publishes again");
    }
}
