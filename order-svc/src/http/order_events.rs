//! Where is my order: what became of its events.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use schema::ids::EventId;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::extract::OrderIdInPath;
use crate::App;
use crate::store::outbox::StoredEvent;
use crate::store::{orders, outbox};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(order_events))
}

/// The events of an order.
#[derive(Debug, Serialize, ToSchema)]
struct OrderStory {
    /// In version order. Events that were published long ago are purged.
    #[schema(max_items = 100)]
    events: Vec<EventResponse>,
}

/// An event and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderEvent)]
struct EventResponse {
    /// Its identity, the `ce-id` of its message.
    #[schema(value_type = Uuid, example = "019aab1e-5c3b-7000-8000-3f2b8c6d4a11")]
    event_id: EventId,
    /// What happened.
    #[schema(example = "order.created")]
    event_type: String,
    /// The order's version that it made.
    #[schema(minimum = 1, example = 1)]
    version: Option<u32>,
    /// `pending`, `published`, `held` behind a dead event, or `dead`: in need of a person.
    #[schema(pattern = "^(pending|published|held|dead)$", example = "published")]
    state: String,
    /// Failed publishes that were its own fault; an outage of the broker counts none.
    #[schema(example = 0)]
    attempts: u32,
    /// Why it could not be published.
    #[schema(example = json!(null))]
    last_error: Option<String>,
    /// When it happened.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    occurred_at: DateTime<Utc>,
    /// When publishing is tried again.
    #[schema(example = json!(null))]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When the broker's acknowledgement was recorded.
    #[schema(example = "2026-11-22T11:30:00.125123Z")]
    published_at: Option<DateTime<Utc>>,
    /// Its sequence in the stream.
    #[schema(example = 4711)]
    stream_sequence: Option<u64>,
}

impl From<StoredEvent> for EventResponse {
    fn from(event: StoredEvent) -> Self {
        Self {
            event_id: event.event_id,
            event_type: event.event_type,
            version: event.aggregate_version,
            state: event.state,
            attempts: event.attempts,
            last_error: event.last_error,
            occurred_at: event.occurred_at,
            next_attempt_at: event.next_attempt_at,
            published_at: event.published_at,
            stream_sequence: event.stream_seq,
        }
    }
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented(super::orders::refused_ids().into_iter().chain(super::orders::faults()))
    }
}

/// Where are the events of an order?
#[utoipa::path(
    get,
    path = "/api/orders/{id}/events",
    tag = "orders",
    params(("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The order's events", body = OrderStory), Problems)
)]
async fn order_events(State(app): State<App>, OrderIdInPath(id): OrderIdInPath) -> Result<Json<OrderStory>, ApiError> {
    let events = outbox::story(&app.pool, id).await?;
    if events.is_empty() && orders::find(&app.pool, id).await?.is_none() {
        return Err(ApiError::OrderNotFound(id));
    }
    Ok(Json(OrderStory { events: events.into_iter().map(EventResponse::from).collect() }))
}
