//! What follows from what happened to a payment, in the transaction that records it: its row, its event, its refund.

use std::num::NonZeroU32;

use anyhow::Context;
use chrono::{DateTime, SubsecRound, Utc};
use effect::New;
use outbox::{NewEvent, Outbox};
use runtime::mysql::Transaction;
use runtime::telemetry::trace::TraceParent;
use schema::ids::{EffectId, EventId};
use schema::names;
use schema::payment::{
    PaymentAuthorized, PaymentDeclined, PaymentEvent, PaymentEventType, PaymentRefunded, SCHEMA_VERSION,
};
use serde_json::json;

use crate::payment::Fact;
use crate::store::payments::{self, Change, Payment};

/// The queue of what is asked of the provider.
pub const QUEUE: &str = "provider";
/// The kind of effect that takes money.
pub const CHARGE: &str = "charge";
/// The kind of effect that gives it back.
pub const REFUND: &str = "refund";

/// What the provider said with its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// What it calls the charge.
    pub provider_ref: Option<&'a str>,
    /// Why it refused.
    pub decline_reason: Option<&'a str>,
}

/// Carries out what follows, for a payment whose row is locked. Gives the event that was appended.
///
/// # Errors
/// As the database has it.
pub async fn advance(
    tx: &mut Transaction,
    outbox: &Outbox,
    payment: &Payment,
    fact: Fact,
    said: Said<'_>,
) -> anyhow::Result<Option<NewEvent>> {
    let Some(step) = payment.state.step(fact) else {
        tracing::debug!(payment.id = %payment.id, state = payment.state.as_str(), ?fact, "nothing follows");
        return Ok(None);
    };
    let refund_id = step.refund.then(EffectId::generate);
    let version = payment.version + u32::from(step.event.is_some());
    let Said { provider_ref, decline_reason } = said;
    let change = Change { state: step.state, version, refund_id, provider_ref, decline_reason };
    payments::change(tx, payment.id, change).await.context("changing a payment")?;
    if let Some(id) = refund_id {
        let (subject, traceparent) = (payment.id.to_string(), TraceParent::current());
        let new = New { id, subject, kind: REFUND, body: json!({}), traceparent };
        effect::enqueue(tx, QUEUE, &new).await.context("enqueuing a refund")?;
    }
    let Some(event_type) = step.event else { return Ok(None) };
    let event = event(payment, event_type, version, decline_reason)?;
    outbox.append(tx, &event).await.context("appending an event")?;
    Ok(Some(event))
}

fn event(
    payment: &Payment,
    event_type: PaymentEventType,
    version: u32,
    decline_reason: Option<&str>,
) -> anyhow::Result<NewEvent> {
    let occurred_at: DateTime<Utc> = Utc::now().trunc_subsecs(6);
    let (payment_id, order_id, schema_version) = (payment.id, payment.order_id, SCHEMA_VERSION);
    let (amount_minor, currency) = (payment.amount_minor, payment.currency.clone());
    let event = match event_type {
        PaymentEventType::Authorized => PaymentEvent::Authorized(PaymentAuthorized {
            schema_version,
            payment_id,
            order_id,
            amount_minor,
            currency,
            authorized_at: occurred_at,
        }),
        PaymentEventType::Declined => PaymentEvent::Declined(PaymentDeclined {
            schema_version,
            payment_id,
            order_id,
            amount_minor,
            currency,
            reason: decline_reason.unwrap_or("withdrawn").to_owned(),
            declined_at: occurred_at,
        }),
        PaymentEventType::Refunded => PaymentEvent::Refunded(PaymentRefunded {
            schema_version,
            payment_id,
            order_id,
            amount_minor,
            currency,
            refunded_at: occurred_at,
        }),
    };
    Ok(NewEvent {
        id: EventId::generate(),
        aggregate_type: names::PAYMENT.into(),
        aggregate_id: payment_id.into(),
        aggregate_version: NonZeroU32::new(version).context("an event has a version above 0")?,
        event_type: event_type.as_str().into(),
        payload: event.payload()?,
        occurred_at,
        data_schema: Some(event_type.data_schema().into()),
        traceparent: TraceParent::current(),
    })
}
