//! Payments: of an order, and one by one.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use runtime::http::layers;
use runtime::http::read::{ReadError, uuid};
use schema::ids::{OrderId, PaymentId};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::payment::State as PaymentState;
use crate::store::payments;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(of_order)).routes(routes!(find))
}

/// The payments of an order.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentList {
    /// One, or none while the order's event is on its way.
    payments: Vec<Payment>,
}

/// What was asked of a customer for an order.
#[derive(Debug, Serialize, ToSchema)]
struct Payment {
    #[schema(example = "019aab1e-5c3d-7a11-8c0d-5d4c3b2a1908")]
    id: Uuid,
    #[schema(example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    order_id: Uuid,
    state: PaymentState,
    /// In the currency's minor unit, such as cents.
    #[schema(example = 2000, minimum = 1)]
    amount_minor: u64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Of the last event about it; 0 before the first.
    #[schema(example = 1)]
    version: u32,
    /// What the provider calls the charge; null before it was made.
    #[schema(example = "ch_019aab1e")]
    provider_ref: Option<String>,
    /// Why the provider refused; null if it did not.
    #[schema(example = json!(null))]
    decline_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

const NOT_FOUND: ReadError = ReadError::NotFound { code: "payment-not-found", title: "There is no such payment" };

struct ListProblems;

impl IntoResponses for ListProblems {
    fn responses() -> Responses {
        documented([
            ReadError::MalformedId { parameter: "order_id" }.problem(),
            ReadError::MalformedQuery { parameter: "order".to_owned(), rule: UNKNOWN_RULE }.problem(),
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

const UNKNOWN_RULE: &str = "is not a parameter of this list";

/// How is an order paid?
///
/// An order that is unknown here has no payment: its event may still be on its way.
#[utoipa::path(
    get,
    path = "/api/payments",
    tag = "payments",
    params(("order_id" = Uuid, Query, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "Its payment, if there is one", body = PaymentList), ListProblems)
)]
async fn of_order(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<PaymentList>, ReadError> {
    let order_id = order_id(query.as_deref().unwrap_or_default())?;
    let found = payments::find_of_order(&app.pool, order_id).await?;
    Ok(Json(PaymentList { payments: found.into_iter().map(Payment::from).collect() }))
}

/// How does a payment stand?
#[utoipa::path(
    get,
    path = "/api/payments/{id}",
    tag = "payments",
    params(("id" = Uuid, Path, description = "The payment", example = "019aab1e-5c3d-7a11-8c0d-5d4c3b2a1908")),
    responses((status = 200, description = "The payment", body = Payment), FindProblems)
)]
async fn find(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Payment>, ReadError> {
    let found = payments::find(&app.pool, PaymentId(uuid("id", &id)?)).await?;
    found.map(|found| Json(Payment::from(found))).ok_or(NOT_FOUND)
}

/// What is none of our parameters is refused, and so is one that is repeated.
fn order_id(query: &str) -> Result<OrderId, ReadError> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let Some((name, value)) = parameters.next() else { return Err(ReadError::MalformedId { parameter: "order_id" }) };
    let other = if name == "order_id" { parameters.next().map(|(name, _)| name) } else { Some(name) };
    match other {
        Some(name) if name == "order_id" => Err(ReadError::MalformedId { parameter: "order_id" }),
        Some(name) => Err(ReadError::MalformedQuery { parameter: name.into_owned(), rule: UNKNOWN_RULE }),
        None => Ok(OrderId(uuid("order_id", &value)?)),
    }
}

impl From<payments::Payment> for Payment {
    fn from(found: payments::Payment) -> Self {
        Self {
            id: found.id.0,
            order_id: found.order_id.0,
            state: found.state,
            amount_minor: found.amount_minor,
            currency: found.currency,
            version: found.version,
            provider_ref: found.provider_ref,
            decline_reason: found.decline_reason,
            created_at: found.created_at,
            updated_at: found.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_of_one_order_and_takes_nothing_else() {
        let id = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        assert_eq!(order_id(&format!("order_id={id}")).unwrap().to_string(), id);
        for query in
            ["", "order_id=", "id=1", &format!("order_id={id}&order_id={id}"), &format!("order_id={id}&limit=1")]
        {
            assert!(order_id(query).is_err(), "{query}");
        }
    }
}
