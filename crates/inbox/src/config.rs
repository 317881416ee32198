//! The settings of an inbox: flags or environment variables.

use std::time::Duration;

use clap::Args;
use runtime::config::{Validate, duration};

use crate::consumer::{ATTEMPT_TIME_MAX, Settings};

/// Flatten it into a service's own.
#[derive(Clone, Debug, Args)]
pub struct InboxConfig {
    /// How long the broker waits for an answer before it delivers a message again.
    #[arg(long, env = "ACK_WAIT", default_value = "30s", value_parser = duration)]
    pub ack_wait: Duration,

    /// Messages that one transaction may hold; fewer as long as the database can't manage so many in time.
    #[arg(long, env = "BATCH_SIZE_MAX", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch_size_max: u16,

    /// Messages delivered and not answered, over all replicas.
    #[arg(long, env = "ACK_PENDING_MAX", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub ack_pending_max: u32,

    /// Replicas of this service that may run at once: each may hold a whole batch.
    #[arg(long, env = "REPLICAS_MAX", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub replicas_max: u16,

    /// How long an inbox row is kept, and a dead message after a person decided about it: longer than the stream's max_age and OUTBOX_RETENTION together, or nothing is purged.
    #[arg(long, env = "INBOX_RETENTION", default_value = "45d", value_parser = duration)]
    pub inbox_retention: Duration,

    /// How long the relay keeps published events, which it may publish again: its own RETENTION. 0s: for ever, and so are inbox rows.
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "7d", value_parser = duration)]
    pub outbox_retention: Duration,

    /// Attempts after which an event whose effect the database refuses is dead. Outages spend none.
    #[arg(long, env = "DELIVERIES_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub deliveries_max: u32,
}

impl InboxConfig {
    /// Work that a stop does not interrupt takes no longer.
    pub const STOP_TIME_MAX: Duration = ATTEMPT_TIME_MAX;

    pub(crate) fn settings(&self) -> Settings {
        Settings { ack_wait: self.ack_wait, batch_size_max: self.batch_size_max, ack_pending_max: self.ack_pending_max }
    }
}

impl Validate for InboxConfig {
    fn validate(&self) -> Result<(), String> {
        // In-progress beats begin after a third of it, again with each batch: a message must be able to outwait one batch
        // and be processed without any.
        let batch_time_max = 2 * ATTEMPT_TIME_MAX;
        if self.ack_wait < batch_time_max {
            return Err(format!(
                "ACK_WAIT {:?} is too short: two batches may take {batch_time_max:?}, and what waits for them would be \
                 delivered again",
                self.ack_wait
            ));
        }
        let held_max = u32::from(self.batch_size_max) * u32::from(self.replicas_max);
        if self.ack_pending_max < held_max {
            return Err(format!(
                "ACK_PENDING_MAX {} is too small: REPLICAS_MAX {} batches of BATCH_SIZE_MAX {} are {held_max} messages",
                self.ack_pending_max, self.replicas_max, self.batch_size_max
            ));
        }
        if self.inbox_retention <= self.outbox_retention {
            return Err(format!(
                "INBOX_RETENTION {:?} is too short: the relay may publish again what is OUTBOX_RETENTION {:?} old",
                self.inbox_retention, self.outbox_retention
            ));
        }
        Ok(())
    }
}
