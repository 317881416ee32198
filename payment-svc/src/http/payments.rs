//! Payments: pages of them, of an order, and one by one.

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::{DateTime, Utc};
use runtime::http::docs::{Responses, documented};
use runtime::http::list::{self, PageParameters, Problems};
use runtime::http::read::{IdInPath, ReadError, faults, uuid};
use runtime::page::UNKNOWN_PARAMETER;
use schema::ids::{OrderId, PaymentId};
use schema::scope;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::payment::State as PaymentState;
use crate::store::payments;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_payments)).routes(routes!(get_payment))
}

/// A page of payments.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentList {
    /// Newest first.
    #[schema(max_items = 100)]
    payments: Vec<Payment>,
    /// What gives the next page as `cursor`; null on the last one.
    #[schema(example = "019aab1e-5c3d-7a11-8c0d-5d4c3b2a1908")]
    next_cursor: Option<Uuid>,
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

const STATE_RULE: &str = "must be the state of a payment, such as authorized";

struct FindProblems;

impl IntoResponses for FindProblems {
    fn responses() -> Responses {
        documented([ReadError::MalformedId.problem(), NOT_FOUND.problem()].into_iter().chain(faults()))
    }
}

/// How are orders paid?
///
/// Pages of payments, newest first, of one order, which has one at most, in one state, or all. An order that is unknown here has none:
/// its event may still be on its way.
#[utoipa::path(
    get,
    path = "/api/payments",
    tag = "payments",
    security(("bearer" = [scope::OPERATIONS])),
    params(
        ("order_id" = Option<Uuid>, Query, description = "Only of this order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10"),
        ("state" = Option<PaymentState>, Query, description = "Only those that stand there"),
        PageParameters,
    ),
    responses((status = 200, description = "The page", body = PaymentList), Problems)
)]
async fn list_payments(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<PaymentList>, ReadError> {
    let (mut order_id, mut state) = (None, None);
    let page = list::parse(query.as_deref(), |name, value| {
        match name {
            "order_id" => order_id = Some(OrderId(uuid(value)?)),
            "state" => state = Some(PaymentState::parse(value).ok_or(STATE_RULE)?),
            _ => return Err(UNKNOWN_PARAMETER),
        }
        Ok(())
    })?;
    let found = match (order_id, state) {
        (Some(order_id), state) => payments::of_order(&app.pool, order_id, state, page).await?,
        (None, Some(state)) => payments::in_state(&app.pool, state, page).await?,
        (None, None) => payments::all(&app.pool, page).await?,
    };
    let (payments, next_cursor) = page.cut(found, |found| found.id.0);
    Ok(Json(PaymentList { payments: payments.into_iter().map(Payment::from).collect(), next_cursor }))
}

/// How does a payment stand?
#[utoipa::path(
    get,
    path = "/api/payments/{id}",
    tag = "payments",
    security(("bearer" = [scope::OPERATIONS])),
    params(("id" = Uuid, Path, description = "The payment", example = "019aab1e-5c3d-7a11-8c0d-5d4c3b2a1908")),
    responses((status = 200, description = "The payment", body = Payment), FindProblems)
)]
async fn get_payment(State(app): State<App>, IdInPath(id): IdInPath) -> Result<Json<Payment>, ReadError> {
    let found = payments::find(&app.pool, PaymentId(id)).await?;
    found.map(|found| Json(Payment::from(found))).ok_or(NOT_FOUND)
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
