//! What an order knows of its payment: what the payment events told, and what follows from it.

use schema::event::CancelCause;
use schema::ids::OrderId;
use schema::payment::PaymentEvent;

/// What the payment events told of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Nothing yet.
    Due,
    /// The money is taken.
    Authorized,
    /// No money is taken, and none will be.
    Declined,
    /// The money was taken and is given back.
    Refunded,
}

/// A payment's state in the database that this version of the code does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column payment of table orders has the unknown value {value:?} for id {id}")]
pub struct UnknownPayment {
    /// The order.
    pub id: OrderId,
    /// The column's text.
    pub value: String,
}

impl PaymentState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Due, Self::Authorized, Self::Declined, Self::Refunded];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Authorized => "authorized",
            Self::Declined => "declined",
            Self::Refunded => "refunded",
        }
    }

    /// Reads the column `orders.payment` of the order `id`.
    ///
    /// # Errors
    /// [`UnknownPayment`] if a newer version of the code wrote it.
    pub fn read(id: OrderId, value: &str) -> Result<Self, UnknownPayment> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == value);
        known.ok_or_else(|| UnknownPayment { id, value: value.to_owned() })
    }

    /// What an event tells. A payment's events come in the order of its versions, each once.
    pub const fn told_by(event: &PaymentEvent) -> Self {
        match event {
            PaymentEvent::Authorized(_) => Self::Authorized,
            PaymentEvent::Declined(_) => Self::Declined,
            PaymentEvent::Refunded(_) => Self::Refunded,
        }
    }

    /// Why an order of this payment is to be cancelled; none if it goes on.
    pub const fn cancels(self) -> Option<CancelCause> {
        match self {
            Self::Declined => Some(CancelCause::PaymentDeclined),
            Self::Due | Self::Authorized | Self::Refunded => None,
        }
    }
}
