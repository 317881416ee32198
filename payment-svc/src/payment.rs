//! A payment as a state machine: what follows from what happened, decided without a database and carried out under the lock of
//! the payment's row.
//!
//! Money is taken at most once, because the charge is one effect with one intent at the provider; and none is kept for a
//! cancelled order, because each way from a cancellation ends in `withdrawn`, `declined` or `refunded`, or waits for a person in
//! `refund_declined`.

use schema::payment::PaymentEventType;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum State {
    /// To be charged.
    Due,
    /// The order was cancelled while the charge may have been under way: its outcome is found out.
    Cancelling,
    /// The money was taken.
    Authorized,
    /// The money was not taken, and never will be: the provider refused.
    Declined,
    /// The money was not taken, and never will be: the order was cancelled in time.
    Withdrawn,
    /// The money was taken, and is to be given back.
    Refunding,
    /// The money was taken, and the provider refuses to give it back: a person decides.
    RefundDeclined,
    /// The money was given back.
    Refunded,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The order was cancelled, and the charge was taken back before it was tried.
    CancelledInTime,
    /// The order was cancelled.
    Cancelled,
    /// The provider took the money.
    Charged,
    /// The provider refused to, for good.
    Declined,
    /// The provider has not taken the money, and can't any more.
    NeverCharged,
    /// The provider refused to give the money back.
    RefundDeclined,
    /// A person wants it asked once more.
    RefundAgain,
    /// The money was given back.
    Refunded,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the payment stands now.
    pub state: State,
    /// What others are told.
    pub event: Option<PaymentEventType>,
    /// Whether the money is to be given back.
    pub refund: bool,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Due,
        Self::Cancelling,
        Self::Authorized,
        Self::Declined,
        Self::Withdrawn,
        Self::Refunding,
        Self::RefundDeclined,
        Self::Refunded,
    ];

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Cancelling => "cancelling",
            Self::Authorized => "authorized",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
            Self::Refunding => "refunding",
            Self::RefundDeclined => "refund_declined",
            Self::Refunded => "refunded",
        }
    }

    /// What follows when something happens; none if nothing does, as when it is told twice.
    pub const fn step(self, fact: Fact) -> Option<Step> {
        use PaymentEventType as Event;

        Some(match (self, fact) {
            (Self::Due, Fact::CancelledInTime) | (Self::Cancelling, Fact::NeverCharged) => Step::to(Self::Withdrawn),
            (Self::Due, Fact::Cancelled) => Step::to(Self::Cancelling),
            (Self::Due, Fact::Charged) => Step::to(Self::Authorized).tell(Event::Authorized),
            // An intent that somebody ended at the provider is as good as a no.
            (Self::Due, Fact::Declined | Fact::NeverCharged) | (Self::Cancelling, Fact::Declined) => {
                Step::to(Self::Declined).tell(Event::Declined)
            }
            (Self::Cancelling, Fact::Charged) => Step::to(Self::Refunding).tell(Event::Authorized).refund(),
            (Self::Authorized, Fact::Cancelled | Fact::CancelledInTime) => Step::to(Self::Refunding).refund(),
            (Self::Refunding, Fact::RefundDeclined) => Step::to(Self::RefundDeclined),
            (Self::RefundDeclined, Fact::RefundAgain) => Step::to(Self::Refunding).refund(),
            (Self::Refunding | Self::RefundDeclined, Fact::Refunded) => Step::to(Self::Refunded).tell(Event::Refunded),
            _ => return None,
        })
    }
}

impl Step {
    const fn to(state: State) -> Self {
        Self { state, event: None, refund: false }
    }

    const fn tell(self, event: PaymentEventType) -> Self {
        Self { event: Some(event), ..self }
    }

    const fn refund(self) -> Self {
        Self { refund: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: [Fact; 8] = [
        Fact::CancelledInTime,
        Fact::Cancelled,
        Fact::Charged,
        Fact::Declined,
        Fact::NeverCharged,
        Fact::RefundDeclined,
        Fact::RefundAgain,
        Fact::Refunded,
    ];

    /// A fact, and what followed from it.
    type Way = Vec<(Fact, Option<Step>)>;

    /// Every way that facts can take from a state, each fact once.
    fn walk(state: State, left: &[Fact], way: &mut Way, visit: &mut dyn FnMut(&Way, State)) {
        visit(way, state);
        for (index, fact) in left.iter().enumerate() {
            let step = state.step(*fact);
            let rest = [&left[..index], &left[index + 1..]].concat();
            way.push((*fact, step));
            walk(step.map_or(state, |step| step.state), &rest, way, visit);
            way.pop();
        }
    }

    #[test]
    fn every_state_bears_every_fact_and_ends_stay_ends() {
        for (state, fact) in State::ALL.into_iter().flat_map(|state| FACTS.map(|fact| (state, fact))) {
            let step = state.step(fact);
            let is_end = matches!(state, State::Declined | State::Withdrawn | State::Refunded);
            assert!(!is_end || step.is_none(), "{state:?} {fact:?}: {step:?}");
            if let Some(step) = step {
                assert_ne!(step.state, state, "{fact:?}");
                assert_eq!(step.state.step(fact), None, "told twice: {state:?} {fact:?}");
            }
        }
    }

    #[test]
    fn whatever_the_order_of_facts_a_payment_tells_each_event_once_and_refunds_what_was_taken_once() {
        walk(State::Due, &FACTS, &mut Vec::new(), &mut |way, state| {
            let steps = || way.iter().filter_map(|(_, step)| *step);
            let told: Vec<_> = steps().filter_map(|step| step.event).collect();
            let expected: &[PaymentEventType] = match state {
                State::Due | State::Cancelling | State::Withdrawn => &[],
                State::Authorized | State::Refunding | State::RefundDeclined => &[PaymentEventType::Authorized],
                State::Declined => &[PaymentEventType::Declined],
                State::Refunded => &[PaymentEventType::Authorized, PaymentEventType::Refunded],
            };
            assert_eq!(told, expected, "{way:?}");
            let refunds = steps().filter(|step| step.refund).count();
            let asked_again = way.iter().filter(|(fact, step)| *fact == Fact::RefundAgain && step.is_some()).count();
            let is_wanted = matches!(state, State::Refunding | State::RefundDeclined | State::Refunded);
            assert_eq!(refunds, usize::from(is_wanted) + asked_again, "{way:?}");
        });
    }

    #[test]
    fn a_cancelled_order_keeps_no_money_whenever_it_was_cancelled() {
        for charged in [[Fact::Cancelled, Fact::Charged], [Fact::Charged, Fact::Cancelled]] {
            let state = charged.into_iter().fold(State::Due, |state, fact| state.step(fact).unwrap().state);
            assert_eq!(state, State::Refunding);
        }
        for (fact, end) in [(Fact::Declined, State::Declined), (Fact::NeverCharged, State::Withdrawn)] {
            assert_eq!(State::Cancelling.step(fact).unwrap().state, end);
        }
    }
}
