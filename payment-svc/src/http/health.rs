//! Whether the service can do its work, for people and gateways. The platform's probes are on the admin port.

use axum::Json;
use axum::extract::State;
use runtime::http::docs::{Responses, documented};
use runtime::http::health::{self, Health};
use runtime::http::read::ReadError;
use utoipa::IntoResponses;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented([ReadError::DatabaseUnavailable.problem(), ReadError::Internal.problem()])
    }
}

/// Is the service well?
///
/// Asks the database, for at most two seconds. NATS is not asked: `/api/payments/events/status` shows its state.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "payment_service_health",
    tag = "operations",
    responses((status = 200, description = "The service and its database work", body = Health), Problems)
)]
async fn health(State(app): State<App>) -> Result<Json<Health>, ReadError> {
    Ok(Json(health::check(&app.pool).await?))
}
