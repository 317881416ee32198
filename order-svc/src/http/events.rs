//! How the outbox stands, in a bounded number of rows at any size.

use axum::Json;
use axum::extract::State;
use outbox::status::{self, OutboxStatus};
use runtime::http::read::{Faults, ReadError};
use schema::scope;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(order_events_status))
}

/// How does the outbox stand?
///
/// Cheap at any size of the outbox: large numbers are bounded or derived, as each field says.
#[utoipa::path(
    get,
    path = "/api/orders/events/status",
    tag = "operations",
    security(("bearer" = [scope::OPERATIONS])),
    responses((status = 200, description = "The state of the outbox", body = OutboxStatus), Faults)
)]
async fn order_events_status(State(app): State<App>) -> Result<Json<OutboxStatus>, ReadError> {
    Ok(Json(status::read(&app.pool).await?))
}
