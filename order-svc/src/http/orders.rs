//! Place, read and cancel orders.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use chrono::{DateTime, Utc};
use runtime::http::layers;
use runtime::http::problem::Problem;
use schema::ids::OrderId;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::docs::Responses;
use super::error::{ApiError, documented};
use super::extract::{JsonBody, OrderIdInPath, traceparent};
use crate::App;
use crate::cancel::cancel;
use crate::domain::{NewOrder, Order, OrderStatus, Violation};
use crate::metrics::Outcome;
use crate::place::place;
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
    /// What is ordered: not only spaces, no control characters.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$",
        example = "Espresso machine"
    )]
    product: String,
    /// How many of it, written without fraction or exponent.
    #[schema(minimum = 1, maximum = 1000, example = 2)]
    quantity: u32,
    /// The customer's address: plain, in ASCII, at a host with a dot; no display name, quotes or IP literal.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    email: String,
}

/// An order as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
struct OrderResponse {
    /// Its identity.
    #[schema(value_type = Uuid, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    id: OrderId,
    /// What is ordered.
    #[schema(example = "Espresso machine")]
    product: String,
    /// How many of it.
    #[schema(minimum = 1, maximum = 1000, example = 2)]
    quantity: u32,
    /// The customer's address.
    #[schema(format = Email, example = "ada@example.com")]
    email: String,
    /// Where it stands.
    status: StatusResponse,
    /// Grows by one with every event of the order.
    #[schema(minimum = 1, example = 1)]
    version: u32,
    /// When it was placed.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    created_at: DateTime<Utc>,
    /// When its last event happened.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    updated_at: DateTime<Utc>,
}

/// Where an order stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderStatus, example = "placed")]
#[serde(rename_all = "snake_case")]
enum StatusResponse {
    Placed,
    Cancelled,
}

impl From<Order> for OrderResponse {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            product: order.product,
            quantity: order.quantity,
            email: order.email,
            status: match order.status {
                OrderStatus::Placed => StatusResponse::Placed,
                OrderStatus::Cancelled => StatusResponse::Cancelled,
            },
            version: order.version.get(),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

/// Place an order
///
/// The order and its event `order.created` are committed together before the answer. After 503 `outcome-unknown` or
/// `timeout` the order may exist.
#[utoipa::path(
    post,
    path = "/api/orders",
    tag = "orders",
    request_body(content = OrderRequest, content_type = "application/json", description = "At most 16384 bytes"),
    responses(
        (status = 201, description = "Placed", body = OrderResponse,
         headers(("Location" = String, description = "Path of the order"))),
        PlaceProblems,
    )
)]
async fn place_order(
    State(app): State<App>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<impl IntoResponse, ApiError> {
    let new = NewOrder::parse(&body).inspect_err(|_| app.metrics.placed(Outcome::Refused))?;
    let order = place(&app, new, traceparent(&headers)).await?;
    let location = AppendHeaders([(header::LOCATION, format!("/api/orders/{}", order.id))]);
    Ok((StatusCode::CREATED, location, Json(OrderResponse::from(order))))
}

/// Read an order
#[utoipa::path(
    get,
    path = "/api/orders/{id}",
    tag = "orders",
    params(("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The order", body = OrderResponse), ReadProblems)
)]
async fn get_order(State(app): State<App>, OrderIdInPath(id): OrderIdInPath) -> Result<Json<OrderResponse>, ApiError> {
    let order = orders::find(&app.pool, id).await?;
    order.map(|order| Json(order.into())).ok_or(ApiError::OrderNotFound(id))
}

/// Cancel an order
///
/// Commits the cancellation and its event `order.cancelled` together. Repeating it is harmless: a cancelled order stays
/// as it is, and no second event is made.
#[utoipa::path(
    post,
    path = "/api/orders/{id}/cancel",
    tag = "orders",
    params(("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The cancelled order", body = OrderResponse), CancelProblems)
)]
async fn cancel_order(
    State(app): State<App>,
    OrderIdInPath(id): OrderIdInPath,
    headers: HeaderMap,
) -> Result<Json<OrderResponse>, ApiError> {
    let order = cancel(&app, id, traceparent(&headers)).await?;
    order.map(|order| Json(order.into())).ok_or(ApiError::OrderNotFound(id))
}

struct PlaceProblems;

impl IntoResponses for PlaceProblems {
    fn responses() -> Responses {
        let violation = Violation { pointer: "/quantity".to_owned(), detail: "must be an integer from 1 to 1000" };
        let refusals = [
            ApiError::MalformedBody("expected value at line 1 column 1".to_owned()),
            ApiError::TooLarge,
            ApiError::UnsupportedMediaType,
            ApiError::InvalidOrder(vec![violation]),
        ];
        documented(refusals.map(ApiError::problem).into_iter().chain(write_faults()))
    }
}

struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> Responses {
        documented(refused_ids().into_iter().chain(faults()))
    }
}

struct CancelProblems;

impl IntoResponses for CancelProblems {
    fn responses() -> Responses {
        documented(refused_ids().into_iter().chain(write_faults()))
    }
}

fn refused_ids() -> [Problem; 2] {
    let unknown = Uuid::from_u128(0x019aab1e_5c3a_7d52_9e1f_3f2b8c6d4a10);
    [ApiError::MalformedId.problem(), ApiError::OrderNotFound(OrderId(unknown)).problem()]
}

fn faults() -> [Problem; 3] {
    [ApiError::DatabaseUnavailable.problem(), layers::timed_out(), ApiError::Internal.problem()]
}

fn write_faults() -> impl Iterator<Item = Problem> {
    faults().into_iter().chain([ApiError::OutcomeUnknown.problem()])
}
