//! How events come in and go out.

use axum::Json;
use axum::extract::State;
use inbox::status::{DeadLine, EventsStatus, dead_messages};
use outbox::status::{self, OutboxStatus};
use runtime::http::read::{Faults, ReadError};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(payment_events_status))
}

/// The order events that come in, and the payment events that go out.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentEventsStatus {
    /// From the stream of the orders into the database.
    inbox: EventsStatus,
    /// The first ten dead messages that nobody has decided about.
    #[schema(max_items = 10)]
    dead_messages: Vec<DeadLine>,
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
    responses((status = 200, description = "The way of the events", body = PaymentEventsStatus), Faults)
)]
async fn payment_events_status(State(app): State<App>) -> Result<Json<PaymentEventsStatus>, ReadError> {
    let (inbox, outbox, dead_messages) =
        tokio::join!(EventsStatus::of(&app.monitor), status::read(&app.pool), dead_messages(&app.pool, &app.monitor));
    Ok(Json(PaymentEventsStatus { inbox, outbox: outbox?, dead_messages: dead_messages? }))
}
