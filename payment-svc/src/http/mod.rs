//! The API, which only reads. Each route module owns its routes and its responses; their documentation is generated from the
//! handlers, so the two can't differ.

pub mod docs;
mod events;
mod health;
mod payments;

use axum::Router;
use runtime::http::layers::{self, Limits};
use runtime::http::metrics::HttpMetrics;

use crate::App;
use crate::config::{BODY_BYTES_MAX, REQUEST_TIMEOUT};

/// All routes behind the middleware that every request passes.
pub fn router(app: App, metrics: HttpMetrics) -> Router {
    let (api, _) = docs::api().split_for_parts();
    let routes = api.with_state(app).merge(docs::ui());
    layers::wrap(routes, metrics, Limits { body_bytes_max: BODY_BYTES_MAX, request_timeout: REQUEST_TIMEOUT })
}
