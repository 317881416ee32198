//! Newtypes of the ids, so that an order id can't stand where an event id belongs.
//!
//! All are UUIDv7 when we make them, and any UUID when we read them: foreign writers choose their own.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh UUIDv7: later ids sort after earlier ones of the same process.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// Identifies an order.
    OrderId
}
id! {
    /// Identifies an event wherever it goes: outbox row, message, inbox row.
    EventId
}
id! {
    /// Identifies a payment.
    PaymentId
}
id! {
    /// Identifies an effect outside of the database, and is its idempotency key there.
    EffectId
}
id! {
    /// Identifies a notification, and the email made of it.
    NotificationId
}
