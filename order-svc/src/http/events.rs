//! What the outbox holds back. Published events are not counted: there are as many as there were orders, and counting
//! them would read them all; the relay's metrics have their number.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::Responses;
use super::error::{ApiError, documented};
use crate::App;
use crate::store::{outbox, relay_lease};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The state of the outbox.
#[derive(Debug, Serialize, ToSchema)]
struct OutboxStatus {
    /// Events to be published.
    #[schema(example = 3)]
    pending: u64,
    /// Events that wait behind a dead event of their order.
    #[schema(example = 0)]
    held: u64,
    /// Events that need a person.
    #[schema(example = 0)]
    dead: u64,
    /// Where counting stops: a count that equals it means that many or more.
    #[schema(example = 100_000)]
    count_max: u64,
    /// Age of the first pending event; null when none is pending.
    #[schema(example = 0.042, minimum = 0)]
    oldest_pending_age_seconds: Option<f64>,
    /// Why the first pending event could not be published yet, else why the youngest dead event was given up.
    #[schema(example = json!(null))]
    last_error: Option<String>,
    /// Whether an outbox-relay holds the lease now.
    #[schema(example = true)]
    relay_active: bool,
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented([
            ApiError::DatabaseUnavailable.problem(),
            runtime::http::layers::timed_out(),
            ApiError::Internal.problem(),
        ])
    }
}

/// How does the outbox stand?
///
/// Counts what is not published yet. Published events are not counted.
#[utoipa::path(
    get,
    path = "/api/orders/events/status",
    tag = "operations",
    responses((status = 200, description = "The state of the outbox", body = OutboxStatus), Problems)
)]
async fn status(State(app): State<App>) -> Result<Json<OutboxStatus>, ApiError> {
    let backlog = outbox::backlog(&app.pool).await?;
    let oldest = outbox::oldest_pending(&app.pool).await?;
    let dead_error = if backlog.dead > 0 { outbox::youngest_dead_error(&app.pool).await? } else { None };
    Ok(Json(OutboxStatus {
        pending: backlog.pending,
        held: backlog.held,
        dead: backlog.dead,
        count_max: outbox::COUNT_MAX,
        oldest_pending_age_seconds: oldest.as_ref().map(|oldest| oldest.age.as_secs_f64()),
        last_error: oldest.and_then(|oldest| oldest.last_error).or(dead_error),
        relay_active: relay_lease::is_held(&app.pool).await?,
    }))
}
