//! What an order is and what may happen to it. Pure: no clock, no database, no HTTP.

mod customer;
mod entries;
mod idempotency_key;
mod new_order;
mod order;
mod order_filter;
mod payment;

pub use customer::{CustomerId, Subject, Whose};
pub use idempotency_key::IdempotencyKey;
pub use new_order::{NewOrder, ParseError, Violation, rules};
pub use order::{Cancellation, Order, OrderStatus, UnknownStatus, VERSIONS_SKIPPED_MAX};
pub use order_filter::OrderFilter;
pub use payment::{PaymentState, UnknownPayment};
