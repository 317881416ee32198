//! Lists as every service answers them: newest first, page by page, with the same parameters and the same problems.

#![allow(unused_qualifications, reason = "utoipa qualifies what it generates for PageParameters")]

use utoipa::{IntoParams, IntoResponses};
use uuid::Uuid;

use super::docs::{Responses, documented};
use super::problem::Violation;
use super::read::{ReadError, faults, uuid};
use crate::page::Page;

/// Entries of a page, unless the client says otherwise.
const LIMIT_DEFAULT: u32 = 20;
/// The most entries of a page.
const LIMIT_MAX: u32 = 100;
const LIMIT_RULE: &str = "must be an integer from 1 to 100";

/// Which page. Documentation only: [`parse`] reads it, with all faults at once.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the documentation reads the fields")]
pub struct PageParameters {
    /// `next_cursor` of the page before.
    #[param(value_type = Option<Uuid>, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    cursor: Option<String>,
    /// Entries of the page; 20 if absent.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u32>,
}

/// The problems of a list.
#[derive(Debug)]
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        let refused = ReadError::InvalidQuery(vec![Violation::new("limit", LIMIT_RULE)]);
        documented([refused.problem()].into_iter().chain(faults()))
    }
}

/// Reads a query. `set` takes the parameters that only this list has, and says what a value must be.
///
/// # Errors
/// [`ReadError::InvalidQuery`] with every rule that the query breaks.
pub fn parse(
    query: Option<&str>,
    mut set: impl FnMut(&str, &str) -> Result<(), &'static str>,
) -> Result<Page, ReadError> {
    let mut page = Page { below: Uuid::max(), limit: LIMIT_DEFAULT };
    let (mut seen, mut violations) = (Vec::new(), Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let parsed = match &*name {
            _ if seen.contains(&name) => Err("must appear only once"),
            "cursor" => uuid(&value).map(|id| page.below = id).map_err(|_| "must be the next_cursor of a page"),
            "limit" => limit(&value).map(|limit| page.limit = limit).ok_or(LIMIT_RULE),
            name => set(name, &value),
        };
        if let Err(rule) = parsed {
            violations.push(Violation::new(&*name, rule));
        }
        seen.push(name);
    }
    if violations.is_empty() { Ok(page) } else { Err(ReadError::InvalidQuery(violations)) }
}

fn limit(value: &str) -> Option<u32> {
    value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::UNKNOWN_PARAMETER;

    const ID: &str = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";

    fn pointers(query: &str) -> Vec<String> {
        let parsed = parse(Some(query), |name, _| if name == "own" { Ok(()) } else { Err(UNKNOWN_PARAMETER) });
        match parsed {
            Err(ReadError::InvalidQuery(violations)) => violations.into_iter().map(|broken| broken.pointer).collect(),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn every_fault_is_named_by_its_parameter() {
        assert_eq!(pointers("cursor=1&limit=0&offset=3&own=1&own=2"), ["cursor", "limit", "offset", "own"]);
        for limit in ["101", "0", "x", "", "-1", "1.0"] {
            assert_eq!(pointers(&format!("limit={limit}")), ["limit"], "{limit}");
        }
        for cursor in ["", &ID.replace('-', ""), "%FF"] {
            assert_eq!(pointers(&format!("cursor={cursor}")), ["cursor"], "{cursor}");
        }
        assert_eq!(pointers("limit=1&limit=1"), ["limit"]);
        assert_eq!(pointers("limit"), ["limit"]);
    }

    #[test]
    fn the_first_page_has_what_the_client_does_not_ask_for() {
        let page = |query| parse(query, |_, _| Err(UNKNOWN_PARAMETER)).unwrap();
        assert_eq!(page(None), Page { below: Uuid::max(), limit: 20 });
        let cursor = format!("limit=%32&cursor={ID}");
        assert_eq!(page(Some(&cursor)), Page { below: ID.parse().unwrap(), limit: 2 });
    }
}
