//! The API. Each route module owns its routes and its responses; their documentation is generated from the handlers, so
//! the two can't differ.
//!
//! `notify-svc/openapi.json` is a golden copy of the document: the test `the_committed_document_is_the_generated_one` compares it.

mod events;
mod notifications;
mod suppressions;

use axum::Router;
use axum::extract::FromRef;
use runtime::http::api::{self, About};
use runtime::http::identity::Issuer;
use runtime::http::metrics::HttpMetrics;
use runtime::mysql::Pool;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use crate::config::BODY_BYTES_MAX;

const ABOUT: About = About {
    service: "notification-service",
    description: "Notifications, and how the events become them.",
    tag: ("notifications", "What customers are told"),
};

/// All routes with their documentation.
fn api() -> OpenApiRouter<App> {
    api::about(ABOUT).merge(notifications::router()).merge(suppressions::router()).merge(events::router())
}

/// All routes behind the middleware that every request passes; an issuer's tokens let callers in.
pub fn router(app: App, metrics: HttpMetrics, issuer: Option<Issuer>) -> Router {
    api::router(api(), app, metrics, issuer, BODY_BYTES_MAX)
}

/// The document as it is served.
pub fn document() -> OpenApi {
    api::document(api())
}

/// What `/health` asks.
impl FromRef<App> for Pool {
    fn from_ref(app: &App) -> Self {
        app.pool.clone()
    }
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
