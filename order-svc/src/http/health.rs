//! Whether the service can do its work, for people and gateways. The platform's probes are on the admin port.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::Connection;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::Responses;
use super::error::{ApiError, documented};
use crate::App;

/// A database that takes longer is no help to anybody.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

/// The service and its database work.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`: anything else is a problem.
    #[schema(example = "ok", pattern = "^ok$")]
    status: &'static str,
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented([ApiError::DatabaseUnavailable.problem(), ApiError::Internal.problem()])
    }
}

/// Is the service well?
///
/// Asks the database, for at most two seconds. NATS is not asked: orders are taken without it.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses((status = 200, description = "The service and its database work", body = Health), Problems)
)]
async fn health(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    let ping = async { app.pool.acquire().await?.ping().await };
    match tokio::time::timeout(CHECK_TIMEOUT, ping).await {
        Ok(answer) => answer?,
        Err(_) => {
            tracing::warn!(limit = ?CHECK_TIMEOUT, "database did not answer the health check");
            return Err(ApiError::DatabaseUnavailable);
        }
    }
    Ok(Json(Health { status: "ok" }))
}
