//! What the services' OpenAPI documents have in common, and the page that shows one.
//!
//! The page refers to the document by a relative URL, because the gateway serves both under a path of its own.

use std::collections::BTreeMap;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::{self, Problem};

/// Responses of an operation by status.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Adds to a service's document what holds for each of its operations.
pub fn finish(mut document: OpenApi) -> OpenApi {
    document.servers = Some(vec![Server::new("/")]);
    let items = document.paths.paths.values_mut();
    let operations = items.flat_map(|item| [&mut item.get, &mut item.post]).flatten();
    for response in operations.flat_map(|operation| operation.responses.responses.values_mut()) {
        if let RefOr::T(response) = response {
            response.headers.insert("X-Request-Id".to_owned(), request_id().into());
        }
    }
    document
}

/// The page at `/docs/` and the document at `/docs/openapi.json`.
pub fn ui(document: OpenApi) -> Router {
    let page = SwaggerUi::new("/docs").config(Config::from("openapi.json").validator_url("none"));
    let document = Json(document);
    Router::from(page).route("/docs/openapi.json", get(|| async { document }))
}

/// The responses that these problems are, grouped by status, each as it is really sent.
pub fn documented(problems: impl IntoIterator<Item = Problem>) -> Responses {
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in problems {
        by_status.entry(problem.status).or_default().push(problem);
    }
    by_status.into_iter().map(|(status, problems)| (status.to_string(), problem_response(&problems))).collect()
}

fn problem_response(problems: &[Problem]) -> RefOr<Response> {
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
