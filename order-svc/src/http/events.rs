//! How the outbox stands, in a bounded number of rows at any size.

use axum::Json;
use axum::extract::State;
use outbox::status::{self, OutboxStatus};
use runtime::http::docs::{Responses, documented};
use utoipa::IntoResponses;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use crate::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(outbox_status))
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented(super::orders::faults())
    }
}

/// How does the outbox stand?
///
/// Cheap at any size of the outbox: large numbers are bounded or derived, as each field says.
#[utoipa::path(
    get,
    path = "/api/orders/events/status",
    tag = "operations",
    responses((status = 200, description = "The state of the outbox", body = OutboxStatus), Problems)
)]
async fn outbox_status(State(app): State<App>) -> Result<Json<OutboxStatus>, ApiError> {
    Ok(Json(status::read(&app.pool).await?))
}
