//! How events come in and go out.

use axum::Json;
use axum::extract::State;
use inbox::status::EventsStatus;
use outbox::status::{self, OutboxStatus};
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use runtime::http::read::ReadError;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events_status))
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented([ReadError::DatabaseUnavailable.problem(), layers::timed_out(), ReadError::Internal.problem()])
    }
}

/// The order events that come in, and the payment events that go out.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentEventsStatus {
    /// From the stream of the orders into the database.
    inbox: EventsStatus,
    /// From the database into the stream of the payments.
    outbox: OutboxStatus,
}

/// How are the events on their way?
///
/// Asks the broker, for at most two seconds, and the database; cheap at any size of its tables.
#[utoipa::path(
    get,
    path = "/api/payments/events/status",
    tag = "operations",
    responses((status = 200, description = "The way of the events", body = PaymentEventsStatus), Problems)
)]
async fn events_status(State(app): State<App>) -> Result<Json<PaymentEventsStatus>, ReadError> {
    let (inbox, outbox) = tokio::join!(EventsStatus::of(&app.monitor), status::read(&app.pool));
    Ok(Json(PaymentEventsStatus { inbox, outbox: outbox? }))
}
