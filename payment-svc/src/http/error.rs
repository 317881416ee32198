//! Every way in which a request can fail, in one closed enum, and what the client is answered.
//!
//! Guarantees that the database's own words go to the log and never to a client.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runtime::http::layers;
use runtime::http::problem::{Problem, Violation};
use runtime::mysql::is_transient;
use runtime::telemetry::chain;

/// When to try again while the database is away: pools and failovers recover in seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request failed.
#[derive(Debug)]
pub(super) enum ApiError {
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
    /// 404: no payment has this id.
    PaymentNotFound,
    /// 503: the database is away, read-only or overloaded.
    DatabaseUnavailable,
    /// 500: our fault.
    Internal,
}

impl ApiError {
    /// What the client is answered.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::MalformedId { parameter } => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-id", "The id is not a UUID")
                    .errors(vec![Violation::new(parameter, "must be given once, as a UUID with hyphens")])
            }
            Self::MalformedQuery { parameter, rule } => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-query", "The query can't be understood")
                    .errors(vec![Violation::new(parameter, rule)])
            }
            Self::PaymentNotFound => {
                Problem::new(StatusCode::NOT_FOUND, "payment-not-found", "There is no such payment")
            }
            Self::DatabaseUnavailable => {
                let title = "The service can't reach its database";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", title).retry_after(RETRY_AFTER)
            }
            Self::Internal => layers::internal_error(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

/// This is the boundary that logs a database fault, with all that the client must not see.
impl From<sqlx::Error> for ApiError {
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
