//! The OpenAPI document, generated from the handlers.
//!
//! `notify-svc/openapi.json` is a golden copy: the test `the_committed_document_is_the_generated_one` compares it.

use axum::Router;
use runtime::http::docs;
use runtime::http::problem::{self, Problem};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::App;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "notify-svc",
        description = "Notifications, and how the events become them. Every error is an RFC 9457 problem with a `code` of a closed set.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags((name = "notifications", description = "What customers are told"), (name = "operations", description = "For operators")),
    components(schemas(Problem, problem::Violation))
)]
struct Document;

/// All routes with their documentation.
pub(super) fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(super::notifications::router())
        .merge(super::events::router())
        .merge(super::health::router())
}

/// The document as it is served.
pub fn document() -> OpenApi {
    let (_, document) = api().split_for_parts();
    docs::finish(document)
}

/// The page and the document, as paths of this service.
pub(super) fn ui() -> Router {
    docs::ui(document())
}

#[cfg(test)]
mod tests {
    use stack::testing::{assert_documented, assert_golden};

    use super::*;

    /// `UPDATE_GOLDEN=1 cargo test -p notify-svc the_committed_document` writes it again.
    #[test]
    fn the_committed_document_is_the_generated_one() {
        let generated = document().to_pretty_json().unwrap() + "\n";
        assert_golden(&generated, concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"));
    }

    #[test]
    fn every_operation_documents_success_and_faults_with_examples() {
        assert_documented(&serde_json::to_value(document()).unwrap());
    }
}
