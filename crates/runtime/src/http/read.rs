//! Every way in which a request that only reads can fail, in one closed enum, and what the client is answered.
//!
//! Guarantees that the database's own words go to the log and never to a client.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::layers;
use super::problem::{Problem, Violation};
use crate::mysql::is_transient;
use crate::telemetry::chain;

/// When to try again while the database is away: pools and failovers recover in seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request failed.
#[derive(Debug)]
pub enum ReadError {
    /// 400: an id is no UUID.
    MalformedId {
        /// The parameter.
        parameter: &'static str,
    },
    /// 400: a parameter of the query is unknown, repeated or not what it must be.
    MalformedQuery {
        /// The parameter.
        parameter: String,
        /// What it must be.
        rule: &'static str,
    },
    /// 404: nothing has this id.
    NotFound {
        /// For programs.
        code: &'static str,
        /// For people.
        title: &'static str,
    },
    /// 503: the database is away, read-only or overloaded.
    DatabaseUnavailable,
    /// 500: our fault.
    Internal,
}

impl ReadError {
    /// What the client is answered.
    pub fn problem(self) -> Problem {
        match self {
            Self::MalformedId { parameter } => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-id", "The id is not a UUID")
                    .errors(vec![Violation::new(parameter, "must be given once, as a UUID with hyphens")])
            }
            Self::MalformedQuery { parameter, rule } => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-query", "The query can't be understood")
                    .errors(vec![Violation::new(parameter, rule)])
            }
            Self::NotFound { code, title } => Problem::new(StatusCode::NOT_FOUND, code, title),
            Self::DatabaseUnavailable => {
                let title = "The service can't reach its database";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", title).retry_after(RETRY_AFTER)
            }
            Self::Internal => layers::internal_error(),
        }
    }
}

/// A UUID with hyphens, in either case, and no other notation.
///
/// # Errors
/// [`ReadError::MalformedId`] with the parameter's name.
pub fn uuid(parameter: &'static str, value: &str) -> Result<Uuid, ReadError> {
    let id: Hyphenated = value.parse().map_err(|_| ReadError::MalformedId { parameter })?;
    Ok(id.into_uuid())
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

/// This is the boundary that logs a database fault, with all that the client must not see.
impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(error = chain(&error), "database unavailable");
            Self::DatabaseUnavailable
        } else {
            tracing::error!(error = chain(&error), "database access failed");
            Self::Internal
        }
    }
}
