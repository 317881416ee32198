//! Whether a service can do its work, for people and gateways. The platform's probes are on the admin port.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRef, State};
use axum::routing::get;
use serde::Serialize;
use sqlx::Connection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::read::{Faults, ReadError};
use crate::mysql::Pool;

/// A database that takes longer is no help to anybody.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The service and its database work.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`: anything else is a problem.
    #[schema(example = "ok", pattern = "^ok$")]
    status: &'static str,
}

/// The route that every service has, at two paths: `/health`, and the documented one. The gateway answers `/health` itself
/// and has the services' under their names.
pub fn routes<S>(service: &str) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Pool: FromRef<S>,
{
    let documented = format!("/health/{service}");
    let mut routes = OpenApiRouter::new().routes(routes!(health)).route(&documented, get(health));
    let paths = &mut routes.get_openapi_mut().paths.paths;
    if let Some(mut item) = paths.remove("/health") {
        if let Some(operation) = &mut item.get {
            operation.operation_id = Some(format!("{}_health", service.replace('-', "_")));
        }
        paths.insert(documented, item);
    }
    routes
}

/// Is the service well?
///
/// Asks the database, for at most two seconds. NATS is not asked: requests are answered without it.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses((status = 200, description = "The service and its database work", body = Health), Faults)
)]
async fn health(State(pool): State<Pool>) -> Result<Json<Health>, ReadError> {
    let ping = async {
        let mut connection = pool.acquire().await?;
        connection.ping().await.map(|()| connection.release())
    };
    let answer = tokio::time::timeout(CHECK_TIMEOUT, ping).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    Ok(Json(Health { status: "ok" }))
}
