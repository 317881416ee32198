//! Which orders a list shows, parameter by parameter.
//!
//! An order's id names the millisecond of its time, so a span of time is a span of ids.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use runtime::page::UNKNOWN_PARAMETER;
use schema::email;
use schema::ids::OrderId;
use uuid::{Builder, Uuid};

use super::{CustomerId, OrderStatus};

/// A plus sign in a query means a space.
const EMAIL_WITH_PLUS: &str =
    "must be a plain email address; write its plus sign as %2B, because + in a query is a space";
const TIME_WITH_PLUS: &str = "must be a time; write its plus sign as %2B, because + in a query is a space";

/// Which orders a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only orders that stand there.
    pub status: Option<OrderStatus>,
    /// Only this customer's orders. No parameter sets it: it is who asks.
    pub customer: Option<CustomerId>,
    /// Only orders with this address; upper and lower case are the same.
    pub email: Option<String>,
    /// Only orders placed then or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only orders placed earlier than that.
    pub created_to: Option<DateTime<Utc>>,
}

impl OrderFilter {
    /// Takes a parameter of a query, already decoded.
    ///
    /// # Errors
    /// What its value must be, or that there is no such parameter.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "status" => {
                let known = OrderStatus::ALL.into_iter().find(|known| known.as_str() == value);
                self.status = Some(known.ok_or("must be placed, cancelled or shipped")?);
            }
            "email" if email::is_plain(value) => self.email = Some(value.to_owned()),
            "email" if email::is_plain(&value.replace(' ', "+")) => return Err(EMAIL_WITH_PLUS),
            "email" => return Err("must be a plain email address such as ada@example.com"),
            "created_from" => self.created_from = Some(parse_time(value)?),
            "created_to" => self.created_to = Some(parse_time(value)?),
            _ => return Err(UNKNOWN_PARAMETER),
        }
        Ok(())
    }

    /// The ids that the span of time can have: from the first, up to and without the second.
    pub fn ids(&self) -> (OrderId, OrderId) {
        let first = self.created_from.map_or(Uuid::nil(), first_id_of);
        let next_millisecond = |to: DateTime<Utc>| first_id_of(to + TimeDelta::milliseconds(1));
        let end = self.created_to.map_or(Uuid::max(), next_millisecond);
        (OrderId(first), OrderId(end))
    }
}

/// The database knows no year beyond four digits, which an offset can lead to.
fn parse_time(value: &str) -> Result<DateTime<Utc>, &'static str> {
    let parse = |value: &str| runtime::time::parse(value).ok().filter(|time| (0..=9999).contains(&time.year()));
    parse(value).ok_or_else(|| match parse(&value.replace(' ', "+")) {
        Some(_) => TIME_WITH_PLUS,
        None => "must be a time such as 2026-11-22T11:30:00Z",
    })
}

/// The lowest id that an order of this millisecond can have. Times before 1970 have none.
fn first_id_of(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &[(&str, &str)]) -> Result<OrderFilter, &'static str> {
        let mut filter = OrderFilter::default();
        query.iter().try_for_each(|(name, value)| filter.set(name, value)).map(|()| filter)
    }

    #[test]
    fn what_is_not_a_value_of_its_parameter_is_refused() {
        for query in [
            ("status", "PLACED"),
            ("email", "nobody"),
            ("created_from", "yesterday"),
            ("created_to", "2026-11-22T11:30:00"),
            ("offset", "3"),
        ] {
            assert!(filter(&[query]).is_err(), "{query:?}");
        }
    }

    #[test]
    fn a_plus_sign_that_became_a_space_is_told_of() {
        for (name, value) in [("email", "a b@example.com"), ("created_from", "2026-11-22T11:30:00 00:00")] {
            let rule = filter(&[(name, value)]).unwrap_err();
            assert!(rule.contains("%2B"), "{rule}");
        }
    }

    #[test]
    fn a_span_of_time_is_a_span_of_ids() {
        let at = "2026-11-22T11:30:00.123456Z";
        let (from, to) = filter(&[("created_from", at), ("created_to", at)]).unwrap().ids();
        let millis = |id: OrderId| u64::from_be_bytes(id.0.as_bytes()[..8].try_into().unwrap()) >> 16;
        assert_eq!(millis(from) + 1, millis(to), "the span covers the whole millisecond");
        let (from, to) = OrderFilter::default().ids();
        assert_eq!((from.0, to.0), (Uuid::nil(), Uuid::max()));
    }

    #[test]
    fn times_outside_of_what_ids_can_name_are_no_fault() {
        for at in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"] {
            let (from, to) = filter(&[("created_from", at), ("created_to", at)]).unwrap().ids();
            assert!(from <= to, "{at}");
        }
    }

    #[test]
    fn a_time_that_the_database_does_not_know_is_another_one_or_a_fault() {
        let leap = filter(&[("created_from", "2016-12-31T23:59:60.5Z")]).unwrap();
        assert_eq!(leap.created_from.unwrap().to_rfc3339(), "2017-01-01T00:00:00.500+00:00");
        for at in ["9999-12-31T23:59:60Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"] {
            assert!(filter(&[("created_to", at)]).is_err(), "{at}");
        }
    }
}
