//! Place, read and cancel orders.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use runtime::http::docs::{Responses, documented};
use runtime::http::problem::Problem;
use runtime::http::read::{IdInPath, ReadError, faults};
use schema::ids::OrderId;
use schema::scope;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::extract::{Customer, JSON, JsonBody, idempotency_key, traceparent};
use super::order_response::{Etag, OrderResponse, Precondition, not_modified, shown};
use crate::App;
use crate::cancel::{Cancelled, cancel};
use crate::domain::{NewOrder, OrderStatus, Violation, Whose};
use crate::metrics::Outcome;
use crate::place::{Placed, Request, place};
use crate::store::orders;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(place_order)).routes(routes!(get_order)).routes(routes!(cancel_order))
}

/// What a customer orders. Documentation only: [`NewOrder`] parses it, with all faults at once.
#[derive(serde::Deserialize, ToSchema)]
#[schema(as = NewOrder)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema reads the fields")]
struct OrderRequest {
    /// What is ordered: something visible, no control characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F\\u00AD\\u034F\\u061C\\u115F\\u1160\\u17B4\\u17B5\\u180B-\\u180F\\u200B-\\u200F\\u202A-\\u202E\\u2060-\\u206F\\u2800\\u3164\\uFE00-\\uFE0F\\uFEFF\\uFFA0\\uFFF0-\\uFFFB\u{1BCA0}-\u{1BCA3}\u{1D173}-\u{1D17A}\u{E0000}-\u{E0FFF}][^\\u0000-\\u001F\\u007F-\\u009F]*$",
        example = "Espresso machine"
    )]
    product: String,
    /// How many of it, written without exponent; 2.0 is 2.
    #[schema(minimum = 1, maximum = 1000, example = 2)]
    quantity: u32,
    /// The customer's address: plain, in ASCII, at a host with a dot; no display name, quotes or IP literal.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    email: String,
}

/// Place an order
///
/// The order and its event `order.created` are committed together before the answer. After 503 `outcome-unknown` or
/// `timeout` the order may exist: repeat the request with the same Idempotency-Key, and it is placed once.
#[utoipa::path(
    post,
    path = "/api/orders",
    tag = "orders",
    security(("bearer" = [scope::ORDERS])),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "Names the request: repeated within 24 hours it gets the first answer again and places nothing. In quotes it is the same key",
        min_length = 1, max_length = 130, pattern = r#"^("[!#-\[\]-~]{1,128}"|[!#-~][!-~]{0,127})$"#
    )),
    request_body(content = OrderRequest, content_type = "application/json", description = "At most 16384 bytes"),
    responses(
        (status = 201, description = "Placed, now or by an earlier request with the same key", body = OrderResponse,
         headers(
             ("Location" = String, description = "Path of the order"),
             ("ETag" = String, description = "Names the state that the body shows"),
             ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request placed the order"),
         )),
        PlaceProblems,
    )
)]
async fn place_order(
    State(app): State<App>,
    Customer(customer): Customer,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let refused = |_: &ApiError| app.metrics.placed(Outcome::Refused);
    let key = idempotency_key(&headers).inspect_err(refused)?;
    let new = NewOrder::parse(&body).map_err(ApiError::from).inspect_err(refused)?;
    let (order, replayed) =
        match place(&app, Request { customer, new, key, traceparent: traceparent(&headers) }).await? {
            Placed::First(order) => (order, false),
            Placed::Repeated(order) => (order, true),
            Placed::KeyReused => return Err(ApiError::KeyReused),
            Placed::OrderGone => return Err(ApiError::OrderGone),
            Placed::TooMany(wait) => return Err(ApiError::TooManyOrders(wait)),
        };
    let location = HeaderValue::from_str(&format!("/api/orders/{}", order.id)).expect("a UUID is a valid header value");
    let mut response = shown(StatusCode::CREATED, order);
    response.headers_mut().insert(header::LOCATION, location);
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Read an order
///
/// Somebody else's is not there, without the scope `orders:all`.
#[utoipa::path(
    get,
    path = "/api/orders/{id}",
    tag = "orders",
    security(("bearer" = [scope::ORDERS]), ("bearer" = [scope::ORDERS_ALL])),
    params(
        ("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10"),
        ("If-None-Match" = Option<String>, Header, description = "ETags of states that the client has", example = "\"1-placed\""),
    ),
    responses(
        (status = 200, description = "The order", body = OrderResponse,
         headers(("ETag" = String, description = "Names the state that the body shows"))),
        (status = 304, description = "The client has this state",
         headers(("ETag" = String, description = "Names the state"))),
        ReadProblems,
    )
)]
async fn get_order(
    State(app): State<App>,
    whose: Whose,
    IdInPath(id): IdInPath,
    headers: HeaderMap,
) -> Result<Response, ReadError> {
    let order = orders::find(&app.pool, OrderId(id)).await?;
    let order = order.filter(|order| order.is_among(&whose)).ok_or(NOT_FOUND)?;
    let etag = Etag::of(&order);
    Ok(if etag.is_known_to(&headers) { not_modified(&etag) } else { shown(StatusCode::OK, order) })
}

/// Cancel an order
///
/// Commits the cancellation and its event `order.cancelled` together. Repeating it is harmless: a cancelled order stays
/// as it is, and no second event is made. A shipped order is not cancelled. With If-Match only an order in that state is
/// cancelled; one that was cancelled out of it counts as done.
#[utoipa::path(
    post,
    path = "/api/orders/{id}/cancel",
    tag = "orders",
    security(("bearer" = [scope::ORDERS]), ("bearer" = [scope::ORDERS_ALL])),
    params(
        ("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10"),
        ("If-Match" = Option<String>, Header, description = "ETags of the states in which the order may be cancelled; `*` is any",
         pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#, example = "*"),
    ),
    responses(
        (status = 200, description = "The cancelled order", body = OrderResponse,
         headers(("ETag" = String, description = "Names the state that the body shows"))),
        CancelProblems,
    )
)]
async fn cancel_order(
    State(app): State<App>,
    whose: Whose,
    IdInPath(id): IdInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let expected = Precondition::parse(&headers)?;
    match cancel(&app, (OrderId(id), &whose), traceparent(&headers), |order| expected.holds_for(order)).await? {
        Cancelled::Done(order) => Ok(shown(StatusCode::OK, order)),
        Cancelled::TooLate(status) => Err(ApiError::NotCancellable(status)),
        Cancelled::Unexpected(order) => Err(ApiError::PreconditionFailed(Etag::of(&order).as_str().to_owned())),
        Cancelled::NotFound => Err(NOT_FOUND.into()),
    }
}

struct PlaceProblems;

impl IntoResponses for PlaceProblems {
    fn responses() -> Responses {
        let violation = Violation { pointer: "/quantity".to_owned(), detail: "must be an integer from 1 to 1000" };
        let refusals = [
            ApiError::MalformedBody("expected value at line 1 column 1".to_owned()),
            ApiError::MalformedKey,
            ApiError::SlowBody,
            ApiError::TooLarge,
            ApiError::UnsupportedMediaType(JSON),
            ApiError::UnsupportedEncoding,
            ApiError::OrderGone,
            ApiError::InvalidOrder(vec![violation]),
            ApiError::KeyReused,
            ApiError::EventTooLarge,
            ApiError::TooManyOrders(Duration::from_secs(600)),
        ];
        documented(refusals.map(ApiError::problem).into_iter().chain(write_faults()))
    }
}

/// What is answered where an order is asked for that is not there.
pub(super) const NOT_FOUND: ReadError =
    ReadError::NotFound { code: "order-not-found", title: "There is no such order" };

pub(super) struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> Responses {
        documented(refused_ids().into_iter().chain(faults()))
    }
}

struct CancelProblems;

impl IntoResponses for CancelProblems {
    fn responses() -> Responses {
        let refusals = [
            ApiError::MalformedPrecondition,
            ApiError::NotCancellable(OrderStatus::Shipped),
            ApiError::PreconditionFailed("\"2-cancelled\"".to_owned()),
            ApiError::EventTooLarge,
        ];
        documented(refused_ids().into_iter().chain(refusals.map(ApiError::problem)).chain(write_faults()))
    }
}

pub(super) fn refused_ids() -> [Problem; 2] {
    [ReadError::MalformedId.problem(), NOT_FOUND.problem()]
}

fn write_faults() -> impl Iterator<Item = Problem> {
    faults().into_iter().chain([ApiError::OutcomeUnknown.problem()])
}
