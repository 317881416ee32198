//! What happens to every request before a handler sees it: id, span, metrics, caller, limits; and problem answers for what
//! never reaches a handler.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tower::ServiceBuilder;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::identity::Guard;
use super::metrics::{Arrival, HttpMetrics};
use super::problem::{self, Problem};
use crate::telemetry::trace::{self, KeyValue, TraceParent};

/// Carries the id of a request in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Carries the trace of a request in, by W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers that a request may have.
const HEADERS_MAX: usize = 100;

/// A request is answered within this time, with 503 if need be: a wait for a connection and one for a row lock fit.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(9);

/// Wraps the routes of a service; unknown routes and wrong methods become problems too.
pub fn wrap(routes: Router, metrics: HttpMetrics, guard: Guard, body_bytes_max: usize) -> Router {
    routes.fallback(|| async { not_found() }).method_not_allowed_fallback(|| async { method_not_allowed() }).layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn_with_state((metrics, guard), attend))
            .layer(DefaultBodyLimit::max(body_bytes_max)),
    )
}

/// Gives a request its id, its span, its caller, its end and its place in the metrics: one middleware, because each more costs every
/// request another box and another copy of what is inside it.
async fn attend(State((metrics, guard)): State<(HttpMetrics, Guard)>, request: Request, next: Next) -> Response {
    let arrival = Arrival::of(&request);
    let id = request_id(&request);
    let span = tracing::info_span!(
        "http.request",
        method = %request.method(),
        route = arrival.route(), // and not the path: whoever mistypes a request may have put an address there
        request.id = id.to_str().unwrap_or_default(),
        trace_id = field::Empty,
        otel.kind = field::Empty,
    );
    let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    trace::adopt(&span, "server", traceparent.and_then(TraceParent::parse).as_ref());
    let mut response = answer(&guard, request, next).instrument(span.clone()).await;
    metrics.answered(&arrival, response.status());
    traced(&span, &arrival, response.status());
    response.headers_mut().insert(REQUEST_ID, id);
    // Most answers are about somebody, and each is of its moment: none is for a cache in between.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Says in the words of OpenTelemetry what was asked and what was answered.
fn traced(span: &Span, arrival: &Arrival, status: StatusCode) {
    let attributes = || {
        vec![
            KeyValue::new("http.request.method", arrival.method()),
            KeyValue::new("http.route", arrival.route().to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ]
    };
    trace::describe(span, || format!("{} {}", arrival.method(), arrival.route()), attributes);
    if status.is_server_error() {
        trace::fail(span, status.as_str());
    }
}

/// The handler's answer, or a problem if the caller is not let in, if the handler panics or takes too long, or if what refused has
/// no words of its own.
async fn answer(guard: &Guard, mut request: Request, next: Next) -> Response {
    if request.headers().len() > HEADERS_MAX {
        return too_many_headers().into_response();
    }
    let handled = async {
        match guard.admit(&mut request).await {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    };
    let handled = AssertUnwindSafe(handled).catch_unwind();
    match tokio::time::timeout(REQUEST_TIMEOUT, handled).await {
        Ok(Ok(response)) => documented(response),
        // The panic hook has logged the message and the place.
        Ok(Err(_)) => internal_error().into_response(),
        Err(_) => {
            tracing::warn!(limit = ?REQUEST_TIMEOUT, "request timed out");
            timed_out().into_response()
        }
    }
}

/// A library's bare refusal becomes a problem, as all refusals are.
fn documented(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_refusal || content_type.is_some_and(|media_type| media_type == problem::CONTENT_TYPE) {
        return response;
    }
    match status {
        StatusCode::NOT_FOUND => not_found(),
        StatusCode::METHOD_NOT_ALLOWED => method_not_allowed(),
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status if status.is_client_error() => Problem::new(status, "malformed", "The request is malformed"),
        _ => internal_error(),
    }
    .into_response()
}

/// A well-formed id from the client, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_well_formed(id.as_bytes())).cloned();
    given.unwrap_or_else(|| HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is a valid header value"))
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
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

/// The answer to a request with more headers than anybody needs.
pub fn too_many_headers() -> Problem {
    let title = "The headers are above the limit";
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", title)
        .detail(format!("A request has at most {HEADERS_MAX} headers"))
}

/// The answer to a method that a resource does not know.
pub fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This resource does not know the method")
}

/// The answer to a body above the limit.
pub fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is above the limit")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use prometheus::{Registry, TextEncoder};
    use tower::ServiceExt;

    use super::*;

    async fn panics() -> StatusCode {
        panic!("on purpose")
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_panics_or_hangs_is_a_problem_with_an_id_and_a_place_in_the_metrics() {
        let registry = Registry::new();
        let open = Guard::new(None, &utoipa::openapi::OpenApi::default());
        let routes =
            Router::new().route("/panics", get(panics)).route("/hangs", get(std::future::pending::<StatusCode>));
        let routes = wrap(routes, HttpMetrics::register(&registry).unwrap(), open, 10);
        for (path, status) in [("/panics", 500), ("/hangs", 503), ("/nowhere", 404)] {
            let request = Request::get(path).header(REQUEST_ID, "mine").body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers()[REQUEST_ID], "mine", "{path}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{path}");
        }
        let metrics = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for (route, status) in [("/panics", 500), ("/hangs", 503), ("unmatched", 404)] {
            let counted = format!(r#"http_requests_total{{method="GET",route="{route}",status="{status}"}} 1"#);
            assert!(metrics.contains(&counted), "{counted} is not in\n{metrics}");
        }
    }
}
