//! Text tables for people.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Row};

use crate::terminal::one_line;

/// Rows under headings, each column as wide as its widest cell. Numbers stand right.
#[derive(Debug)]
pub struct Table {
    table: comfy_table::Table,
    numbers: Vec<bool>,
}

impl Table {
    /// A table without rows.
    pub fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING).set_header(headings);
        Self { table, numbers: vec![true; headings.len()] }
    }

    /// Adds a row. Line ends and other control characters in a cell, which any writer may have put there, are escaped.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        for (is_number, cell) in self.numbers.iter_mut().zip(&cells) {
            *is_number &= cell == NONE || cell.parse::<i64>().is_ok();
        }
        self.table.add_row(Row::from(cells.iter().map(|cell| one_line(cell))));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = self.table.clone();
        for (column, is_number) in table.column_iter_mut().zip(&self.numbers) {
            column.set_padding((0, 2));
            if *is_number && !self.table.is_empty() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

/// One thing in all its fields, a line each.
pub fn fields(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines.iter().map(|(name, value)| format!("{name:<width$}  {}\n", one_line(value))).collect()
}

/// What stands in a cell for a value that is absent.
const NONE: &str = "-";

/// A cell for a value that may be absent.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_cell_can_not_break_its_line() {
        let mut table = Table::new(&["a", "b", "count"]);
        table.row(["long cell".to_owned(), "x\r\n\u{1b}[31my".to_owned(), "7".to_owned()]);
        table.row(["世界".to_owned(), or_dash(None::<u32>), or_dash(None::<u32>)]);
        let text = "a          b                 count\n\
                    long cell  x\\r\\n\\u{1b}[31my      7\n\
                    世界       -                     -\n";
        assert_eq!(table.to_string(), text);
        assert_eq!(Table::new(&["a"]).to_string(), "a\n");
    }
}
