//! From messages to effects: each event has exactly one effect in the database, in the order of its versions.
//!
//! A batch is one transaction of a few statements, whatever its size: inbox rows, version gates and notifications of all
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

pub use decide::{Failure, Requeued, discard, requeue};
pub use limit::Limit;
pub use skip::{Unskippable, skip};
pub use tally::Tally;
pub use work::{Batch, Entry};

/// How messages are processed.
#[derive(Clone, Debug)]
pub struct Process {
    /// The database `notifications`.
    pub pool: Pool,
    /// Attempts after which an event whose effect the database refuses is dead.
    pub attempts_max: u32,
    /// What one transaction may hold, by what the database has managed lately.
    pub limit: Arc<Limit>,
    /// What parked events came to, to be counted.
    pub tally: Arc<Tally>,
}
