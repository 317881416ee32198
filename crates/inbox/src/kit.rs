//! For the tests of a service: gives its handler events as a stream may, twice, late, out of order and in batches of any size.
//!
//! Goes the way of real messages, from the message to the commit, without a broker. Relies on a database with the tables of
//! the inbox and the service's own.

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use schema::envelope::Envelope;
use uuid::Uuid;

use crate::handler::Handler;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::process::{Inbox, Limit, Process};

const BATCH_MAX: usize = 7;
const ATTEMPTS_MAX: u32 = 10;

/// A stream with nothing in it, and the inbox that reads it.
#[derive(Debug)]
pub struct Kit<H> {
    process: Process<H>,
    reading: Uuid,
    last_sequence: u64,
}

impl<H: Handler> Kit<H> {
    /// Nothing is delivered yet.
    pub fn new(inbox: Inbox<H>) -> Self {
        let limit = Arc::new(Limit::new(BATCH_MAX));
        let process = Process { inbox, attempts_max: ATTEMPTS_MAX, limit, tally: Arc::default() };
        Self { process, reading: Uuid::now_v7(), last_sequence: 0 }
    }

    /// Delivers a batch, in this order, and says what became of each; none is left without an outcome.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn deliver(&mut self, events: &[(Envelope, Bytes)]) -> sqlx::Result<Vec<Outcome>> {
        let messages: Vec<_> = events.iter().map(|(envelope, payload)| self.message(envelope, payload)).collect();
        let batch = self.process.inbox.batch(self.reading, messages);
        self.process.batch(self.reading, &batch.entries).await?;
        Ok(batch.entries.iter().filter_map(|entry| entry.outcome()).collect())
    }

    /// Delivers each event twice, in an order and in batches that the seed says, and applies what was parked meanwhile.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn deliver_badly(&mut self, events: &[(Envelope, Bytes)], seed: u64) -> sqlx::Result<()> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut deliveries = [events, events].concat();
        random.shuffle(&mut deliveries);
        let mut rest = &deliveries[..];
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(random.usize(1..=BATCH_MAX.min(rest.len())));
            self.deliver(batch).await?;
            rest = behind;
        }
        while self.resume().await? {}
        Ok(())
    }

    /// Tries parked events that are due, and says whether there were any.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn resume(&self) -> sqlx::Result<bool> {
        self.process.resume().await
    }

    fn message(&mut self, envelope: &Envelope, payload: &Bytes) -> Message {
        self.last_sequence += 1;
        Message {
            subject: envelope.event_type.clone(),
            headers: envelope.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            payload: payload.clone(),
            stream_sequence: self.last_sequence,
            stored_at: Utc::now(),
            deliveries: 1,
        }
    }
}
