//! What happens to every request before a handler sees it: id, span, metrics, limits; and problem answers for what
//! never reaches a handler.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::metrics::{self, HttpMetrics};
use super::problem::Problem;

/// Carries the id of a request in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that a request body may have.
    pub body_bytes_max: usize,
    /// How long a handler may take; 503 after that.
    pub request_timeout: Duration,
}

/// Wraps the routes of a service; unknown routes and wrong methods become problems too.
pub fn wrap(routes: Router, metrics: HttpMetrics, limits: Limits) -> Router {
    let timeout = move |request, next| timeout(limits.request_timeout, request, next);
    routes.fallback(|| async { not_found() }).method_not_allowed_fallback(|| async { method_not_allowed() }).layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn(request_id))
            .layer(middleware::from_fn_with_state(metrics, metrics::observe))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn(timeout))
            .layer(DefaultBodyLimit::max(limits.body_bytes_max)),
    )
}

/// Takes a well-formed id from the client or makes one, names the span by it and returns it.
async fn request_id(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_well_formed(id.as_bytes())).cloned();
    let id = id
        .unwrap_or_else(|| HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is a valid header value"));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let span = tracing::info_span!(
        "http.request",
        method = %request.method(),
        path = request.uri().path(),
        request.id = id.to_str().unwrap_or_default(),
    );
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

async fn timeout(limit: Duration, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(?limit, "request timed out");
        timed_out().into_response()
    })
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic hook has logged the message and the place.
    internal_error().into_response()
}

/// The answer to a fault of ours; what it was is in the log, never in the answer.
pub fn internal_error() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service has a fault")
}

/// The answer to a request that was not done within the limit. What it asked for may have happened.
pub fn timed_out() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "The request took too long")
        .retry_after(Duration::from_secs(1))
}

/// The answer where no route matches.
pub fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
}

fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This resource does not know the method")
}

/// The answer to a body above the limit.
pub fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is above the limit")
}
