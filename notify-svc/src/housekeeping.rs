//! What this service does on a timer: samples of its own tables for the gauges, and retention of the notifications.

use std::time::Duration;

use prometheus::{GaugeVec, Registry};
use runtime::counters;
use runtime::mysql::Pool;
use runtime::retention;
use runtime::telemetry::chain;
use tokio_util::sync::CancellationToken;

use crate::store::{notifications, recipient_mails, suppression};
use crate::suppression::{Cause, HeldBack};

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// The timers of this process.
#[derive(Debug)]
pub struct Housekeeping {
    /// The notifications, and who gets no email.
    pub pool: Pool,
    /// How long a notification is kept; zero for ever.
    retention: Duration,
    /// Addresses that get nothing.
    addresses: GaugeVec,
    /// Emails that were held back.
    emails: GaugeVec,
    /// The stop of the process.
    pub shutdown: CancellationToken,
}

impl Housekeeping {
    /// Registers its metrics.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn new(
        pool: Pool,
        retention: Duration,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> prometheus::Result<Self> {
        let gauges = |name, help, causes: &[&str]| counters::register_gauges(registry, name, help, "cause", causes);
        Ok(Self {
            pool,
            retention,
            addresses: gauges(
                "notify_suppressed_addresses",
                "Addresses that get no email, by cause, one with several causes by each; 100000: that many or more.",
                &Cause::ALL.map(Cause::as_str),
            )?,
            emails: gauges(
                "notify_suppressed_emails",
                "Notifications whose email was held back, by cause, as long as they are kept; 100000: that many or more.",
                &HeldBack::ALL.map(HeldBack::as_str),
            )?,
            shutdown,
        })
    }

    /// Runs until the stop.
    ///
    /// # Errors
    /// Never; it is a part of the process.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::join!(self.sample_all(), self.retain(), self.forget_counts());
        Ok(())
    }

    async fn retain(&self) {
        if !self.retention.is_zero() {
            retention::keep_up("notifications", &self.shutdown, || self.purge()).await;
        }
    }

    async fn forget_counts(&self) {
        let step = |rows_max| recipient_mails::purge(&self.pool, rows_max);
        let purge = || retention::in_steps(&self.shutdown, step);
        retention::keep_up("counts of emails by recipient", &self.shutdown, purge).await;
    }

    async fn purge(&self) -> sqlx::Result<u64> {
        let notifications = |rows_max| notifications::purge(&self.pool, self.retention, rows_max);
        let actions = |rows_max| suppression::purge_actions(&self.pool, self.retention, rows_max);
        let purged = retention::in_steps(&self.shutdown, notifications).await?;
        Ok(purged + retention::in_steps(&self.shutdown, actions).await?)
    }

    async fn sample_all(&self) {
        let mut period = tokio::time::interval(SAMPLE_PERIOD);
        while self.shutdown.run_until_cancelled(period.tick()).await.is_some() {
            if let Err(error) = self.sample().await {
                tracing::debug!(error = chain(&error), "counting who gets no email failed");
            }
        }
    }

    async fn sample(&self) -> sqlx::Result<()> {
        for cause in Cause::ALL {
            let addresses = suppression::count(&self.pool, cause).await?;
            self.addresses.with_label_values(&[cause.as_str()]).set(addresses as f64);
        }
        for cause in HeldBack::ALL {
            let emails = notifications::count_held_back(&self.pool, cause).await?;
            self.emails.with_label_values(&[cause.as_str()]).set(emails as f64);
        }
        Ok(())
    }
}
