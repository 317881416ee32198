//! Colours of what is printed: marks in the text until then, so that whatever is done to it in between knows no terminal.

/// Where colours begin and end in a text that is not printed yet. What others wrote can have them too: it may choose its colour,
/// and nothing else.
const BAD: char = '\u{e000}';
const GOOD: char = '\u{e001}';
const END: char = '\u{e002}';

pub(super) fn painted(text: &str, has_colours: bool) -> String {
    let (mut painted, mut is_open) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        // No colour goes on into the next line.
        if is_open && matches!(c, END | '\n') {
            painted.push_str("\x1b[0m");
            is_open = false;
        }
        match c {
            BAD | GOOD if has_colours => {
                painted.push_str(if c == BAD { "\x1b[1;31m" } else { "\x1b[32m" });
                is_open = true;
            }
            BAD | GOOD | END => {}
            _ => painted.push(c),
        }
    }
    painted
}

/// What needs a person, in red where there are colours.
#[must_use]
pub fn bad(text: &str) -> String {
    format!("{BAD}{text}{END}")
}

/// What is as it should be, in green where there are colours.
#[must_use]
pub fn good(text: &str) -> String {
    format!("{GOOD}{text}{END}")
}

/// Whether this is where a colour begins or ends.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, BAD | GOOD | END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_those_who_want_them_and_end_with_their_line() {
        let text = format!("{}, {}\n{BAD}b\nc\n", bad("a"), good("b"));
        assert_eq!(painted(&text, false), "a, b\nb\nc\n");
        let coloured = "\x1b[1;31ma\x1b[0m, \x1b[32mb\x1b[0m\n\x1b[1;31mb\x1b[0m\nc\n";
        assert_eq!(painted(&text, true), coloured);
    }
}
