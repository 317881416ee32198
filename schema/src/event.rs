//! The order events: their types and payloads.
//!
//! The JSON Schemas in `schema/events/` say the same to programs in other languages; a test holds both together.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::OrderId;

/// The version of the payloads that this code writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// What can happen to an order. The name is also the subject that the event is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The order was placed; always its version 1.
    OrderCreated,
    /// The order was cancelled.
    OrderCancelled,
}

impl EventType {
    /// All of them, for metrics that start at 0 and for tests.
    pub const ALL: [Self; 2] = [Self::OrderCreated, Self::OrderCancelled];

    /// The name in `event_type`, `ce-type` and the subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "order.created",
            Self::OrderCancelled => "order.cancelled",
        }
    }

    /// The `$id` of the payload's schema, in `ce-dataschema`; it ends in [`SCHEMA_VERSION`].
    pub const fn data_schema(self) -> &'static str {
        match self {
            Self::OrderCreated => "urn:web-store:event:order.created:1",
            Self::OrderCancelled => "urn:web-store:event:order.cancelled:1",
        }
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event type that this version of the code does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {0:?}")]
pub struct UnknownEventType(pub String);

impl std::str::FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

/// Payload of `order.created`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The order.
    pub order_id: OrderId,
    /// What was ordered.
    pub product: String,
    /// How many of it, at least 1.
    pub quantity: u32,
    /// When the order was placed.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub placed_at: DateTime<Utc>,
}

/// Payload of `order.cancelled`. Carries what was ordered, so that a consumer needs no look-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The order.
    pub order_id: OrderId,
    /// What had been ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// When the order was cancelled.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub cancelled_at: DateTime<Utc>,
    /// What cancelled it; none if the customer asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CancelCause>,
}

/// What cancelled an order, if nobody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// Its payment was declined.
    PaymentDeclined,
    /// Something that a later version of this code knows.
    #[serde(other)]
    Other,
}

/// A decoded order event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// See [`OrderCreated`].
    Created(OrderCreated),
    /// See [`OrderCancelled`].
    Cancelled(OrderCancelled),
}

/// Why a message is no event that this code understands. Permanent: reading it again gives the same.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is not one of ours.
    #[error(transparent)]
    UnknownType(#[from] UnknownEventType),
    /// The payload is of another schema version than ours.
    #[error("unknown schema version {0}, expected {SCHEMA_VERSION}")]
    UnknownSchemaVersion(u32),
    /// The payload is no JSON, or not of the type's shape.
    #[error("malformed payload")]
    Payload(#[from] serde_json::Error),
}

/// Reads a payload of our schema version.
pub(crate) fn decode_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
    }

    let Version { schema_version } = serde_json::from_slice(payload)?;
    if schema_version != SCHEMA_VERSION {
        return Err(DecodeError::UnknownSchemaVersion(schema_version));
    }
    Ok(serde_json::from_slice(payload)?)
}

impl OrderEvent {
    /// Decodes the body of a message of the given `ce-type`.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(event_type: &str, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match event_type.parse::<EventType>()? {
            EventType::OrderCreated => Self::Created(decode_payload(payload)?),
            EventType::OrderCancelled => Self::Cancelled(decode_payload(payload)?),
        })
    }

    /// The type of the event.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::Created(_) => EventType::OrderCreated,
            Self::Cancelled(_) => EventType::OrderCancelled,
        }
    }

    /// The order it happened to.
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Created(event) => event.order_id,
            Self::Cancelled(event) => event.order_id,
        }
    }

    /// The payload as JSON text.
    ///
    /// # Errors
    /// Never for these types; the signature is serde's.
    pub fn payload(&self) -> serde_json::Result<String> {
        match self {
            Self::Created(event) => serde_json::to_string(event),
            Self::Cancelled(event) => serde_json::to_string(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_another_schema_version_is_refused() {
        let error = OrderEvent::decode("order.created", br#"{"schema_version":2}"#).unwrap_err();
        assert!(matches!(error, DecodeError::UnknownSchemaVersion(2)));
    }

    #[test]
    fn an_unknown_type_is_refused_by_name() {
        let error = OrderEvent::decode("order.shipped", b"{}").unwrap_err();
        assert_eq!(error.to_string(), r#"unknown event type "order.shipped""#);
    }
}
