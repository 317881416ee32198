//! An order and its transitions. Each transition yields the order after it and the event about it, so that
//! neither can be written without the other.

use std::num::NonZeroU32;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use outbox::NewEvent;
use schema::event::{CancelCause, OrderCancelled, OrderCreated, OrderEvent, SCHEMA_VERSION};
use schema::ids::{EventId, OrderId};
use schema::names;

use super::{CustomerId, NewOrder, PaymentState, Whose};

/// Versions that events of other writers may take before an event of ours: more, and the order is left to a person.
pub const VERSIONS_SKIPPED_MAX: u32 = 100;

/// An order as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its identity.
    pub id: OrderId,
    /// Whose it is; nobody's if it was placed where nobody is asked for a token.
    pub customer: Option<CustomerId>,
    /// What is ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// The customer's address; none once it was erased.
    pub email: Option<String>,
    /// Where it stands.
    pub status: OrderStatus,
    /// What is known of its payment.
    pub payment: PaymentState,
    /// The version of its last event, from 1.
    pub version: NonZeroU32,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When its last event happened.
    pub updated_at: DateTime<Utc>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Placed and not cancelled.
    Placed,
    /// Cancelled, for good.
    Cancelled,
    /// On its way to the customer. Written by whoever ships, never by us.
    Shipped,
}

/// A status in the database that this version of the code does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column status of table orders has the unknown value {value:?} for id {id}")]
pub struct UnknownStatus {
    /// The order.
    pub id: OrderId,
    /// The column's text.
    pub value: String,
}

/// What asking for a cancellation comes to.
#[derive(Debug)]
pub enum Cancellation {
    /// The order is cancelled now, and the event says so.
    Cancelled(Order, Box<NewEvent>),
    /// The order had been cancelled before: nothing happens.
    AlreadyCancelled(Order),
    /// The order stands where no cancellation is possible any more.
    TooLate(OrderStatus),
    /// The order is in another state than expected: nothing happens.
    Unexpected(Order),
}

impl Order {
    /// Places a new order. `at` loses what is finer than the microseconds that the database keeps, and stays within the
    /// millisecond that the id names: lists find orders of a time by their ids.
    pub fn place(id: OrderId, customer: Option<CustomerId>, new: NewOrder, at: DateTime<Utc>) -> (Self, NewEvent) {
        let at = within_millisecond_of(id, at.trunc_subsecs(6));
        let (product, quantity, email) = new.into_parts();
        let version = NonZeroU32::MIN;
        let event = OrderEvent::Created(OrderCreated {
            schema_version: SCHEMA_VERSION,
            order_id: id,
            product: product.clone(),
            quantity,
            placed_at: at,
        });
        let status = OrderStatus::Placed;
        let payment = PaymentState::Due;
        let (created_at, updated_at, email) = (at, at, Some(email));
        let order = Self { id, customer, product, quantity, email, status, payment, version, created_at, updated_at };
        (order, to_append(&event, version, at))
    }

    /// Whether somebody who may see these orders may see this one.
    pub fn is_among(&self, whose: &Whose) -> bool {
        match whose {
            Whose::Anybodys => true,
            Whose::Of(customer) => self.customer.as_ref() == Some(customer),
        }
    }

    /// The order as it was when it was placed: what the first answer said. No transition changes what was ordered.
    #[must_use]
    pub fn as_placed(self) -> Self {
        let (status, payment, version) = (OrderStatus::Placed, PaymentState::Due, NonZeroU32::MIN);
        Self { status, payment, version, updated_at: self.created_at, ..self }
    }

    /// Whether the two ask for the same: what an order keeps of its request never changes, but that its address may be erased.
    pub fn asks_for_the_same(&self, other: &Self) -> bool {
        let is_one_erased = self.email.is_none() || other.email.is_none();
        (&self.product, self.quantity) == (&other.product, other.quantity)
            && (is_one_erased || self.email == other.email)
    }

    /// Cancels the order as its `version` if it is in an expected state, or was in one when it was cancelled.
    pub fn cancel_if(self, at: DateTime<Utc>, version: NonZeroU32, expects: impl Fn(&Self) -> bool) -> Cancellation {
        let is_expected = expects(&self) || self.before_cancellation().any(|before| expects(&before));
        if is_expected { self.cancel(at, version, None) } else { Cancellation::Unexpected(self) }
    }

    /// A cancelled order as it may have been before: which versions the cancellation skipped is not kept, nor is the time.
    fn before_cancellation(&self) -> impl Iterator<Item = Self> {
        let is_cancelled = self.status == OrderStatus::Cancelled;
        let versions =
            (1..self.version.get()).rev().take(VERSIONS_SKIPPED_MAX as usize + 1).filter_map(NonZeroU32::new);
        let before = |version| Self { status: OrderStatus::Placed, version, ..self.clone() };
        versions.filter(move |_| is_cancelled).map(before)
    }

    /// The version of the order's next event: the first that no other event has. Another writer may tell of the order
    /// without changing it; `taken` are the versions of such events, in order. Consumers apply versions without a gap, so
    /// that none may be left out either.
    pub fn next_version(&self, taken: &[u32]) -> NonZeroU32 {
        let next = self.version.saturating_add(1);
        taken.iter().fold(next, |next, taken| next.saturating_add(u32::from(*taken == next.get())))
    }

    /// Cancels the order, unless that has happened before. Call it under the row lock: nobody else assigns `version`.
    pub fn cancel(mut self, at: DateTime<Utc>, version: NonZeroU32, cause: Option<CancelCause>) -> Cancellation {
        match self.status {
            OrderStatus::Placed => {}
            OrderStatus::Cancelled => return Cancellation::AlreadyCancelled(self),
            OrderStatus::Shipped => return Cancellation::TooLate(self.status),
        }
        // A clock that was set back must not make an order end before it began.
        let at = at.trunc_subsecs(6).max(self.updated_at);
        self.status = OrderStatus::Cancelled;
        self.version = version;
        self.updated_at = at;
        let event = OrderEvent::Cancelled(OrderCancelled {
            schema_version: SCHEMA_VERSION,
            order_id: self.id,
            product: self.product.clone(),
            quantity: self.quantity,
            cancelled_at: at,
            cause,
        });
        let event = to_append(&event, self.version, at);
        Cancellation::Cancelled(self, Box::new(event))
    }
}

/// The event under an id of its own, of no trace yet.
fn to_append(event: &OrderEvent, aggregate_version: NonZeroU32, occurred_at: DateTime<Utc>) -> NewEvent {
    NewEvent {
        id: EventId::generate(),
        aggregate_type: names::ORDER.into(),
        aggregate_id: event.order_id().into(),
        aggregate_version,
        event_type: event.event_type().as_str().into(),
        payload: event.payload().expect("these types have no map with keys that JSON can't have"),
        occurred_at,
        data_schema: Some(event.event_type().data_schema().into()),
        traceparent: None,
    }
}

/// The id counts on where clocks stand still or go back; the order's time follows it.
fn within_millisecond_of(id: OrderId, at: DateTime<Utc>) -> DateTime<Utc> {
    let named = id.0.get_timestamp().map(|stamp| stamp.to_unix());
    let named = named.and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds.cast_signed(), nanos));
    named.map_or(at, |first| at.clamp(first, first + TimeDelta::microseconds(999)))
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Placed, Self::Cancelled, Self::Shipped];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
        }
    }

    /// Reads the column `orders.status` of the order `id`.
    ///
    /// # Errors
    /// [`UnknownStatus`] if a newer version of the code wrote it.
    pub fn read(id: OrderId, value: &str) -> Result<Self, UnknownStatus> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == value);
        known.ok_or_else(|| UnknownStatus { id, value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();

    fn placed() -> (Order, NewEvent) {
        let body = br#"{"product":"Mug","quantity":2,"email":"ada@example.com"}"#;
        let at = "2026-11-22T11:30:00.123456789Z".parse().unwrap();
        Order::place(id_of_millisecond(at), None, NewOrder::parse(body).unwrap(), at)
    }

    fn id_of_millisecond(at: DateTime<Utc>) -> OrderId {
        let millis = u64::try_from(at.timestamp_millis()).unwrap();
        OrderId(uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid())
    }

    #[test]
    fn a_placed_order_is_version_1_and_keeps_microseconds() {
        let (order, event) = placed();
        assert_eq!((order.version.get(), event.aggregate_version.get()), (1, 1));
        assert_eq!(order.created_at.to_rfc3339(), "2026-11-22T11:30:00.123456+00:00");
        assert_eq!(event.aggregate_id, order.id.into());
    }

    #[test]
    fn an_order_is_of_the_millisecond_that_its_id_names() {
        let (order, _) = placed();
        let new = || NewOrder::parse(br#"{"product":"Mug","quantity":2,"email":"ada@example.com"}"#).unwrap();
        for (clock, micros) in [(-5_000, "123000"), (5_000, "123999")] {
            let at = order.created_at + TimeDelta::microseconds(clock);
            let (order, event) = Order::place(order.id, None, new(), at);
            assert_eq!(order.created_at.format("%6f").to_string(), micros);
            assert_eq!(event.occurred_at, order.created_at);
        }
    }

    #[test]
    fn a_customer_sees_their_own_orders_only() {
        let (nobodys, _) = placed();
        let [ada, bob] = ["ada", "bob"].map(CustomerId::new);
        let adas = Order { customer: Some(ada.clone()), ..nobodys.clone() };
        let seen = |whose: &Whose| [&nobodys, &adas].map(|order| order.is_among(whose));
        assert_eq!(seen(&Whose::Anybodys), [true, true]);
        assert_eq!(seen(&Whose::Of(ada)), [false, true]);
        assert_eq!(seen(&Whose::Of(bob)), [false, false]);
    }

    #[test]
    fn a_shipped_order_is_not_cancelled() {
        let (order, _) = placed();
        let shipped = Order { status: OrderStatus::Shipped, ..order };
        assert!(matches!(shipped.cancel(Utc::now(), SECOND, None), Cancellation::TooLate(OrderStatus::Shipped)));
    }

    #[test]
    fn a_cancelled_order_remembers_how_it_was_placed() {
        let (order, _) = placed();
        let Cancellation::Cancelled(cancelled, _) = order.clone().cancel(Utc::now(), SECOND, None) else {
            panic!("not cancelled")
        };
        assert_eq!(cancelled.as_placed(), order);
    }

    #[test]
    fn only_the_first_cancellation_makes_an_event() {
        let (order, _) = placed();
        let at = order.created_at + TimeDelta::seconds(1);
        let Cancellation::Cancelled(order, event) = order.cancel(at, SECOND, None) else { panic!("not cancelled") };
        assert_eq!((order.status, order.version.get()), (OrderStatus::Cancelled, 2));
        assert_eq!((event.aggregate_version.get(), event.occurred_at), (2, at));
        let Cancellation::AlreadyCancelled(again) = order.clone().cancel(at, SECOND, None) else {
            panic!("cancelled twice")
        };
        assert_eq!(again, order);
    }

    #[test]
    fn the_next_version_is_the_first_that_nobody_took() {
        let (order, _) = placed();
        for (taken, next) in [(&[][..], 2), (&[2], 3), (&[2, 3, 5], 4), (&[3], 2), (&[5, 6], 2)] {
            assert_eq!(order.next_version(taken).get(), next, "{taken:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_reverse_an_orders_times() {
        let (order, _) = placed();
        let created_at = order.created_at;
        let Cancellation::Cancelled(order, _) = order.cancel(created_at - TimeDelta::hours(1), SECOND, None) else {
            panic!("not cancelled")
        };
        assert_eq!(order.updated_at, created_at);
    }

    #[test]
    fn an_unknown_status_is_an_error_that_names_its_place() {
        let id = OrderId::generate();
        let error = OrderStatus::read(id, "lost").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("column status of table orders has the unknown value \"lost\" for id {id}")
        );
    }
}
