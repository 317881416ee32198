//! Which orders a list shows: parsed from the query of a URL, with every fault named by its parameter.
//!
//! Lists go from the newest id to the oldest, and a page begins below the last id of the page before. Orders that
//! arrive meanwhile have higher ids: they shift nothing. An order's id names the millisecond of its time, so a span
//! of time is a span of ids.

use std::num::NonZeroU32;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use schema::ids::OrderId;
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use super::{OrderStatus, Violation, email};

/// Orders of a page, unless the client says otherwise.
pub const LIMIT_DEFAULT: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
/// The most orders of a page.
pub const LIMIT_MAX: u32 = 100;

/// A plus sign in a query means a space.
const EMAIL_WITH_PLUS: &str =
    "must be a plain email address; write its plus sign as %2B, because + in a query is a space";
const TIME_WITH_PLUS: &str = "must be a time; write its plus sign as %2B, because + in a query is a space";

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only orders that stand there.
    pub status: Option<OrderStatus>,
    /// Only this customer's orders; compared byte by byte.
    pub email: Option<String>,
    /// Only orders placed then or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only orders placed earlier than that.
    pub created_to: Option<DateTime<Utc>>,
    /// The last order of the page before.
    pub after: Option<OrderId>,
    /// Orders of the page.
    pub limit: NonZeroU32,
}

impl OrderFilter {
    /// Parses the parameters of a query, each already decoded.
    ///
    /// # Errors
    /// Every rule that they break; pointers are names of parameters.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<Violation>> {
        let mut filter =
            Self { status: None, email: None, created_from: None, created_to: None, after: None, limit: LIMIT_DEFAULT };
        let (mut seen, mut violations) = (Vec::new(), Vec::new());
        for (name, value) in parameters {
            let broken = if seen.contains(&name) { Err("must appear only once") } else { filter.set(name, value) };
            if let Err(detail) = broken {
                violations.push(Violation { pointer: name.to_owned(), detail });
            }
            seen.push(name);
        }
        if violations.is_empty() { Ok(filter) } else { Err(violations) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
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
            "cursor" => {
                let id: Hyphenated = value.parse().map_err(|_| "must be the next_cursor of a page")?;
                self.after = Some(OrderId(id.into_uuid()));
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit: &NonZeroU32| limit.get() <= LIMIT_MAX);
                self.limit = limit.ok_or("must be an integer from 1 to 100")?;
            }
            _ => return Err("is not a parameter of this list"),
        }
        Ok(())
    }

    /// The ids that can be on the page: from the first, up to and without the second.
    pub fn ids(&self) -> (OrderId, OrderId) {
        let first = self.created_from.map_or(Uuid::nil(), first_id_of);
        let next_millisecond = |to: DateTime<Utc>| first_id_of(to + TimeDelta::milliseconds(1));
        let end = self.created_to.map_or(Uuid::max(), next_millisecond);
        (OrderId(first), OrderId(self.after.map_or(end, |after| end.min(after.0))))
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

    fn pointers(query: &[(&'static str, &'static str)]) -> Vec<String> {
        let parsed = OrderFilter::parse(query.iter().copied());
        parsed.unwrap_err().into_iter().map(|broken| broken.pointer).collect()
    }

    #[test]
    fn every_fault_is_named_by_its_parameter() {
        let query = [
            ("status", "PLACED"),
            ("email", "nobody"),
            ("created_from", "yesterday"),
            ("created_to", "2026-11-22T11:30:00"),
            ("cursor", "1"),
            ("limit", "0"),
            ("offset", "3"),
        ];
        assert_eq!(pointers(&query), query.map(|(name, _)| name));
        assert_eq!(pointers(&[("limit", "101")]), ["limit"]);
        assert_eq!(pointers(&[("limit", "1"), ("limit", "1")]), ["limit"]);
    }

    #[test]
    fn a_plus_sign_that_became_a_space_is_told_of() {
        for (name, value) in [("email", "a b@example.com"), ("created_from", "2026-11-22T11:30:00 00:00")] {
            let violations = OrderFilter::parse([(name, value)]).unwrap_err();
            assert!(violations[0].detail.contains("%2B"), "{violations:?}");
        }
    }

    #[test]
    fn a_span_of_time_is_a_span_of_ids() {
        let at = "2026-11-22T11:30:00.123456Z";
        let (from, to) = OrderFilter::parse([("created_from", at), ("created_to", at)]).unwrap().ids();
        let millis = |id: OrderId| u64::from_be_bytes(id.0.as_bytes()[..8].try_into().unwrap()) >> 16;
        assert_eq!(millis(from) + 1, millis(to), "the span covers the whole millisecond");
        let (from, to) = OrderFilter::parse([]).unwrap().ids();
        assert_eq!((from.0, to.0), (Uuid::nil(), Uuid::max()));
    }

    #[test]
    fn times_outside_of_what_ids_can_name_are_no_fault() {
        for at in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"] {
            let (from, to) = OrderFilter::parse([("created_from", at), ("created_to", at)]).unwrap().ids();
            assert!(from <= to, "{at}");
        }
    }

    #[test]
    fn a_time_that_the_database_does_not_know_is_another_one_or_a_fault() {
        let filter = OrderFilter::parse([("created_from", "2016-12-31T23:59:60.5Z")]).unwrap();
        assert_eq!(filter.created_from.unwrap().to_rfc3339(), "2017-01-01T00:00:00.500+00:00");
        for at in ["9999-12-31T23:59:60Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"] {
            assert_eq!(pointers(&[("created_to", at)]), ["created_to"]);
        }
    }

    #[test]
    fn the_next_page_begins_below_the_last_id() {
        let cursor = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        let filter = OrderFilter::parse([("cursor", cursor)]).unwrap();
        assert_eq!(filter.ids().1.to_string(), cursor);
    }
}
