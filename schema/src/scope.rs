//! What a token may permit: the scopes that the services ask for, and that issuers write into `scope` or `scp`.

/// Place orders; read and cancel one's own.
pub const ORDERS: &str = "orders";

/// Read and cancel anybody's orders, and find them by email address.
pub const ORDERS_ALL: &str = "orders:all";

/// Read notifications, which are of all customers.
pub const NOTIFICATIONS: &str = "notifications";

/// Read how events and payments stand.
pub const OPERATIONS: &str = "operations";

/// Look up the address that tells the customer of an order: for notify-svc alone.
pub const RECIPIENTS: &str = "recipients";

/// All of them.
pub const ALL: [&str; 5] = [ORDERS, ORDERS_ALL, NOTIFICATIONS, OPERATIONS, RECIPIENTS];
