//! Reasons: what is wrong, in one line that fits wherever it goes.
//!
//! Any program may have written what a reason quotes, megabytes of it. So a reason is bounded where it is made, before it
//! takes memory, a log line or a packet of the database: a reason that can't be written would stop the relay for ever.

use std::fmt::{self, Display, Write};

/// Characters of a reason; the columns that keep one take 1,000.
pub const CHARS_MAX: usize = 500;

/// What is said in place of the rest.
const CUT: &str = "...";

/// Writes what is wrong, cut to [`CHARS_MAX`] and without control characters.
pub fn reason(what: impl Display) -> String {
    let mut bounded = Bounded { text: String::new(), chars: 0 };
    // The error only says that the rest was cut.
    if write!(bounded, "{what}").is_err() {
        bounded.text.push_str(CUT);
    }
    bounded.text
}

struct Bounded {
    text: String,
    chars: usize,
}

impl Bounded {
    fn push(&mut self, char: char) -> fmt::Result {
        if self.chars + CUT.len() >= CHARS_MAX {
            return Err(fmt::Error);
        }
        self.text.push(char);
        self.chars += 1;
        Ok(())
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if char.is_control() {
                char.escape_default().try_for_each(|char| self.push(char))?;
            } else {
                self.push(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_whatever_it_quotes() {
        let said = reason(format_args!("header {:?} is too long", "\u{80}é".repeat(1_000_000)));
        assert!(said.starts_with("header \"\\u{80}é") && said.ends_with(CUT), "{said}");
        assert_eq!(said.chars().count(), CHARS_MAX);
        assert_eq!(reason("short"), "short");
        assert_eq!(reason("x".repeat(CHARS_MAX + 1)).chars().count(), CHARS_MAX);
    }

    #[test]
    fn a_reason_has_no_control_characters() {
        assert_eq!(reason("a\r\nb\u{1b}[0m"), "a\\r\\nb\\u{1b}[0m");
    }
}
