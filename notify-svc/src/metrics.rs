//! What this service counts of its emails; the inbox counts its own. Every label value is present at 0 from the start.

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use runtime::{counters, time};

use crate::notification::EmailState;

/// What became of one attempt to send an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailAttempt {
    /// The transport took it.
    Sent,
    /// The transport answered no; it is tried again.
    Refused,
    /// It is not tried again.
    Dead,
    /// There was no transport to try, or it failed and others must show whose fault it was; no attempt is spent.
    Unreachable,
    /// It was sent and not answered for; it is tried again.
    Unknown,
}

/// The metrics of the emails.
#[derive(Clone, Debug)]
pub struct Metrics {
    emails: IntCounterVec,
    /// 1 while the email transport takes emails, as far as they have shown; 0 while the queue waits for it.
    pub email_transport_up: IntGauge,
    queued_emails: IntGaugeVec,
    oldest_email: Gauge,
    emails_sampled_at: Gauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = EmailAttempt::ALL.map(EmailAttempt::label);
        let help = "Attempts to send an email, by outcome.";
        let emails = counters::register(registry, "email_attempts_total", help, "outcome", &outcomes)?;
        let help = "0 while no email leaves because the email transport is away or refuses us, else 1.";
        let email_transport_up = IntGauge::new("email_transport_up", help)?;
        email_transport_up.set(1);
        let help = "Emails in the database by state: pending ones, 100000 at most, and of the youngest 1000 dead ones those that \
                    nobody has decided about.";
        let queued_emails = IntGaugeVec::new(Opts::new("email_queue_emails", help), &["state"])?;
        let states = [EmailState::Pending, EmailState::Dead].map(EmailState::as_str);
        let queued_emails = counters::start(registry, queued_emails, &states)?;
        let help = "Seconds since the oldest pending email was written; 0 if there is none.";
        let oldest_email = Gauge::new("email_queue_oldest_age_seconds", help)?;
        let help = "When the emails in the database were last counted, in seconds since 1970; 0 before the first time.";
        let emails_sampled_at = Gauge::new("email_queue_sample_timestamp_seconds", help)?;
        registry.register(Box::new(email_transport_up.clone()))?;
        registry.register(Box::new(oldest_email.clone()))?;
        registry.register(Box::new(emails_sampled_at.clone()))?;
        Ok(Self { emails, email_transport_up, queued_emails, oldest_email, emails_sampled_at })
    }

    /// Counts an attempt to send an email.
    pub fn emailed(&self, attempt: EmailAttempt) {
        self.emails.with_label_values(&[attempt.label()]).inc();
    }

    /// A sample of the email queue, taken now.
    pub fn email_queue(&self, pending: i64, oldest_seconds: f64, dead: i64) {
        self.queued_emails.with_label_values(&[EmailState::Pending.as_str()]).set(pending);
        self.queued_emails.with_label_values(&[EmailState::Dead.as_str()]).set(dead);
        self.oldest_email.set(oldest_seconds);
        self.emails_sampled_at.set(time::unix_seconds());
    }
}

impl EmailAttempt {
    const ALL: [Self; 5] = [Self::Sent, Self::Refused, Self::Dead, Self::Unreachable, Self::Unknown];

    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Dead => "dead",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}
