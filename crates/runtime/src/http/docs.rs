//! What the services' OpenAPI documents have in common, and the page that shows one.
//!
//! The page refers to the document by a relative URL, because the gateway serves both under a path of its own. What the
//! gateway itself answers is in each document; `what_the_gateway_answers_is_in_the_documents` compares it with nginx.conf.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::identity::{Refusal, SCHEME, scopes};
use super::layers;
use super::problem::{self, Problem};

/// Responses of an operation by status.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Adds to a service's document what holds for each of its operations.
pub fn finish(mut document: OpenApi) -> OpenApi {
    document.servers = Some(vec![Server::new("/")]);
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert(SCHEME.to_owned(), bearer().into());
    let items = document.paths.paths.values_mut();
    let operations = items.flat_map(|item| [&mut item.get, &mut item.post]).flatten();
    for operation in operations {
        let refusals = scopes(operation).first().map(|scope| Refusal::all(scope));
        for (status, problems) in by_status(refusals.into_iter().flatten().chain(gateway())) {
            add(operation.responses.responses.entry(status.to_string()), &problems);
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.headers.insert("X-Request-Id".to_owned(), request_id().into());
            }
        }
    }
    document
}

/// A document as a service serves it that asks nobody for a token: what it says must be so.
pub fn without_tokens(mut document: OpenApi) -> OpenApi {
    if let Some(components) = &mut document.components {
        components.security_schemes.remove(SCHEME);
    }
    let items = document.paths.paths.values_mut();
    for operation in items.flat_map(|item| [&mut item.get, &mut item.post]).flatten() {
        operation.security = None;
    }
    document
}

/// What the gateway answers without asking a service, or when it can't reach one. It adds the path as `instance`.
fn gateway() -> [Problem; 14] {
    let problem = |status, code: &'static str, title: &'static str| Problem::new(status, code, title);
    let later = |problem: Problem, seconds| problem.retry_after(Duration::from_secs(seconds));
    [
        problem(StatusCode::BAD_REQUEST, "malformed", "The request is malformed"),
        layers::not_found(),
        layers::method_not_allowed(),
        problem(StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time"),
        layers::too_large(),
        problem(StatusCode::URI_TOO_LONG, "uri-too-long", "The request line is above the limit"),
        later(problem(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"), 1),
        layers::too_many_headers(),
        problem(StatusCode::INTERNAL_SERVER_ERROR, "gateway-internal", "The gateway has a fault"),
        problem(StatusCode::NOT_IMPLEMENTED, "not-implemented", "The transfer encoding is not known"),
        later(problem(StatusCode::BAD_GATEWAY, "upstream-unreachable", "The service could not be reached"), 5),
        later(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service can take no requests"), 5),
        later(problem(StatusCode::GATEWAY_TIMEOUT, "upstream-timeout", "The service did not answer in time"), 5),
        problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "version-not-supported", "The HTTP version is not known"),
    ]
}

/// Documents the problems in a response that may be there already.
fn add(place: Entry<'_, String, RefOr<Response>>, problems: &[Problem]) {
    let RefOr::T(added) = problem_response(problems) else { return };
    let documented = place.or_insert_with(|| Response::new("").into());
    let RefOr::T(documented) = documented else { return };
    let parts = [mem::take(&mut documented.description), added.description];
    documented.description = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    documented.headers.extend(added.headers);
    for (media_type, content) in added.content {
        match (documented.content.get_mut(&media_type), content) {
            (Some(RefOr::T(known)), RefOr::T(content)) => known.examples.extend(content.examples),
            (_, content) => drop(documented.content.insert(media_type, content)),
        }
    }
}

/// The page at `/docs/` and the document at `/docs/openapi.json`.
pub fn ui(document: OpenApi) -> Router {
    let page = SwaggerUi::new("/docs").config(Config::from("openapi.json").validator_url("none"));
    let document = Json(document);
    Router::from(page).route("/docs/openapi.json", get(|| async { document }))
}

/// The responses that these problems are, grouped by status, each as it is really sent.
pub fn documented(problems: impl IntoIterator<Item = Problem>) -> Responses {
    by_status(problems)
        .into_iter()
        .map(|(status, problems)| (status.to_string(), problem_response(&problems)))
        .collect()
}

fn by_status(problems: impl IntoIterator<Item = Problem>) -> BTreeMap<u16, Vec<Problem>> {
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in problems {
        by_status.entry(problem.status).or_default().push(problem);
    }
    by_status
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
    let retryable = problems.iter().any(Problem::says_when_to_come_back);
    let response = if retryable { response.header("Retry-After", retry_after()) } else { response };
    let challenges = problems.iter().any(Problem::says_how_to_sign_in);
    let response = if challenges { response.header("WWW-Authenticate", www_authenticate()) } else { response };
    response.build().into()
}

/// The token that the operations ask for.
fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let description = "A JWT of the issuer that the service trusts, with one of the scopes that the operation names. A service \
                       without an issuer asks for none.";
    SecurityScheme::Http(scheme.description(Some(description)).build())
}

fn www_authenticate() -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let header = HeaderBuilder::new().schema(Some(text.build())).description(Some("How to be let in, by RFC 6750"));
    header.example(Some(json!(r#"Bearer realm="api", error="insufficient_scope", scope="orders""#))).build()
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
