//! Lists of orders, page by page.

#![allow(unused_qualifications, reason = "utoipa qualifies what it generates for params(ListQuery)")]

use axum::Json;
use axum::extract::{RawQuery, State};
use runtime::http::docs::{Responses, documented};
use runtime::http::identity::Refusal;
use runtime::http::list::{self, PageParameters, Problems};
use runtime::http::read::ReadError;
use runtime::page::Page;
use schema::scope;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::error::ApiError;
use super::extract::{FORM, FormBody};
use super::order_response::{OrderResponse, StatusResponse};
use crate::App;
use crate::domain::{OrderFilter, Whose};
use crate::store::order_lists;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_orders)).routes(routes!(search_orders))
}

/// Which orders. Documentation only: [`OrderFilter`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation reads the fields")]
struct ListQuery {
    /// Only orders that stand there.
    #[param(inline)]
    status: Option<StatusResponse>,
    /// Only orders with this address, in upper or lower case; takes the scope `orders:all`. An address in a URL gets into histories, and
    /// into the logs of what is in between: the search takes it in a body.
    #[param(format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Only orders placed then or later.
    #[param(format = DateTime, example = "2026-11-22T11:30:00Z")]
    created_from: Option<String>,
    /// Only orders placed earlier than that.
    #[param(format = DateTime, example = "2026-11-23T11:30:00Z")]
    created_to: Option<String>,
}

/// The parameters of the list, in a body.
#[derive(serde::Deserialize, ToSchema)]
#[schema(as = OrderSearch)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema reads the fields")]
struct SearchForm {
    /// Only orders that stand there.
    #[schema(inline, nullable = false, value_type = Option<StatusResponse>)]
    status: Option<String>,
    /// Only orders with this address, in upper or lower case.
    #[schema(nullable = false, format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Only orders placed then or later.
    #[schema(nullable = false, format = DateTime, example = "2026-11-22T11:30:00Z")]
    created_from: Option<String>,
    /// Only orders placed earlier than that.
    #[schema(nullable = false, format = DateTime, example = "2026-11-23T11:30:00Z")]
    created_to: Option<String>,
    /// `next_cursor` of the page before.
    #[schema(nullable = false, value_type = Option<Uuid>, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    cursor: Option<String>,
    /// Entries of the page; 20 if absent.
    #[schema(nullable = false, minimum = 1, maximum = 100, example = 20)]
    limit: Option<u32>,
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
    let (mut filter, page) = parse(query.as_deref())?;
    if let Whose::Of(customer) = whose {
        if filter.email.is_some() {
            return Err(Refusal::InsufficientScope(scope::ORDERS_ALL.into()).into());
        }
        filter.customer = Some(customer);
    }
    page_of(&app, &filter, page).await
}

/// Find orders
///
/// The list with its parameters in the body, written as in a query, so that an address gets into no URL.
#[utoipa::path(
    post,
    path = "/api/orders/search",
    tag = "orders",
    security(("bearer" = [scope::ORDERS_ALL])),
    request_body(content = SearchForm, content_type = FORM, description = "At most 16384 bytes"),
    responses((status = 200, description = "A page", body = OrderPage), Problems, SearchProblems)
)]
async fn search_orders(State(app): State<App>, FormBody(form): FormBody) -> Result<Json<OrderPage>, ApiError> {
    let (filter, page) = parse(Some(&form))?;
    Ok(page_of(&app, &filter, page).await?)
}

fn parse(parameters: Option<&str>) -> Result<(OrderFilter, Page), ReadError> {
    let mut filter = OrderFilter::default();
    let page = list::parse(parameters, |name, value| filter.set(name, value))?;
    Ok((filter, page))
}

async fn page_of(app: &App, filter: &OrderFilter, page: Page) -> Result<Json<OrderPage>, ReadError> {
    let (orders, next_cursor) = page.cut(order_lists::page(&app.pool, filter, page).await?, |order| order.id.0);
    Ok(Json(OrderPage { orders: orders.into_iter().map(OrderResponse::from).collect(), next_cursor }))
}

struct SearchProblems;

impl IntoResponses for SearchProblems {
    fn responses() -> Responses {
        let refusals = [
            ApiError::SlowBody,
            ApiError::TooLarge,
            ApiError::UnsupportedMediaType(FORM),
            ApiError::UnsupportedEncoding,
        ];
        documented(refusals.map(ApiError::problem))
    }
}
