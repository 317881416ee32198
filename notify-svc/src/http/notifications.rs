//! What customers were told about an order.

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::{DateTime, Utc};
use runtime::http::layers;
use schema::ids::OrderId;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::docs::Responses;
use super::error::{ApiError, documented};
use crate::App;
use crate::notification::EmailState;
use crate::store::notifications;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The notifications of an order.
#[derive(Debug, Serialize, ToSchema)]
struct NotificationList {
    /// Oldest first; at most 100, where an order has a handful.
    notifications: Vec<Notification>,
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

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented([
            ApiError::MalformedOrderId.problem(),
            ApiError::DatabaseUnavailable.problem(),
            layers::timed_out(),
            ApiError::Internal.problem(),
        ])
    }
}

/// What was the customer told about an order?
///
/// An order that is unknown here has no notifications: its event may still be on its way.
#[utoipa::path(
    get,
    path = "/api/notifications",
    tag = "notifications",
    params(("order_id" = Uuid, Query, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The order's notifications", body = NotificationList), Problems)
)]
async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<NotificationList>, ApiError> {
    let order_id = order_id(query.as_deref().unwrap_or_default())?;
    let found = notifications::list(&app.pool, order_id).await?;
    Ok(Json(NotificationList { notifications: found.into_iter().map(Notification::from).collect() }))
}

/// The one `order_id` of the query: a UUID with hyphens, in either case, and no other notation.
fn order_id(query: &str) -> Result<OrderId, ApiError> {
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("order_id="));
    let (Some(value), None) = (values.next(), values.next()) else { return Err(ApiError::MalformedOrderId) };
    let id: Hyphenated = value.parse().map_err(|_| ApiError::MalformedOrderId)?;
    Ok(OrderId(id.into_uuid()))
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
    fn an_order_id_is_one_uuid_with_hyphens() {
        let id = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        assert_eq!(order_id(&format!("other=1&order_id={id}")).unwrap().to_string(), id);
        let simple = id.replace('-', "");
        for query in
            ["", "order_id=", "order_id=1", &format!("order_id={simple}"), &format!("order_id={id}&order_id={id}")]
        {
            assert!(matches!(order_id(query), Err(ApiError::MalformedOrderId)), "{query}");
        }
    }
}
