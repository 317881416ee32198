//! The effect of an event, decided without a database: what is notified, and whether it can be.

use runtime::telemetry::trace::TraceParent;
use schema::event::{EventType, OrderEvent, UnknownEventType};
use schema::ids::{EffectId, EventId, NotificationId, OrderId};
use schema::payment::PaymentEventType;
use serde_json::json;

const PRODUCT_CHARS_MAX: usize = 200;

/// Where a notification's email stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmailState {
    /// To be sent, or to be tried again.
    Pending,
    /// The transport took it.
    Sent,
    /// Refused too often, or impossible; needs a person.
    Dead,
    /// A person gave it up.
    Discarded,
    /// Held back: its recipient gets no email.
    Suppressed,
}

impl EmailState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Dead, Self::Discarded, Self::Suppressed];

    /// The name in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
            Self::Suppressed => "suppressed",
        }
    }
}

/// What a customer can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The order was placed.
    OrderCreated,
    /// It was cancelled.
    OrderCancelled,
    /// Its payment was declined.
    PaymentDeclined,
    /// What was paid for it was given back.
    PaymentRefunded,
}

impl Topic {
    const ALL: [Self; 4] = [Self::OrderCreated, Self::OrderCancelled, Self::PaymentDeclined, Self::PaymentRefunded];

    /// The type of the event that it tells of.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => EventType::OrderCreated.as_str(),
            Self::OrderCancelled => EventType::OrderCancelled.as_str(),
            Self::PaymentDeclined => PaymentEventType::Declined.as_str(),
            Self::PaymentRefunded => PaymentEventType::Refunded.as_str(),
        }
    }
}

impl std::str::FromStr for Topic {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

/// A notification that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// Its id.
    pub id: NotificationId,
    /// The event that it is the effect of.
    pub event_id: EventId,
    /// What happened.
    pub topic: Topic,
    /// The order it happened to.
    pub order_id: OrderId,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// The processing of the event.
    pub traceparent: Option<TraceParent>,
}

/// Why an email was not sent, in a word for whoever asks: what the mail server said names servers and may quote the address, and stays
/// in the tables, for verbs and SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It could not be sent, and is tried again.
    Retrying,
    /// It could not be sent, and a person decides, or has decided.
    GivenUp,
}

impl Trouble {
    /// Of an email whose last try did not send it.
    pub fn of(state: EmailState) -> Self {
        if state == EmailState::Pending { Self::Retrying } else { Self::GivenUp }
    }
}

/// Why an event that was decoded still can't be notified.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnotifiable {
    /// The field is empty or above the schema's limit.
    #[error("{field} must have 1 to {chars_max} characters")]
    Length {
        /// The payload's field.
        field: &'static str,
        /// The limit.
        chars_max: usize,
    },
    /// Nothing was ordered.
    #[error("quantity must be at least 1")]
    Quantity,
}

impl NewNotification {
    /// The effect of what happened to an order.
    ///
    /// # Errors
    /// If the payload breaks a limit of its JSON Schema: the column would refuse it.
    pub fn of(event_id: EventId, order_event: &OrderEvent) -> Result<Self, Unnotifiable> {
        let (topic, product, quantity) = match order_event {
            OrderEvent::Created(event) => (Topic::OrderCreated, &event.product, event.quantity),
            OrderEvent::Cancelled(event) => (Topic::OrderCancelled, &event.product, event.quantity),
        };
        if quantity == 0 {
            return Err(Unnotifiable::Quantity);
        }
        Ok(Self {
            id: NotificationId::generate(),
            event_id,
            topic,
            order_id: order_event.order_id(),
            product: bounded("product", product, PRODUCT_CHARS_MAX)?,
            quantity,
            traceparent: TraceParent::current(),
        })
    }

    /// The email that tells the customer.
    pub fn email(&self) -> effect::New {
        effect::New {
            id: EffectId(self.id.0),
            subject: self.order_id.to_string(),
            kind: self.topic.as_str(),
            body: json!({ "product": self.product, "quantity": self.quantity }),
            traceparent: self.traceparent.clone(),
        }
    }
}

fn bounded(field: &'static str, text: &str, chars_max: usize) -> Result<String, Unnotifiable> {
    let fits = (1..=chars_max).contains(&text.chars().count());
    if fits { Ok(text.to_owned()) } else { Err(Unnotifiable::Length { field, chars_max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_bounded_by_characters_as_its_column_is() {
        assert!(bounded("product", &"é".repeat(PRODUCT_CHARS_MAX), PRODUCT_CHARS_MAX).is_ok());
        let error = bounded("product", &"e".repeat(PRODUCT_CHARS_MAX + 1), PRODUCT_CHARS_MAX).unwrap_err();
        assert_eq!(error.to_string(), "product must have 1 to 200 characters");
        assert!(bounded("product", "", PRODUCT_CHARS_MAX).is_err());
    }
}
