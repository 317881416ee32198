//! The two databases: their migrations, forward only, and the grants of their users.

use sqlx::migrate::Migrator;

/// What makes an empty database ours.
#[derive(Debug)]
pub struct Definition {
    /// Its customary name. Nothing in the SQL depends on it.
    pub name: &'static str,
    /// Brings it to the newest schema.
    pub migrator: Migrator,
    /// Creates its users, locked, and grants them what they need; tables are unqualified, so it applies to the
    /// current database. Statements end with `;` at a line's end.
    pub grants: &'static str,
    /// The users that `grants` creates.
    pub users: &'static [&'static str],
}

/// Orders, the outbox and the relay's lease.
pub static ORDERS: Definition = Definition {
    name: "orders",
    migrator: sqlx::migrate!("./migrations/orders"),
    grants: include_str!("../grants/orders.sql"),
    users: &["order_svc", "outbox_relay", "orders_inspector"],
};

/// The inbox and the notifications.
pub static NOTIFICATIONS: Definition = Definition {
    name: "notifications",
    migrator: sqlx::migrate!("./migrations/notifications"),
    grants: include_str!("../grants/notifications.sql"),
    users: &["notify_svc", "notifications_inspector"],
};
