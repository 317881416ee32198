//! What customers were told: pages with filters, and one by one.

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use runtime::http::list::{self, PageParameters, Problems};
use runtime::http::read::{IdInPath, ReadError, faults, uuid};
use runtime::page::UNKNOWN_PARAMETER;
use schema::ids::{NotificationId, OrderId};
use schema::scope;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::notification::{EmailState, Trouble};
use crate::store::{notification_lists, notifications};
use crate::suppression::HeldBack;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_notifications)).routes(routes!(get_notification))
}

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
struct NotificationList {
    /// Newest first.
    #[schema(max_items = 100)]
    notifications: Vec<Notification>,
    /// What gives the next page as `cursor`; null on the last one.
    #[schema(example = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001")]
    next_cursor: Option<Uuid>,
}

/// One thing that a customer was told.
#[derive(Debug, Serialize, ToSchema)]
struct Notification {
    #[schema(example = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001")]
    id: Uuid,
    /// The event that it is the effect of.
    #[schema(example = "019aab1e-5c3b-7a10-b1c2-90f1a2b3c4d5")]
    event_id: Uuid,
    #[schema(example = "order.created")]
    event_type: String,
    #[schema(example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    order_id: Uuid,
    #[schema(example = "Espresso machine")]
    product: String,
    #[schema(example = 2, minimum = 1)]
    quantity: u32,
    created_at: DateTime<Utc>,
    email: Email,
}

/// What became of the email.
#[derive(Debug, Serialize, ToSchema)]
struct Email {
    state: EmailState,
    /// How often the transport said yes or no; null if that was so long ago that it is not kept.
    #[schema(example = 1)]
    attempts: Option<u32>,
    /// What became of it after a try that did not send it; null if there was none, or nobody keeps it any more. `notify-svc email show`
    /// has what the mail server said.
    #[schema(example = json!(null))]
    last_error: Option<Trouble>,
    /// Why it was held back; null if it was not.
    #[schema(example = json!(null))]
    suppressed: Option<HeldBack>,
    /// When the transport took it; null before.
    sent_at: Option<DateTime<Utc>>,
}

const NOT_FOUND: ReadError =
    ReadError::NotFound { code: "notification-not-found", title: "There is no such notification" };

struct FindProblems;

impl IntoResponses for FindProblems {
    fn responses() -> Responses {
        documented([ReadError::MalformedId.problem(), NOT_FOUND.problem()].into_iter().chain(faults()))
    }
}

/// What were customers told?
///
/// Pages of notifications, newest first, of one order, in one state, or all. An order that is unknown here has none: its
/// event may still be on its way.
#[utoipa::path(
    get,
    path = "/api/notifications",
    tag = "notifications",
    security(("bearer" = [scope::NOTIFICATIONS])),
    params(
        ("order_id" = Option<Uuid>, Query, description = "Only of this order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10"),
        ("state" = Option<EmailState>, Query, description = "Only with their email in this state"),
        PageParameters,
    ),
    responses((status = 200, description = "The page", body = NotificationList), Problems)
)]
async fn list_notifications(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<NotificationList>, ReadError> {
    let mut filter = Filter::default();
    let page = list::parse(query.as_deref(), |name, value| filter.set(name, value))?;
    let found = match (filter.order_id, filter.state) {
        (Some(order_id), state) => notification_lists::of_order(&app.pool, order_id, state, page).await?,
        (None, Some(state)) => notification_lists::in_state(&app.pool, state, page).await?,
        (None, None) => notification_lists::all(&app.pool, page).await?,
    };
    let (notifications, next_cursor) = page.cut(found, |found| found.id.0);
    Ok(Json(NotificationList {
        notifications: notifications.into_iter().map(Notification::from).collect(),
        next_cursor,
    }))
}

/// What was the customer told?
#[utoipa::path(
    get,
    path = "/api/notifications/{id}",
    tag = "notifications",
    security(("bearer" = [scope::NOTIFICATIONS])),
    params(("id" = Uuid, Path, description = "The notification", example = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001")),
    responses((status = 200, description = "The notification", body = Notification), FindProblems)
)]
async fn get_notification(State(app): State<App>, IdInPath(id): IdInPath) -> Result<Json<Notification>, ReadError> {
    let found = notifications::find(&app.pool, NotificationId(id)).await?;
    found.map(|found| Json(Notification::from(found))).ok_or(NOT_FOUND)
}

/// Which notifications.
#[derive(Debug, Default)]
struct Filter {
    order_id: Option<OrderId>,
    state: Option<EmailState>,
}

impl Filter {
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "order_id" => self.order_id = Some(OrderId(uuid(value)?)),
            "state" => {
                let state = EmailState::ALL.into_iter().find(|state| state.as_str() == value);
                self.state = Some(state.ok_or("must be pending, sent, dead, discarded or suppressed")?);
            }
            _ => return Err(UNKNOWN_PARAMETER),
        }
        Ok(())
    }
}

impl From<notifications::Notification> for Notification {
    fn from(found: notifications::Notification) -> Self {
        let state = found.state();
        let last_error = found.last_error.map(|_| Trouble::of(state));
        let (attempts, suppressed) = (found.attempts, found.suppressed);
        let email = Email { state, attempts, last_error, suppressed, sent_at: found.sent_at };
        Self {
            id: found.id.0,
            event_id: found.event_id.0,
            event_type: found.event_type,
            order_id: found.order_id.0,
            product: found.product,
            quantity: found.quantity,
            created_at: found.created_at,
            email,
        }
    }
}
