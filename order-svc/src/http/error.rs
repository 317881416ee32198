//! Every way in which a request can fail, in one closed enum, and what the client is answered.
//!
//! Guarantees that the database's own words go to the log and never to a client.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outbox::TransactionError;
use runtime::http::layers;
use runtime::http::problem::{self, Problem};
use runtime::http::read::{RETRY_AFTER, ReadError};
use runtime::telemetry::chain;

use crate::config::{BODY_BYTES_MAX, BODY_TIMEOUT};
use crate::domain::{OrderStatus, ParseError, Violation};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 400: the body is not one JSON text.
    MalformedBody(String),
    /// 400: the Idempotency-Key is none.
    MalformedKey,
    /// 400: If-Match is no list of ETags.
    MalformedPrecondition,
    /// 408: the body did not arrive in time.
    SlowBody,
    /// 409: the order stands where it can't be cancelled.
    NotCancellable(OrderStatus),
    /// 409: an earlier request with the same key placed an order that is not there any more.
    OrderGone,
    /// 410: the address of the order's customer was erased.
    Erased,
    /// 412: the order is in another state than the client takes it for.
    PreconditionFailed(String),
    /// 413: the body is above the limit.
    TooLarge,
    /// 415: the body does not call itself what it has to be.
    UnsupportedMediaType(&'static str),
    /// 415: the body is compressed.
    UnsupportedEncoding,
    /// 422: the order breaks rules.
    InvalidOrder(Vec<Violation>),
    /// 422: an earlier request with the same key asked for something else.
    KeyReused,
    /// 422: the broker would refuse the event.
    EventTooLarge,
    /// 429: the customer has placed too many orders within an hour, or there are too many with the address.
    TooManyOrders(Duration),
    /// 503: the database went away while it committed; what was asked may have happened.
    OutcomeUnknown,
    /// As a request that reads fails, too.
    Read(ReadError),
}

const KEY_RULE: (&str, &str) = ("Idempotency-Key", "must be 1 to 128 visible ASCII characters, in quotes or not");
const ETAG_RULE: (&str, &str) = ("If-Match", "must be * or ETags such as \"1-placed\"");

impl ApiError {
    /// What the client is answered.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::MalformedBody(reason) => {
                Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON").detail(reason)
            }
            Self::MalformedKey => malformed("malformed-idempotency-key", "The Idempotency-Key is malformed", KEY_RULE),
            Self::MalformedPrecondition => malformed("malformed-if-match", "If-Match is malformed", ETAG_RULE),
            Self::SlowBody => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body did not arrive in time")
                    .detail(format!("A body is sent within {} seconds", BODY_TIMEOUT.as_secs()))
            }
            Self::NotCancellable(status) => {
                let errors = vec![problem::Violation::new("/status", format!("is {}", status.as_str()))];
                Problem::new(StatusCode::CONFLICT, "order-not-cancellable", "The order can't be cancelled any more")
                    .detail(format!("The order is {}", status.as_str()))
                    .errors(errors)
            }
            Self::OrderGone => {
                let title = "The order that the Idempotency-Key has placed was deleted";
                Problem::new(StatusCode::CONFLICT, "idempotency-key-order-deleted", title)
                    .detail("The key is kept for 24 hours: take a fresh one to place another order")
            }
            Self::Erased => Problem::new(StatusCode::GONE, "erased", "The customer's address was erased"),
            Self::PreconditionFailed(etag) => {
                let title = "The order is in another state than If-Match says";
                Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title)
                    .detail(format!("Its ETag is {etag}"))
            }
            Self::TooLarge => layers::too_large().detail(format!("A body has at most {BODY_BYTES_MAX} bytes")),
            Self::UnsupportedMediaType(media_type) => {
                unsupported("unsupported-media-type", "The body is of another type")
                    .detail(format!("Content-Type must be {media_type}"))
            }
            Self::UnsupportedEncoding => unsupported("unsupported-content-encoding", "The body must not be compressed")
                .detail("Content-Encoding must be identity, or absent"),
            Self::InvalidOrder(violations) => {
                unprocessable("invalid-order", "The order breaks a rule").errors(all(violations))
            }
            Self::KeyReused => {
                unprocessable("idempotency-key-reused", "The Idempotency-Key was used for another order")
                    .detail("A key names one request: take a fresh one for another")
            }
            Self::EventTooLarge => {
                unprocessable("event-too-large", "The order's event is larger than the broker takes")
            }
            Self::TooManyOrders(wait) => {
                let title = "There are too many orders of this customer, or with this address";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-orders", title)
                    .detail("Their number within an hour is bounded: Retry-After says when there is room for one more")
                    .retry_after(wait)
            }
            Self::OutcomeUnknown => {
                let title = "The service can't tell whether the request took effect";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", title)
                    .detail("The database went away while it committed: repeat with the same Idempotency-Key, or read the order first")
                    .retry_after(RETRY_AFTER)
            }
            Self::Read(error) => error.problem(),
        }
    }
}

/// 400: one thing of the request breaks one rule.
fn malformed(code: &'static str, title: &'static str, (pointer, rule): (&'static str, &'static str)) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, title).errors(vec![problem::Violation::new(pointer, rule)])
}

/// 422.
fn unprocessable(code: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title)
}

/// 415.
fn unsupported(code: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, title)
}

fn all(violations: Vec<Violation>) -> Vec<problem::Violation> {
    violations.into_iter().map(|broken| problem::Violation::new(broken.pointer, broken.detail)).collect()
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

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(error.into())
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
            TransactionError::EventTooLarge { .. } => {
                tracing::warn!(error = chain(&error), "an order is refused for its event");
                Self::EventTooLarge
            }
            TransactionError::Contended(_) | TransactionError::VersionTaken => {
                tracing::warn!(error = chain(&error), "giving up on what others take, too");
                Self::Read(ReadError::DatabaseUnavailable)
            }
        }
    }
}
