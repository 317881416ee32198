//! The API. Each route module owns its routes, its requests and its responses; their documentation is generated from
//! the handlers, so the two can't differ.
//!
//! `order-svc/openapi.json` is a golden copy of the document: the test `the_committed_document_is_the_generated_one` compares it.

mod error;
mod events;
mod extract;
mod order_events;
mod order_list;
mod order_response;
mod orders;
mod recipient;

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

const ABOUT: About =
    About { service: "order-service", description: "The ordering API.", tag: ("orders", "Orders of the shop") };

/// All routes with their documentation.
fn api() -> OpenApiRouter<App> {
    api::about(ABOUT)
        .merge(orders::router())
        .merge(order_list::router())
        .merge(order_events::router())
        .merge(recipient::router())
        .merge(events::router())
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
    use crate::domain::rules;

    /// `UPDATE_GOLDEN=1 cargo test -p order-svc the_committed_document` writes it again.
    #[test]
    fn the_committed_document_is_the_generated_one() {
        let generated = document().to_pretty_json().unwrap() + "\n";
        assert_golden(&generated, concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"));
    }

    #[test]
    fn the_document_states_the_limits_that_apply() {
        let document = serde_json::to_value(document()).unwrap();
        let fields = &document["components"]["schemas"]["NewOrder"]["properties"];
        assert_eq!(fields["product"]["maxLength"], rules::PRODUCT_CHARS_MAX);
        assert_eq!(fields["quantity"]["maximum"], rules::QUANTITY_MAX);
        assert_eq!(fields["email"]["maxLength"], rules::EMAIL_BYTES_MAX);
        let body = &document["paths"]["/api/orders"]["post"]["requestBody"]["description"];
        assert_eq!(*body, format!("At most {BODY_BYTES_MAX} bytes"));
    }

    #[test]
    fn every_operation_documents_success_and_faults_with_examples() {
        assert_documented(&serde_json::to_value(document()).unwrap());
    }
}
