//! What handlers take from a request, and how it is refused: always as one of our problems.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use schema::ids::OrderId;
use schema::names;
use uuid::fmt::Hyphenated;

use super::error::ApiError;
use crate::domain::TraceParent;

/// The bytes of a body that calls itself JSON and is within the limit.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        Bytes::from_request(request, state).await.map(Self).map_err(unreadable)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::MalformedBody("the body broke off".to_owned()),
    }
}

/// The order id in the path: a UUID with hyphens, in either case, and no other notation.
pub(super) struct OrderIdInPath(pub(super) OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderIdInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::MalformedId)?;
        let id: Hyphenated = id.parse().map_err(|_| ApiError::MalformedId)?;
        Ok(Self(OrderId(id.into_uuid())))
    }
}

/// The trace that the client is in.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(names::TRACEPARENT_HEADER)?.to_str().ok().and_then(TraceParent::parse)
}
