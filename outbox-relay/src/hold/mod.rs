//! What is not published, and what goes: pauses, the release of held events, and retention.

pub mod housekeeping;
pub mod metrics;
pub mod pause;
mod release;
pub mod retention;
