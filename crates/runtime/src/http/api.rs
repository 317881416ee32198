//! What every API is made of: routes and their document, which are generated from the same handlers, and the middleware.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::metrics::HttpMetrics;
use super::{docs, layers};

/// The routes of a service, its document and its page, behind the middleware that every request passes.
pub fn router<S>(api: OpenApiRouter<S>, state: S, metrics: HttpMetrics, body_bytes_max: usize) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let (routes, document) = api.split_for_parts();
    let routes = routes.with_state(state).merge(docs::ui(docs::finish(document)));
    layers::wrap(routes, metrics, body_bytes_max)
}

/// The document as it is served.
pub fn document<S>(api: OpenApiRouter<S>) -> OpenApi
where
    S: Clone + Send + Sync + 'static,
{
    docs::finish(api.into_openapi())
}
