//! Every way in which a request can fail, in one closed enum, and what the client is told.
//!
//! Guarantees that the database's own words go to the log and never to a client.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runtime::http::layers;
use runtime::http::problem::{self, Problem};
use runtime::mysql::is_transient;
use runtime::telemetry::chain;
use schema::ids::OrderId;

use crate::config::BODY_BYTES_MAX;
use crate::domain::{ParseError, Violation};
use crate::store::transaction::TransactionError;

/// When to try again while the database is away: pools and failovers recover in seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 400: the body is not one JSON text.
    MalformedBody(String),
    /// 400: the id in the path is no UUID.
    MalformedId,
    /// 404: no such order.
    OrderNotFound(OrderId),
    /// 413: the body is above the limit.
    TooLarge,
    /// 415: the body does not call itself JSON.
    UnsupportedMediaType,
    /// 422: the order breaks rules.
    InvalidOrder(Vec<Violation>),
    /// 503: the database is away, read-only or overloaded.
    DatabaseUnavailable,
    /// 503: the database went away while it committed; what was asked may have happened.
    OutcomeUnknown,
    /// 500: our fault.
    Internal,
}

impl ApiError {
    /// What the client is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::MalformedBody(reason) => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON").detail(reason)
            }
            Self::MalformedId => Problem::new(StatusCode::BAD_REQUEST, "malformed-id", "The id is not a UUID")
                .errors(vec![problem::Violation::new("id", "must be a UUID with hyphens")]),
            Self::OrderNotFound(id) => Problem::new(StatusCode::NOT_FOUND, "order-not-found", "There is no such order")
                .detail(format!("There is no order {id}")),
            Self::TooLarge => layers::too_large().detail(format!("A body has at most {BODY_BYTES_MAX} bytes")),
            Self::UnsupportedMediaType => {
                let title = "The body must be JSON";
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title)
                    .detail("Content-Type must be application/json")
            }
            Self::InvalidOrder(violations) => {
                let errors =
                    violations.into_iter().map(|broken| problem::Violation::new(broken.pointer, broken.detail));
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-order", "The order breaks a rule")
                    .errors(errors.collect())
            }
            Self::DatabaseUnavailable => {
                let title = "The service can't reach its database";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", title).retry_after(RETRY_AFTER)
            }
            Self::OutcomeUnknown => {
                let title = "The service can't tell whether the request took effect";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", title)
                    .detail("The database went away while it committed: look before you repeat")
                    .retry_after(RETRY_AFTER)
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

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Malformed(cause) => Self::MalformedBody(cause.to_string()),
            ParseError::Invalid(violations) => Self::InvalidOrder(violations),
        }
    }
}

/// This is the boundary that logs a database fault, with all that the client is not told.
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

impl From<TransactionError> for ApiError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::BeforeCommit(error) => error.into(),
            TransactionError::AtCommit(_) => {
                tracing::warn!(error = chain(&error), "the outcome of a transaction is unknown");
                Self::OutcomeUnknown
            }
        }
    }
}

/// The part of the API's documentation that lists these problems, grouped by status, each as it is really sent.
pub(super) fn documented(problems: impl IntoIterator<Item = Problem>) -> super::docs::Responses {
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in problems {
        by_status.entry(problem.status).or_default().push(problem);
    }
    by_status
        .into_iter()
        .map(|(status, problems)| (status.to_string(), super::docs::problem_response(&problems)))
        .collect()
}
