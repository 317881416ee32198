//! What every API is made of: routes and their document, which are generated from the same handlers, and the middleware.

use axum::Router;
use axum::extract::FromRef;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::tag::TagBuilder;
use utoipa_axum::router::OpenApiRouter;

use super::identity::{Guard, Issuer};
use super::metrics::HttpMetrics;
use super::problem::{self, Problem};
use super::{docs, health, layers};
use crate::mysql::Pool;

/// What a document says of its service.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name that the network knows it by.
    pub service: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The tag of its own operations, and what they are about.
    pub tag: (&'static str, &'static str),
}

/// What all documents say.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    tags((name = "operations", description = "For operators")),
    components(schemas(Problem, problem::Violation))
)]
struct Common;

/// An API without routes yet.
pub fn about<S>(about: About) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut document = Common::openapi();
    about.service.clone_into(&mut document.info.title);
    let problems = "Every error is an RFC 9457 problem with a `code` of a closed set.";
    document.info.description = Some(format!("{} {problems}", about.description));
    let (name, description) = about.tag;
    let own = TagBuilder::new().name(name).description(Some(description)).build();
    document.tags.get_or_insert_default().insert(0, own);
    OpenApiRouter::with_openapi(document)
}

/// The routes of a service and [`health`], their document and its page, behind the middleware that every request passes.
///
/// `issuer` is whose tokens are taken; without one nobody is asked for a token.
pub fn router<S>(
    api: OpenApiRouter<S>,
    state: S,
    metrics: HttpMetrics,
    issuer: Option<Issuer>,
    body_bytes_max: usize,
) -> Router
where
    S: Clone + Send + Sync + 'static,
    Pool: FromRef<S>,
{
    let (routes, document) = with_health(api).split_for_parts();
    let document = docs::finish(document);
    let is_open = issuer.is_none();
    let guard = Guard::new(issuer, &document);
    let document = if is_open { docs::without_tokens(document) } else { document };
    let routes = routes.with_state(state).merge(docs::ui(document));
    layers::wrap(routes, metrics, guard, body_bytes_max)
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
