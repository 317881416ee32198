//! Why an event is not in the stream, in a word for whoever asks. What the broker or the database said stays in the tables, for
//! verbs and SQL: it names servers and users, and quotes what any program wrote.

use serde::Serialize;
use utoipa::ToSchema;

/// Why an event is not in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "kebab-case")]
#[sqlx(rename_all = "kebab-case")]
pub enum Trouble {
    /// The broker takes no events now.
    BrokerUnavailable,
    /// It could not be published, and is tried again.
    Retrying,
    /// It could not be published, and a person decides.
    GivenUp,
}
