//! Where is my order: what became of its events.

use axum::Json;
use axum::extract::State;
use outbox::{StoredEvent, story};
use runtime::http::read::{IdInPath, ReadError};
use schema::ids::OrderId;
use schema::{names, scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::{NOT_FOUND, ReadProblems};
use crate::App;
use crate::domain::Whose;
use crate::store::orders;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(order_events))
}

/// The events of an order.
#[derive(Debug, Serialize, ToSchema)]
struct OrderStory {
    /// In version order. Events that were published long ago are purged.
    #[schema(max_items = 100)]
    events: Vec<StoredEvent>,
}

/// Where are the events of an order?
#[utoipa::path(
    get,
    path = "/api/orders/{id}/events",
    tag = "orders",
    security(("bearer" = [scope::ORDERS]), ("bearer" = [scope::ORDERS_ALL])),
    params(("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The order's events", body = OrderStory), ReadProblems)
)]
async fn order_events(
    State(app): State<App>,
    whose: Whose,
    IdInPath(id): IdInPath,
) -> Result<Json<OrderStory>, ReadError> {
    let id = OrderId(id);
    let order = orders::find(&app.pool, id).await?;
    let events = story(&app.pool, names::ORDER, id.into()).await?;
    // Events can outlive their order: whoever may see all of them sees these, too.
    let is_seen = match &order {
        Some(order) => order.is_among(&whose),
        None => whose == Whose::Anybodys && !events.is_empty(),
    };
    if !is_seen {
        return Err(NOT_FOUND);
    }
    Ok(Json(OrderStory { events }))
}
