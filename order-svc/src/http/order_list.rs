//! Lists of orders, page by page.

#![allow(unused_qualifications, reason = "utoipa qualifies what it generates for params(ListQuery)")]

use axum::Json;
use axum::extract::{RawQuery, State};
use runtime::http::identity::Refusal;
use runtime::http::list::{self, PageParameters, Problems};
use runtime::http::read::ReadError;
use schema::scope;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::order_response::{OrderResponse, StatusResponse};
use crate::App;
use crate::domain::{OrderFilter, Whose};
use crate::store::order_lists;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_orders))
}

/// Which orders. Documentation only: [`OrderFilter`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation reads the fields")]
struct ListQuery {
    /// Only orders that stand there.
    #[param(inline)]
    status: Option<StatusResponse>,
    /// Only orders with this address; takes the scope `orders:all`.
    #[param(format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Only orders placed then or later.
    #[param(format = DateTime, example = "2026-11-22T11:30:00Z")]
    created_from: Option<String>,
    /// Only orders placed earlier than that.
    #[param(format = DateTime, example = "2026-11-23T11:30:00Z")]
    created_to: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
struct OrderPage {
    /// The orders, newest first.
    #[schema(max_items = 100)]
    orders: Vec<OrderResponse>,
    /// What gives the next page as `cursor`; null on the last one.
    #[schema(example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    next_cursor: Option<Uuid>,
}

/// List orders
///
/// Newest first: one's own, or everybody's with the scope `orders:all`. Orders that arrive while a client goes from page to page shift nothing: no order is shown twice, and
/// none that was there at the first page is left out.
#[utoipa::path(
    get,
    path = "/api/orders",
    tag = "orders",
    security(("bearer" = [scope::ORDERS]), ("bearer" = [scope::ORDERS_ALL])),
    params(ListQuery, PageParameters),
    responses((status = 200, description = "A page", body = OrderPage), Problems)
)]
async fn list_orders(
    State(app): State<App>,
    whose: Whose,
    RawQuery(query): RawQuery,
) -> Result<Json<OrderPage>, ReadError> {
    let mut filter = OrderFilter::default();
    let page = list::parse(query.as_deref(), |name, value| filter.set(name, value))?;
    if let Whose::Of(customer) = whose {
        if filter.email.is_some() {
            return Err(Refusal::InsufficientScope(scope::ORDERS_ALL.into()).into());
        }
        filter.customer = Some(customer);
    }
    let (orders, next_cursor) = page.cut(order_lists::page(&app.pool, &filter, page).await?, |order| order.id.0);
    Ok(Json(OrderPage { orders: orders.into_iter().map(OrderResponse::from).collect(), next_cursor }))
}
