//! Lists of orders, page by page.

#![allow(unused_qualifications, reason = "utoipa qualifies what it generates for params(ListQuery)")]

use axum::Json;
use axum::extract::{Query, State};
use runtime::http::docs::{Responses, documented};
use schema::ids::OrderId;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::order_response::{OrderResponse, StatusResponse};
use crate::App;
use crate::domain::{OrderFilter, Violation};
use crate::store::order_lists;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_orders))
}

/// Which orders, and how many. Documentation only: [`OrderFilter`] parses it, with all faults at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation reads the fields")]
struct ListQuery {
    /// Only orders that stand there.
    #[param(inline)]
    status: Option<StatusResponse>,
    /// Only this customer's orders.
    #[param(format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Only orders placed then or later.
    #[param(format = DateTime, example = "2026-11-22T11:30:00Z")]
    created_from: Option<String>,
    /// Only orders placed earlier than that.
    #[param(format = DateTime, example = "2026-11-23T11:30:00Z")]
    created_to: Option<String>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<Uuid>, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    cursor: Option<String>,
    /// Orders of the page; 20 if absent.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
struct OrderPage {
    /// The orders, newest first.
    #[schema(max_items = 100)]
    orders: Vec<OrderResponse>,
    /// What gives the next page as `cursor`; null on the last one.
    #[schema(value_type = Option<Uuid>, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    next_cursor: Option<OrderId>,
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        let violation = Violation { pointer: "limit".to_owned(), detail: "must be an integer from 1 to 100" };
        documented([ApiError::InvalidQuery(vec![violation]).problem()].into_iter().chain(super::orders::faults()))
    }
}

/// List orders
///
/// Newest first. Orders that arrive while a client goes from page to page shift nothing: no order is shown twice, and
/// none that was there at the first page is left out.
#[utoipa::path(
    get,
    path = "/api/orders",
    tag = "orders",
    params(ListQuery),
    responses((status = 200, description = "A page", body = OrderPage), Problems)
)]
async fn list_orders(
    State(app): State<App>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<OrderPage>, ApiError> {
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let filter = OrderFilter::parse(parameters).map_err(ApiError::InvalidQuery)?;
    let mut orders = order_lists::page(&app.pool, &filter).await?;
    let page = usize::try_from(filter.limit.get()).unwrap_or(usize::MAX);
    let more = orders.len() > page;
    orders.truncate(page);
    let next_cursor = orders.last().filter(|_| more).map(|last| last.id);
    Ok(Json(OrderPage { orders: orders.into_iter().map(OrderResponse::from).collect(), next_cursor }))
}
