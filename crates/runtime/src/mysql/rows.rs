//! INSERTs of several rows in one statement. `VALUES` with a row for each, so that AUTO_INCREMENT numbers them without a gap,
//! in sizes from a short menu, so that each statement stays prepared on its connection.

/// The menu.
pub const SIZES: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// An INSERT for each of [`SIZES`]; made by [`inserts!`](crate::inserts).
pub type Inserts = [&'static str; SIZES.len()];

/// The largest size that `rows` rows fill; one row is the least.
pub fn largest(rows: usize) -> usize {
    SIZES.into_iter().rev().find(|size| *size <= rows).unwrap_or(SIZES[0])
}

/// The rows in pieces, each with its statement.
pub fn pieces<'r, T>(inserts: &'static Inserts, mut rows: &'r [T]) -> impl Iterator<Item = (&'static str, &'r [T])> {
    std::iter::from_fn(move || {
        let (place, _) = SIZES.iter().enumerate().rfind(|(_, size)| **size <= rows.len())?;
        let (piece, rest) = rows.split_at(SIZES[place]);
        rows = rest;
        Some((inserts[place], piece))
    })
}

/// [`Inserts`] of `head`, which ends in `VALUES `, and `row`, which is in brackets.
#[macro_export]
macro_rules! inserts {
    ($head:literal, $row:literal) => {
        [
            concat!($head, $crate::inserts!(@1 $row)),
            concat!($head, $crate::inserts!(@2 $row)),
            concat!($head, $crate::inserts!(@3 $row)),
            concat!($head, $crate::inserts!(@4 $row)),
            concat!($head, $crate::inserts!(@6 $row)),
            concat!($head, $crate::inserts!(@8 $row)),
            concat!($head, $crate::inserts!(@12 $row)),
            concat!($head, $crate::inserts!(@16 $row)),
            concat!($head, $crate::inserts!(@24 $row)),
            concat!($head, $crate::inserts!(@32 $row)),
            concat!($head, $crate::inserts!(@48 $row)),
            concat!($head, $crate::inserts!(@64 $row)),
        ]
    };
    (@1 $row:literal) => { $row };
    (@2 $row:literal) => { concat!($row, ", ", $row) };
    (@3 $row:literal) => { concat!($row, ", ", $row, ", ", $row) };
    (@4 $row:literal) => { concat!($crate::inserts!(@2 $row), ", ", $crate::inserts!(@2 $row)) };
    (@6 $row:literal) => { concat!($crate::inserts!(@3 $row), ", ", $crate::inserts!(@3 $row)) };
    (@8 $row:literal) => { concat!($crate::inserts!(@4 $row), ", ", $crate::inserts!(@4 $row)) };
    (@12 $row:literal) => { concat!($crate::inserts!(@6 $row), ", ", $crate::inserts!(@6 $row)) };
    (@16 $row:literal) => { concat!($crate::inserts!(@8 $row), ", ", $crate::inserts!(@8 $row)) };
    (@24 $row:literal) => { concat!($crate::inserts!(@12 $row), ", ", $crate::inserts!(@12 $row)) };
    (@32 $row:literal) => { concat!($crate::inserts!(@16 $row), ", ", $crate::inserts!(@16 $row)) };
    (@48 $row:literal) => { concat!($crate::inserts!(@24 $row), ", ", $crate::inserts!(@24 $row)) };
    (@64 $row:literal) => { concat!($crate::inserts!(@32 $row), ", ", $crate::inserts!(@32 $row)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    static INSERTS: Inserts = crate::inserts!("INSERT INTO t VALUES ", "(?)");

    #[test]
    fn each_size_has_as_many_rows() {
        for (insert, size) in INSERTS.iter().zip(SIZES) {
            assert_eq!(insert.matches("(?)").count(), size, "{insert}");
        }
    }

    #[test]
    fn pieces_are_all_rows_in_order_by_the_largest_sizes() {
        for count in 0..200 {
            let rows: Vec<_> = (0..count).collect();
            let pieces: Vec<_> = pieces(&INSERTS, &rows).collect();
            assert_eq!(pieces.iter().flat_map(|(_, piece)| *piece).copied().collect::<Vec<_>>(), rows);
            assert!(pieces.iter().all(|(insert, piece)| insert.matches("(?)").count() == piece.len()));
            assert_eq!(pieces.first().map_or(1, |(_, piece)| piece.len()), largest(count));
        }
    }
}
