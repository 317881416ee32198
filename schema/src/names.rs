//! The names that several programs, manifests and dashboards rely on.

/// The stream that holds the order events.
pub const STREAM: &str = "ORDERS";

/// The subjects that it takes.
pub const STREAM_SUBJECTS: &[&str] = &["order.>"];

/// The durable consumer of notify-svc, and its name in the inbox.
pub const NOTIFY_DURABLE: &str = "notify-svc";

/// The aggregate type of orders.
pub const ORDER: &str = "order";

/// `ce-source` of the order events.
pub const ORDERS_SOURCE: &str = "/web-store/orders";

/// Core-NATS subject of the wake hint: an empty message after each commit that appended to the outbox of the orders
/// database. It may be lost; the relay polls too.
pub const ORDERS_WAKE_SUBJECT: &str = "outbox.wake.orders";

/// The stream that holds the payment events.
pub const PAYMENTS_STREAM: &str = "PAYMENTS";

/// The subjects that it takes.
pub const PAYMENTS_STREAM_SUBJECTS: &[&str] = &["payment.>"];

/// The durable consumer of payment-svc on the stream of the orders, and its name in the inbox.
pub const PAYMENT_DURABLE: &str = "payment-svc";

/// The durable consumer of order-svc on the stream of the payments, and its name in the inbox.
pub const ORDERS_DURABLE: &str = "order-svc";

/// The durable consumer of notify-svc on the stream of the payments, and its name in the inbox.
pub const NOTIFY_PAYMENTS_DURABLE: &str = "notify-svc-payments";

/// The aggregate type of payments.
pub const PAYMENT: &str = "payment";

/// `ce-source` of the payment events.
pub const PAYMENTS_SOURCE: &str = "/web-store/payments";

/// As [`ORDERS_WAKE_SUBJECT`], of the payments database.
pub const PAYMENTS_WAKE_SUBJECT: &str = "outbox.wake.payments";

/// The row of `relay_lease` that the relay of the outbox holds.
pub const OUTBOX_LEASE: &str = "outbox";

/// NATS header by which JetStream deduplicates within the stream's dedup window.
pub const MSG_ID_HEADER: &str = "Nats-Msg-Id";

/// On a message that stands for a discarded event, with the value [`TOMBSTONE`]: its version has no effect and is not to
/// be waited for. The rest of the envelope is the event's own, the body is `{}`.
pub const TOMBSTONE_HEADER: &str = "ce-tombstone";

/// The value of [`TOMBSTONE_HEADER`].
pub const TOMBSTONE: &str = "true";

/// W3C trace context, in the outbox row's `headers` and in the message.
pub const TRACEPARENT_HEADER: &str = "traceparent";
