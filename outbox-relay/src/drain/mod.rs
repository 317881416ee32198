//! An event's way from the outbox to the stream: woken, claimed, published, settled.

mod account;
pub mod claim;
pub mod drainer;
mod floor;
pub mod line;
mod pipeline;
mod put_off;
pub mod relay;
pub mod sampler;
mod settlement;
pub mod settler;
pub mod wake;
