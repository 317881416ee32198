//! Effects outside of the database, such as a charge: for whoever wants one that belongs to a transaction.
//!
//! Guarantees that an effect is there if and only if the transaction that [`enqueue`]d it committed; that it is performed
//! until its outcome is known, with one idempotency key, or ends `dead` with its last error; that it is concluded once, in a
//! transaction that may do more, whatever is killed; and that whoever performs it is told when an earlier attempt may have
//! happened. What is done twice at the other side is up to the key and to that look-up. Relies on MySQL or MariaDB alone; the
//! database's clock decides what is due. The tables are those of `schema/effect`.
//!
//! ```no_run
#![doc = include_str!("../examples/send_parcel.rs")]
//! ```

mod attempt;
pub mod cli;
mod config;
mod effect;
mod ending;
mod hold;
mod housekeeping;
mod metrics;
mod perform;
mod queue;
mod rate;
mod run;
mod standing;
mod store;
mod tasks;
mod traced;

pub use attempt::STOP_TIME_MAX;
pub use config::{EffectConfig, Limits};
pub use effect::{Effect, New, Wake, Withdrawal};
pub use hold::Hold;
pub use metrics::Metrics;
pub use perform::{Attempt, Perform};
pub use queue::Queue;
pub use store::count::{COUNT_MAX, Sample, sample};
pub use store::wanted::{end, enqueue, enqueue_all, withdraw};
pub use tasks::{SLOW_MAX, UNDER_WAY_MAX};
