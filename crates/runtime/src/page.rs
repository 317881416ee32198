//! Pages of a list, newest first.
//!
//! Ids grow with time, and a page begins below the last id of the page before: entries that arrive meanwhile shift nothing.

use uuid::Uuid;

/// What an unknown parameter of a list breaks: a mistyped filter must not show everything.
pub const UNKNOWN_PARAMETER: &str = "is not a parameter of this list";

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// All ids of the page are below this one.
    pub below: Uuid,
    /// Entries at most.
    pub limit: u32,
}

impl Page {
    /// Rows to read: one more than is shown tells whether there is a next page.
    pub fn rows_max(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// What is shown of the rows that were read, and the cursor of the next page.
    pub fn cut<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<Uuid>) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_next = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_next).map(id);
        (rows, next_cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_if_there_is_a_row_more() {
        let page = Page { below: Uuid::max(), limit: 2 };
        let ids = [3, 2, 1].map(Uuid::from_u128).to_vec();
        assert_eq!(page.cut(ids.clone(), |id| *id), (ids[..2].to_vec(), Some(ids[1])));
        assert_eq!(page.cut(ids[..2].to_vec(), |id| *id), (ids[..2].to_vec(), None));
    }
}
