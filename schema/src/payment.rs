//! The payment events: their types and payloads. One payment for each order; its versions are 1 for the provider's answer to
//! the charge, and 2 for the refund.
//!
//! The JSON Schemas in `schema/events/` say the same to programs in other languages; a test holds both together.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{DecodeError, UnknownEventType, decode_payload};
use crate::ids::{OrderId, PaymentId};

/// The version of the payloads that this code writes and reads.
pub use crate::event::SCHEMA_VERSION;

/// What can happen to a payment. The name is also the subject that the event is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentEventType {
    /// The provider took the money.
    Authorized,
    /// The provider refused for good; no money was taken.
    Declined,
    /// The money that was taken is given back, all of it.
    Refunded,
}

impl PaymentEventType {
    /// All of them, for metrics that start at 0 and for tests.
    pub const ALL: [Self; 3] = [Self::Authorized, Self::Declined, Self::Refunded];

    /// The name in `event_type`, `ce-type` and the subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "payment.authorized",
            Self::Declined => "payment.declined",
            Self::Refunded => "payment.refunded",
        }
    }

    /// The `$id` of the payload's schema, in `ce-dataschema`; it ends in [`SCHEMA_VERSION`].
    pub const fn data_schema(self) -> &'static str {
        match self {
            Self::Authorized => "urn:web-store:event:payment.authorized:1",
            Self::Declined => "urn:web-store:event:payment.declined:1",
            Self::Refunded => "urn:web-store:event:payment.refunded:1",
        }
    }
}

impl std::fmt::Display for PaymentEventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for PaymentEventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

/// Payload of `payment.authorized`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it pays.
    pub order_id: OrderId,
    /// What was taken, in the currency's minor unit, such as cents.
    pub amount_minor: u64,
    /// ISO 4217, such as `EUR`.
    pub currency: String,
    /// When the answer of the provider was recorded.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub authorized_at: DateTime<Utc>,
}

/// Payload of `payment.declined`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDeclined {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it was to pay.
    pub order_id: OrderId,
    /// What was not taken, in the currency's minor unit.
    pub amount_minor: u64,
    /// ISO 4217, such as `EUR`.
    pub currency: String,
    /// The provider's reason, such as `card_declined`: for programs and for support, not for the customer.
    pub reason: String,
    /// When the answer of the provider was recorded.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub declined_at: DateTime<Utc>,
}

/// Payload of `payment.refunded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it had paid.
    pub order_id: OrderId,
    /// What was given back, in the currency's minor unit: all that was taken.
    pub amount_minor: u64,
    /// ISO 4217, such as `EUR`.
    pub currency: String,
    /// When the answer of the provider was recorded.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub refunded_at: DateTime<Utc>,
}

/// A decoded payment event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// See [`PaymentAuthorized`].
    Authorized(PaymentAuthorized),
    /// See [`PaymentDeclined`].
    Declined(PaymentDeclined),
    /// See [`PaymentRefunded`].
    Refunded(PaymentRefunded),
}

impl PaymentEvent {
    /// Decodes the body of a message of the given `ce-type`.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(event_type: &str, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match event_type.parse::<PaymentEventType>()? {
            PaymentEventType::Authorized => Self::Authorized(decode_payload(payload)?),
            PaymentEventType::Declined => Self::Declined(decode_payload(payload)?),
            PaymentEventType::Refunded => Self::Refunded(decode_payload(payload)?),
        })
    }

    /// The type of the event.
    pub const fn event_type(&self) -> PaymentEventType {
        match self {
            Self::Authorized(_) => PaymentEventType::Authorized,
            Self::Declined(_) => PaymentEventType::Declined,
            Self::Refunded(_) => PaymentEventType::Refunded,
        }
    }

    /// The order that it pays.
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Authorized(event) => event.order_id,
            Self::Declined(event) => event.order_id,
            Self::Refunded(event) => event.order_id,
        }
    }

    /// The payment it happened to.
    pub const fn payment_id(&self) -> PaymentId {
        match self {
            Self::Authorized(event) => event.payment_id,
            Self::Declined(event) => event.payment_id,
            Self::Refunded(event) => event.payment_id,
        }
    }

    /// The payload as JSON text.
    ///
    /// # Errors
    /// Never for these types; the signature is serde's.
    pub fn payload(&self) -> serde_json::Result<String> {
        match self {
            Self::Authorized(event) => serde_json::to_string(event),
            Self::Declined(event) => serde_json::to_string(event),
            Self::Refunded(event) => serde_json::to_string(event),
        }
    }
}
