//! Every way in which a request that only reads can fail, in one closed enum, and what the client is answered.
//!
//! Guarantees that the database's own words go to the log and never to a client.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use utoipa::IntoResponses;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::docs::{Responses, documented};
use super::identity::Refusal;
use super::layers;
use super::problem::{Problem, Violation};
use crate::mysql::is_transient;
use crate::telemetry::chain;

/// When to try again while the database is away: pools and failovers recover in seconds.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request failed.
#[derive(Debug)]
pub enum ReadError {
    /// 400: the id in the path is no UUID.
    MalformedId,
    /// 400: the parameters of a list break rules.
    InvalidQuery(Vec<Violation>),
    /// 404: nothing has this id.
    NotFound {
        /// For programs.
        code: &'static str,
        /// For people.
        title: &'static str,
    },
    /// 401, 403 or 503: the caller is not let in.
    Refused(Refusal),
    /// 503: the database is away, read-only or overloaded.
    DatabaseUnavailable,
    /// 500: our fault.
    Internal,
}

impl ReadError {
    /// What the client is answered.
    pub fn problem(self) -> Problem {
        match self {
            Self::MalformedId => Problem::new(StatusCode::BAD_REQUEST, "malformed-id", "The id is not a UUID")
                .errors(vec![Violation::new("id", "must be a UUID with hyphens")]),
            Self::InvalidQuery(violations) => {
                Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "The query breaks a rule").errors(violations)
            }
            Self::NotFound { code, title } => Problem::new(StatusCode::NOT_FOUND, code, title),
            Self::Refused(refusal) => refusal.problem(),
            Self::DatabaseUnavailable => {
                let title = "The service can't reach its database";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", title).retry_after(RETRY_AFTER)
            }
            Self::Internal => layers::internal_error(),
        }
    }
}

/// The problems of every request that asks the database.
pub fn faults() -> [Problem; 3] {
    [ReadError::DatabaseUnavailable.problem(), layers::timed_out(), ReadError::Internal.problem()]
}

/// [`faults`] for the documentation.
#[derive(Debug)]
pub struct Faults;

impl IntoResponses for Faults {
    fn responses() -> Responses {
        documented(faults())
    }
}

/// The id in the path: a UUID with hyphens, in either case, and no other notation.
#[derive(Clone, Copy, Debug)]
pub struct IdInPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = ReadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ReadError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ReadError::MalformedId)?;
        uuid(&id).map(Self).map_err(|_| ReadError::MalformedId)
    }
}

/// A UUID with hyphens, in either case, and no other notation.
///
/// # Errors
/// What it must be.
pub fn uuid(value: &str) -> Result<Uuid, &'static str> {
    let id: Hyphenated = value.parse().map_err(|_| "must be a UUID with hyphens")?;
    Ok(id.into_uuid())
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

impl From<Refusal> for ReadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
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
