//! How the events are doing on their way from the stream into the database and out as emails.

use axum::Json;
use axum::extract::State;
use inbox::status::{DeadMessage, EventsStats, EventsStatus, dead_messages};
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use runtime::http::read::{Faults, ReadError};
use schema::scope;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::email::QUEUE;
use crate::store::notifications;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(stats))
}

/// The way of the order events, and that of the payment events.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    #[serde(flatten)]
    orders: EventsStatus,
    /// Null if nobody listens to payments.
    payments: Option<EventsStatus>,
}

/// What was counted of the order events, and what there is of the emails.
#[derive(Debug, Serialize, ToSchema)]
struct Stats {
    #[serde(flatten)]
    events: EventsStats,
    emails: EmailCounts,
    /// Dead messages that nobody has decided about: the first ten of each stream.
    #[schema(max_items = 20)]
    dead_messages: Vec<DeadMessage>,
}

/// Emails in the database, of all replicas and for all time.
#[derive(Debug, Serialize, ToSchema)]
struct EmailCounts {
    /// To be sent, or to be tried again.
    #[schema(example = 0, minimum = 0)]
    pending: i64,
    /// Taken by the transport.
    #[schema(example = 1200, minimum = 0)]
    sent: i64,
    /// In need of a person.
    #[schema(example = 0, minimum = 0)]
    dead: i64,
    /// Where counting stops: a count that equals it means that many or more.
    #[schema(example = 100_000)]
    count_max: u32,
}

struct StatusProblems;

impl IntoResponses for StatusProblems {
    fn responses() -> Responses {
        documented([layers::timed_out(), ReadError::Internal.problem()])
    }
}

/// Do the events arrive?
///
/// Asks the broker, for at most two seconds; answers without it, too.
#[utoipa::path(
    get,
    path = "/api/events/status",
    operation_id = "notification_events_status",
    tag = "operations",
    security(("bearer" = [scope::OPERATIONS])),
    responses((status = 200, description = "The way of the events", body = Status), StatusProblems)
)]
async fn status(State(app): State<App>) -> Json<Status> {
    let payments = async {
        match &app.payments_monitor {
            Some(monitor) => Some(EventsStatus::of(monitor).await),
            None => None,
        }
    };
    let (orders, payments) = tokio::join!(EventsStatus::of(&app.monitor), payments);
    Json(Status { orders, payments })
}

/// How many events and emails?
///
/// Messages are counted since this process started; emails are counted in the database.
#[utoipa::path(
    get,
    path = "/api/events/stats",
    operation_id = "notification_events_stats",
    tag = "operations",
    security(("bearer" = [scope::OPERATIONS])),
    responses((status = 200, description = "The counts", body = Stats), Faults)
)]
async fn stats(State(app): State<App>) -> Result<Json<Stats>, ReadError> {
    let queue = effect::sample(&app.pool, QUEUE).await?;
    let sent = notifications::count_sent(&app.pool).await?;
    let emails = EmailCounts { pending: queue.pending, sent, dead: queue.dead, count_max: effect::COUNT_MAX };
    let mut dead = Vec::new();
    for monitor in [Some(&app.monitor), app.payments_monitor.as_ref()].into_iter().flatten() {
        dead.extend(dead_messages(&app.pool, monitor).await?);
    }
    Ok(Json(Stats { events: EventsStats::of(&app.inbox_metrics), emails, dead_messages: dead }))
}
