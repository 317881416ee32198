//! What customers were told: pages with filters, and one by one.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use runtime::http::read::{ReadError, uuid};
use schema::ids::{NotificationId, OrderId};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::notification::EmailState;
use crate::store::notifications::{self, Page};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find))
}

/// Notifications of a page.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
struct NotificationList {
    /// Oldest first.
    notifications: Vec<Notification>,
    /// `after` of the next page; null if this is the last.
    #[schema(example = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001")]
    next: Option<Uuid>,
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
    /// The customer's address.
    #[schema(example = "ada@example.com")]
    recipient: String,
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
    /// How often the transport said yes or no.
    #[schema(example = 1)]
    attempts: u32,
    /// When the transport took it; null before.
    sent_at: Option<DateTime<Utc>>,
}

const NOT_FOUND: ReadError =
    ReadError::NotFound { code: "notification-not-found", title: "There is no such notification" };

struct ListProblems;

impl IntoResponses for ListProblems {
    fn responses() -> Responses {
        documented([
            ReadError::MalformedId { parameter: "order_id" }.problem(),
            ReadError::MalformedQuery { parameter: "limit".to_owned(), rule: LIMIT_RULE }.problem(),
            ReadError::DatabaseUnavailable.problem(),
            layers::timed_out(),
            ReadError::Internal.problem(),
        ])
    }
}

struct FindProblems;

impl IntoResponses for FindProblems {
    fn responses() -> Responses {
        documented([
            ReadError::MalformedId { parameter: "id" }.problem(),
            NOT_FOUND.problem(),
            ReadError::DatabaseUnavailable.problem(),
            layers::timed_out(),
            ReadError::Internal.problem(),
        ])
    }
}

/// What were customers told?
///
/// Pages of notifications, oldest first, of one order, in one state, or all. An order that is unknown here has none: its
/// event may still be on its way.
#[utoipa::path(
    get,
    path = "/api/notifications",
    tag = "notifications",
    params(
        ("order_id" = Option<Uuid>, Query, description = "Only of this order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10"),
        ("state" = Option<EmailState>, Query, description = "Only with their email in this state"),
        ("limit" = Option<u32>, Query, description = "Notifications on the page, 50 unless given", minimum = 1, maximum = 100),
        ("after" = Option<Uuid>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "The page", body = NotificationList), ListProblems)
)]
async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<NotificationList>, ReadError> {
    let Filter { order_id, state, limit, after } = Filter::read(query.as_deref().unwrap_or_default())?;
    let page = Page { after, rows_max: limit + 1 };
    let mut found = match (order_id, state) {
        (Some(order_id), state) => notifications::of_order(&app.pool, order_id, state, page).await?,
        (None, Some(state)) => notifications::in_state(&app.pool, state, page).await?,
        (None, None) => notifications::all(&app.pool, page).await?,
    };
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_more).map(|last| last.id.0);
    Ok(Json(NotificationList { notifications: found.into_iter().map(Notification::from).collect(), next }))
}

/// What was the customer told?
#[utoipa::path(
    get,
    path = "/api/notifications/{id}",
    tag = "notifications",
    params(("id" = Uuid, Path, description = "The notification", example = "019aab1e-6b10-7c3e-8d1a-55a0c1de0001")),
    responses((status = 200, description = "The notification", body = Notification), FindProblems)
)]
async fn find(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Notification>, ReadError> {
    let id = NotificationId(uuid("id", &id)?);
    let found = notifications::find(&app.pool, id).await?;
    found.map(|found| Json(Notification::from(found))).ok_or(NOT_FOUND)
}

const LIMIT_RULE: &str = "must be a number from 1 to 100";
const STATE_RULE: &str = "must be pending, sent or dead";
const UNKNOWN_RULE: &str = "is not a parameter of this list";

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    order_id: Option<OrderId>,
    state: Option<EmailState>,
    limit: u32,
    after: NotificationId,
}

impl Filter {
    /// What is none of our parameters is refused: a mistyped filter must not show everything.
    fn read(query: &str) -> Result<Self, ReadError> {
        let mut filter = Self { order_id: None, state: None, limit: LIMIT_DEFAULT, after: NotificationId(Uuid::nil()) };
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(ReadError::MalformedQuery { parameter: name.into_owned(), rule: "must be given once" });
            }
            match &*name {
                "order_id" => filter.order_id = Some(OrderId(uuid("order_id", &value)?)),
                "state" => filter.state = Some(state(&value)?),
                "limit" => filter.limit = limit(&value)?,
                "after" => filter.after = NotificationId(uuid("after", &value)?),
                _ => return Err(ReadError::MalformedQuery { parameter: name.into_owned(), rule: UNKNOWN_RULE }),
            }
            seen.push(name);
        }
        Ok(filter)
    }
}

fn state(value: &str) -> Result<EmailState, ReadError> {
    let state = EmailState::ALL.into_iter().find(|state| state.as_str() == value);
    state.ok_or(ReadError::MalformedQuery { parameter: "state".to_owned(), rule: STATE_RULE })
}

fn limit(value: &str) -> Result<u32, ReadError> {
    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or(ReadError::MalformedQuery { parameter: "limit".to_owned(), rule: LIMIT_RULE })
}

impl From<notifications::Notification> for Notification {
    fn from(found: notifications::Notification) -> Self {
        Self {
            id: found.id.0,
            event_id: found.event_id.0,
            event_type: found.event_type,
            order_id: found.order_id.0,
            recipient: found.recipient,
            product: found.product,
            quantity: found.quantity,
            created_at: found.created_at,
            email: Email { state: found.state, attempts: found.attempts, sent_at: found.sent_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_each_parameter_once_and_no_other_notation() {
        let id = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        let filter = Filter::read(&format!("order_id={id}&state=dead&limit=%37&after={id}")).unwrap();
        assert_eq!(filter.order_id.unwrap().to_string(), id);
        assert_eq!((filter.state, filter.limit, filter.after.to_string()), (Some(EmailState::Dead), 7, id.to_owned()));
        assert_eq!(Filter::read("").unwrap().limit, LIMIT_DEFAULT);
        let simple = id.replace('-', "");
        for query in [
            "order_id=",
            "after=1",
            "limit=0",
            "limit=101",
            "limit=x",
            "state=",
            "state=Sent",
            "status=dead",
            "order_id",
            &format!("order_id={simple}"),
            &format!("order_id={id}&order_id={id}"),
        ] {
            assert!(Filter::read(query).is_err(), "{query}");
        }
    }
}
