//! The three databases: their migrations, forward only, and the grants of their users.
//!
//! A database is composed: what any service with an outbox, an inbox, effects outside of the database or verbs has, and what is its
//! own. Each part numbers its migrations in a range of its own (a service's own from 1, the outbox from 1001, the inbox from
//! 2001, the effects from 4001, the record of the verbs from 5001, a service's views of several parts from 9001), so that any of
//! them can go on without the others. A file that was released is not changed.

use sqlx::MySqlConnection;
use sqlx::migrate::{MigrateError, Migrator};

/// What any database with an outbox has.
pub static OUTBOX: Migrator = sqlx::migrate!("./outbox");
/// What any database with an inbox has.
pub static INBOX: Migrator = sqlx::migrate!("./inbox");
/// What any database has that keeps effects to be performed outside of it.
pub static EFFECT: Migrator = sqlx::migrate!("./effect");

/// What any database has whose verbs can show personal data: they do only on record.
pub static DISCLOSURE: Migrator = sqlx::migrate!("./disclosure");

static ORDERS_OWN: Migrator = sqlx::migrate!("./orders");
static NOTIFICATIONS_OWN: Migrator = sqlx::migrate!("./notifications");
static PAYMENTS_OWN: Migrator = sqlx::migrate!("./payments");

/// What makes an empty database ours.
#[derive(Debug)]
pub struct Definition {
    /// Its customary name. Nothing in the SQL depends on it.
    pub name: &'static str,
    /// Whose migrations it has.
    pub parts: &'static [&'static Migrator],
    /// Creates its users, locked, and grants them what they need; tables are unqualified, so it applies to the
    /// current database. Statements end with `;` at a line's end.
    pub grants: &'static str,
    /// Lets those users in by TLS alone, for a server that speaks it.
    pub require_tls: &'static str,
    /// The users that `grants` creates.
    pub users: &'static [&'static str],
}

/// Orders, the outbox and what its relay keeps, and the inbox of what is told about payments.
pub static ORDERS: Definition = Definition {
    name: "orders",
    parts: &[&ORDERS_OWN, &OUTBOX, &INBOX, &DISCLOSURE],
    grants: include_str!("../grants/orders.sql"),
    require_tls: include_str!("../grants/orders.tls.sql"),
    users: &["order_svc", "outbox_relay", "orders_operator", "orders_inspector"],
};

/// The inbox, the notifications and their emails.
pub static NOTIFICATIONS: Definition = Definition {
    name: "notifications",
    parts: &[&NOTIFICATIONS_OWN, &INBOX, &EFFECT, &DISCLOSURE],
    grants: include_str!("../grants/notifications.sql"),
    require_tls: include_str!("../grants/notifications.tls.sql"),
    users: &["notify_svc", "notifications_operator", "notifications_inspector"],
};

/// The inbox, the payments, what is asked of their provider, and the outbox of their events.
pub static PAYMENTS: Definition = Definition {
    name: "payments",
    parts: &[&PAYMENTS_OWN, &OUTBOX, &INBOX, &EFFECT, &DISCLOSURE],
    grants: include_str!("../grants/payments.sql"),
    require_tls: include_str!("../grants/payments.tls.sql"),
    users: &["payment_svc", "payment_relay", "payments_operator", "payments_inspector"],
};

/// Why a database could not be brought to the newest schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It has tables of other migrations than these. Nothing was changed.
    #[error(
        "the database was made by another version of these programs (its migration {0} is not one of ours), and there is no way \
         from there to here: on a developer's machine `make reset` starts over; anywhere else give it an empty database"
    )]
    AnotherHistory(i64),
    /// As sqlx has it.
    #[error(transparent)]
    Migrate(MigrateError),
}

impl Definition {
    /// Applies the migrations that the database lacks. Safe to run again, and by several at once: they wait for each other.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub async fn migrate(&self, connection: &mut MySqlConnection) -> Result<(), SchemaError> {
        let migrations = self.parts.iter().flat_map(|part| part.iter().cloned()).collect();
        Migrator::with_migrations(migrations).run(connection).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
                SchemaError::AnotherHistory(version)
            }
            error => SchemaError::Migrate(error),
        })
    }
}
