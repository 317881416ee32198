//! How events come in and go out.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use inbox::status::{DeadMessage, EventsStatus, dead_messages};
use outbox::status::{self, OutboxStatus};
use runtime::http::read::{Faults, ReadError};
use schema::scope;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::payment::State as PaymentState;
use crate::store::stuck::{self, Stuck};

/// Payments that one answer lists.
const STUCK_MAX: u32 = 10;

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
    dead_messages: Vec<DeadMessage>,
    /// From the database into the stream of the payments.
    outbox: OutboxStatus,
    /// Ten payments at most that are at no end, and that nothing is tried for: a person decides, by `payment-svc payment`,
    /// which has what the provider said.
    #[schema(max_items = 10)]
    stuck_payments: Vec<StuckPayment>,
}

/// A payment that a person decides about.
#[derive(Debug, Serialize, ToSchema)]
struct StuckPayment {
    #[schema(example = "019aab1e-5c3d-7a11-8c0d-5d4c3b2a1908")]
    id: Uuid,
    #[schema(example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    order_id: Uuid,
    state: PaymentState,
    /// What was last asked of the provider: charge or refund.
    #[schema(example = "charge")]
    effect: String,
    /// Whether the money may have moved.
    is_unknown: bool,
    /// Since when it stands so.
    since: DateTime<Utc>,
}

impl From<Stuck> for StuckPayment {
    fn from(found: Stuck) -> Self {
        Self {
            id: found.id.0,
            order_id: found.order_id.0,
            state: found.state,
            effect: found.effect,
            is_unknown: found.is_unknown,
            since: found.updated_at,
        }
    }
}

/// How are the events on their way?
///
/// Asks the broker, for at most two seconds, and the database; cheap at any size of its tables.
#[utoipa::path(
    get,
    path = "/api/payments/events/status",
    tag = "operations",
    security(("bearer" = [scope::OPERATIONS])),
    responses((status = 200, description = "The way of the events", body = PaymentEventsStatus), Faults)
)]
async fn payment_events_status(State(app): State<App>) -> Result<Json<PaymentEventsStatus>, ReadError> {
    let (inbox, outbox, dead_messages, stuck) = tokio::join!(
        EventsStatus::of(&app.monitor),
        status::read(&app.pool),
        dead_messages(&app.pool, &app.monitor),
        stuck::some(&app.pool, STUCK_MAX)
    );
    let stuck_payments = stuck?.into_iter().map(StuckPayment::from).collect();
    Ok(Json(PaymentEventsStatus { inbox, outbox: outbox?, dead_messages: dead_messages?, stuck_payments }))
}
