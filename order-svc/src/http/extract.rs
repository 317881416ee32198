//! What handlers take from a request, and how it is refused: always as one of our problems.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use runtime::http::identity::Identity;
use runtime::http::read::ReadError;
use schema::{names, scope};

use super::error::ApiError;
use crate::config::BODY_TIMEOUT;
use crate::domain::{CustomerId, IdempotencyKey, Whose};
use outbox::TraceParent;

pub(super) const JSON: &str = "application/json";
/// The notation of a query.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The bytes of a body that calls itself JSON and is within the limits of size and time.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        body(JSON, request, state).await.map(Self)
    }
}

/// The text of a body that calls itself a form and is within the same limits.
pub(super) struct FormBody(pub(super) String);

impl<S: Send + Sync> FromRequest<S> for FormBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(FORM, request, state).await?;
        // Whatever is no text is no value of a parameter either.
        Ok(Self(String::from_utf8_lossy(&body).into_owned()))
    }
}

async fn body<S: Send + Sync>(media_type: &'static str, request: Request, state: &S) -> Result<Bytes, ApiError> {
    if !is(media_type, request.headers()) {
        return Err(ApiError::UnsupportedMediaType(media_type));
    }
    if !is_plain(request.headers()) {
        return Err(ApiError::UnsupportedEncoding);
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
    body.map_err(|_| ApiError::SlowBody)?.map_err(unreadable)
}

/// Who orders; none where nobody is asked for a token.
pub(super) struct Customer(pub(super) Option<CustomerId>);

impl<S: Send + Sync> FromRequestParts<S> for Customer {
    type Rejection = ReadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ReadError> {
        let identity = identity(parts, state).await?;
        Ok(Self(identity.subject()?.map(|subject| CustomerId::new(subject.as_str()))))
    }
}

/// Whose orders the caller may see.
impl<S: Send + Sync> FromRequestParts<S> for Whose {
    type Rejection = ReadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ReadError> {
        let identity = identity(parts, state).await?;
        if identity.may(scope::ORDERS_ALL) {
            return Ok(Self::Anybodys);
        }
        let subject = identity.subject()?.map(|subject| CustomerId::new(subject.as_str()));
        Ok(subject.map_or(Self::Anybodys, Self::Of))
    }
}

async fn identity<S: Sync>(parts: &mut Parts, state: &S) -> Result<Identity, ReadError> {
    Identity::from_request_parts(parts, state).await.map_err(|_| ReadError::Internal)
}

fn is(media_type: &str, headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|said| said.trim().eq_ignore_ascii_case(media_type))
}

/// Whether the bytes of the body are what it says, not something to unpack first.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::MalformedBody("the body broke off".to_owned()),
    }
}

/// The trace that the client is in.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(names::TRACEPARENT_HEADER)?.to_str().ok().and_then(TraceParent::parse)
}

/// The client's name for the request, if it gives one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = IdempotencyKey::parse(key.as_bytes()).filter(|_| keys.next().is_none());
    key.map(Some).ok_or(ApiError::MalformedKey)
}
