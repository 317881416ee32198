//! From messages to effects: each event has exactly one effect in the database, in the order of its versions.
//!
//! A batch is one transaction of a few statements, whatever its size: inbox rows, version gates and effects of all
//! its events, and the position in the stream, or none of it (`together`). What that leaves gets a transaction a message, so
//! that a fault costs nobody else (`single`). The caller acknowledges after the commit: a crash between the two makes a
//! redelivery, and that a duplicate (`a_crash_between_commit_and_ack_makes_no_second_notification`).

mod decide;
mod fault;
mod limit;
mod parked;
mod plan;
mod single;
mod skip;
mod tally;
mod together;
mod turn;
mod unpark;
mod work;

use std::sync::Arc;

use runtime::mysql::Pool;
use runtime::telemetry::trace;
use uuid::Uuid;

use crate::event::{self, Content};
use crate::handler::Handler;
use crate::message::Message;
use crate::source::Source;

pub use decide::{Failure, Requeued};
pub use limit::Limit;
pub use skip::Unskippable;
pub use tally::Tally;
pub use work::{Batch, Entry};

/// An inbox: the tables, what is read, and what makes effects of it. Made of handles: clone it.
#[derive(Clone, Debug)]
pub struct Inbox<H> {
    /// The database of the effects.
    pub pool: Pool,
    /// What is read.
    pub source: Arc<Source>,
    /// What the service makes of it.
    pub handler: H,
}

/// How messages are processed.
#[derive(Clone, Debug)]
pub struct Process<H> {
    /// Where, and by whom.
    pub inbox: Inbox<H>,
    /// Attempts after which an event whose effect the database refuses is dead.
    pub attempts_max: u32,
    /// What one transaction may hold, by what the database has managed lately.
    pub limit: Arc<Limit>,
    /// What parked events came to, to be counted.
    pub tally: Arc<Tally>,
}

impl<H: Handler> Inbox<H> {
    /// What a message holds. What the handler makes of it belongs to the message's trace.
    pub(crate) fn read(&self, message: &Message) -> Content<H::Effect> {
        trace::within(message.traceparent().as_ref(), || event::read(message, &self.source, &self.handler))
    }

    /// Messages that were read together, in stream order, none with an outcome yet.
    pub fn batch(&self, reading: Uuid, messages: impl IntoIterator<Item = Message>) -> Batch<H::Effect> {
        let entry = |message| {
            let step = work::step(&message, &self.source);
            let content = match &step {
                Some(step) => step.within(|| event::read(&message, &self.source, &self.handler)),
                None => self.read(&message),
            };
            Entry::new(message, content).traced(step)
        };
        Batch { reading, entries: messages.into_iter().map(entry).collect() }
    }
}
