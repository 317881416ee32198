//! What an order is and what may happen to it. Pure: no clock, no database, no HTTP.

mod email;
mod event;
mod new_order;
mod order;

pub use event::{NewEvent, TraceParent};
pub use new_order::{NewOrder, ParseError, Violation, rules};
pub use order::{Cancellation, Order, OrderStatus, UnknownStatus};
