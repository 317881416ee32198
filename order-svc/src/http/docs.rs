//! The OpenAPI document, generated from the handlers, and the page that shows it.
//!
//! `order-svc/openapi.json` is a golden copy: the test `the_committed_document_is_the_generated_one` compares it. The
//! page refers to the document by a relative URL, because the gateway serves both under a path of its own.

use std::collections::BTreeMap;

use axum::routing::get;
use axum::{Json, Router};
use runtime::http::problem::{self, Problem};
use serde_json::json;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::App;

/// Responses of an operation by status.
pub(super) type Responses = BTreeMap<String, RefOr<Response>>;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "order-svc",
        description = "The ordering API. Every error is an RFC 9457 problem with a `code` of a closed set.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags((name = "orders", description = "Orders of the shop"), (name = "operations", description = "For operators")),
    components(schemas(Problem, problem::Violation))
)]
struct Document;

/// All routes with their documentation.
pub(super) fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(super::orders::router())
        .merge(super::order_list::router())
        .merge(super::order_events::router())
        .merge(super::events::router())
        .merge(super::health::router())
}

/// The document as it is served.
pub fn document() -> OpenApi {
    let (_, mut document) = api().split_for_parts();
    Finish.modify(&mut document);
    document
}

/// The page at `/docs/` and the document at `/docs/openapi.json`.
pub(super) fn ui() -> Router {
    let page = SwaggerUi::new("/docs").config(Config::from("openapi.json").validator_url("none"));
    let document = Json(document());
    Router::from(page).route("/docs/openapi.json", get(|| async { document }))
}

/// A response that is one of several problems of the same status.
pub(super) fn problem_response(problems: &[Problem]) -> RefOr<Response> {
    let examples = problems.iter().map(|problem| {
        let value = serde_json::to_value(problem).expect("a problem is plain JSON");
        (problem.code.to_string(), ExampleBuilder::new().summary(problem.title.clone()).value(Some(value)).build())
    });
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples).build();
    let titles: Vec<_> = problems.iter().map(|problem| format!("{} (`{}`)", problem.title, problem.code)).collect();
    let response = ResponseBuilder::new().description(titles.join("; ")).content(problem::CONTENT_TYPE, content);
    let retryable = problems.iter().any(|problem| problem.status == 503);
    let response = if retryable { response.header("Retry-After", retry_after()) } else { response };
    response.build().into()
}

fn retry_after() -> Header {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let header = HeaderBuilder::new().schema(Some(seconds.build()));
    header.description(Some("Seconds to wait before the next attempt")).example(Some(json!(2))).build()
}

fn request_id() -> Header {
    let id = ObjectBuilder::new().schema_type(Type::String).max_length(Some(64));
    let header = HeaderBuilder::new().schema(Some(id.build()));
    header.description(Some("The request's id: the one that came, or a new one")).build()
}

/// What all operations have in common.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut OpenApi) {
        document.servers = Some(vec![Server::new("/")]);
        let items = document.paths.paths.values_mut();
        let operations = items.flat_map(|item| [&mut item.get, &mut item.post]).flatten();
        for response in operations.flat_map(|operation| operation.responses.responses.values_mut()) {
            if let RefOr::T(response) = response {
                response.headers.insert("X-Request-Id".to_owned(), request_id().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules;

    /// `UPDATE_GOLDEN=1 cargo test -p order-svc the_committed_document` writes it anew.
    #[test]
    fn the_committed_document_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let generated = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == generated, "openapi.json is not what the handlers say: run with UPDATE_GOLDEN=1 and look");
    }

    #[test]
    fn the_document_states_the_limits_that_apply() {
        let document = serde_json::to_value(document()).unwrap();
        let fields = &document["components"]["schemas"]["NewOrder"]["properties"];
        assert_eq!(fields["product"]["maxLength"], rules::PRODUCT_CHARS_MAX);
        assert_eq!(fields["quantity"]["maximum"], rules::QUANTITY_MAX);
        assert_eq!(fields["email"]["maxLength"], rules::EMAIL_BYTES_MAX);
        let body = &document["paths"]["/api/orders"]["post"]["requestBody"]["description"];
        assert_eq!(*body, format!("At most {} bytes", crate::config::BODY_BYTES_MAX));
    }

    #[test]
    fn every_operation_documents_success_and_faults_with_examples() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
                for status in ["500", "503"] {
                    let content = &responses[status]["content"][problem::CONTENT_TYPE];
                    assert!(!content["examples"].as_object().unwrap().is_empty(), "{method} {path} {status}");
                }
            }
        }
    }
}
