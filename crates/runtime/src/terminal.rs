//! What people read on a terminal: texts of others can't break a line there, steer the terminal or hide what they are.
//!
//! Everything that a verb prints goes through [`print()`], what others wrote through [`one_line`] before, and each error through
//! [`crate::config::exit`]: a holder's name, a reason, a header or a broker's answer is whatever somebody wrote. Colours are for
//! people at a terminal who did not set `NO_COLOR`.

pub(crate) mod colour;
mod config;

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use self::colour::painted;
pub use self::colour::{bad, good};
use crate::mask;

/// Characters of a line that tells why a process ends.
const COMPLAINT_CHARS_MAX: usize = 4000;

/// Whether email addresses can be read in what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// See [`mask`].
    Masked,
    /// As they are. Whoever asks for it has recorded who reads them.
    Shown,
}

impl Addresses {
    fn of(self, text: String, masked: impl FnOnce(&str) -> String) -> String {
        match self {
            Self::Masked => masked(&text),
            Self::Shown => text,
        }
    }
}

/// Prints an answer on standard output: as JSON for programs, or as the text that `text` makes of it for people. Whoever
/// closes the pipe, as `head` does, has read enough.
///
/// # Errors
/// If it can't be made JSON, or can't be written, as when the disk is full.
pub fn print<T: Serialize>(
    answer: &T,
    addresses: Addresses,
    is_json: bool,
    text: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let text = match is_json {
        true => json(&addresses.of(serde_json::to_string(answer)?, mask::json)) + "\n",
        false => {
            let text = addresses.of(text(answer), mask::text);
            painted(&lines(&text), output.is_terminal() && !config::no_color())
        }
    };
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Clears the screen, if there is one, before an answer takes the place of the last.
///
/// # Errors
/// If it can't be written.
pub fn clear() -> io::Result<()> {
    let mut output = io::stdout().lock();
    if output.is_terminal() { output.write_all(b"\x1b[H\x1b[2J") } else { Ok(()) }
}

/// Prints one line on standard error, where it is told why a process ends: all that a text of others says but email addresses,
/// and no more than fits on a screen.
pub fn complain(text: &str) {
    let line: String = one_line(&mask::text(text)).chars().take(COMPLAINT_CHARS_MAX).collect();
    // Nothing useful is left to do if standard error is closed.
    writeln!(io::stderr(), "{line}").ok();
}

/// The text as one line: line breaks, escape sequences, and what is invisible or turns the direction of writing, escaped.
pub fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if is_hidden(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

/// As [`one_line`], for a text of several lines that is ours but for what was put into it.
fn lines(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => one_line(line) + "\n",
            None => one_line(line),
        })
        .collect()
}

/// A JSON text, with the same characters escaped as JSON does it: they can be in its strings only.
fn json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut json, c| {
        if is_hidden(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| json.push_str(&format!("\\u{unit:04x}")));
        } else {
            json.push(c);
        }
        json
    })
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_stays_in_its_line_and_shows_what_it_is() {
        assert_eq!(one_line("a\u{1b}[31mb\r\nc\u{9b}d"), "a\\u{1b}[31mb\\r\\nc\\u{9b}d");
        assert_eq!(one_line("\u{202e}gnp.exe\u{200b}"), "\\u{202e}gnp.exe\\u{200b}");
        assert_eq!(one_line("Grüße, 世界 🦀"), "Grüße, 世界 🦀");
        let hidden = "a\u{9b}\u{202e}\u{e0001}";
        let escaped = json(&serde_json::to_string(hidden).unwrap());
        assert_eq!(escaped, "\"a\\u009b\\u202e\\udb40\\udc01\"");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), hidden);
        assert_eq!(lines("a\nb\u{1b}c\n\nd"), "a\nb\\u{1b}c\n\nd");
    }
}
