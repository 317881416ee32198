//! What every API is made of: routes and their document, which are generated from the same handlers, and the middleware.

use axum::Router;
use axum::extract::FromRef;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::metrics::HttpMetrics;
use super::{docs, health, layers};
use crate::mysql::Pool;

/// The routes of a service and [`health`], their document and its page, behind the middleware that every request passes.
pub fn router<S>(api: OpenApiRouter<S>, state: S, metrics: HttpMetrics, body_bytes_max: usize) -> Router
where
    S: Clone + Send + Sync + 'static,
    Pool: FromRef<S>,
{
    let (routes, document) = with_health(api).split_for_parts();
    let routes = routes.with_state(state).merge(docs::ui(docs::finish(document)));
    layers::wrap(routes, metrics, body_bytes_max)
}

/// The document as it is served.
pub fn document<S>(api: OpenApiRouter<S>) -> OpenApi
where
    S: Clone + Send + Sync + 'static,
    Pool: FromRef<S>,
{
    docs::finish(with_health(api).into_openapi())
}

fn with_health<S>(api: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Pool: FromRef<S>,
{
    let health = health::routes(&api.get_openapi().info.title);
    api.merge(health)
}
