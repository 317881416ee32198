//! What an SMTP server says: a code, perhaps an enhanced code (RFC 3463), and text for people.

use std::fmt;

/// Characters of a reply that are kept; a server that talks on is heard out, and the rest forgotten.
const TEXT_CHARS_MAX: usize = 500;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text of each line, without the code.
    pub(super) lines: Vec<String>,
}

/// One line of a reply, and whether more lines follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) code: u16,
    pub(super) text: String,
    pub(super) is_last: bool,
}

impl Line {
    /// Understands a line without its end; none if no SMTP server would say it.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (digits, rest) = line.split_at_checked(3)?;
        let digits = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
        let (is_last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return None,
        };
        // Not every server speaks UTF-8.
        Some(Self { code, text: String::from_utf8_lossy(text).trim_end().to_owned(), is_last })
    }
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub(super) fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// Subject and detail of the enhanced code: 1 and 7 of `5.1.7`.
    pub(super) fn enhanced(&self) -> Option<(u16, u16)> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut numbers = word.split('.').map(|number| number.parse::<u16>().ok());
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        (numbers.next().is_none() && class == self.code / 100).then_some((subject, detail))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.lines.join(" / ").chars().take(TEXT_CHARS_MAX).collect();
        write!(f, "{} {text}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: vec![text.to_owned()] }
    }

    #[test]
    fn an_enhanced_code_is_one_of_the_replys_own_class() {
        assert_eq!(reply(550, "5.1.1 no such user").enhanced(), Some((1, 1)));
        assert_eq!(reply(550, "5.4.5").enhanced(), Some((4, 5)));
        for text in
            ["no such user", "4.1.1 another class", "5.1 short", "5.1.1.1 long", "5.1.x", "", "127.0.0.1 says no"]
        {
            assert_eq!(reply(550, text).enhanced(), None, "{text}");
        }
    }

    #[test]
    fn a_line_has_a_code_and_tells_whether_another_follows() {
        let line = |code, text: &str, is_last| Some(Line { code, text: text.to_owned(), is_last });
        assert_eq!(Line::parse(b"250-SIZE 1000"), line(250, "SIZE 1000", false));
        assert_eq!(Line::parse(b"250"), line(250, "", true));
        assert_eq!(Line::parse(b"550 bo\xeete"), line(550, "bo\u{fffd}te", true));
        for garbage in [&b""[..], b"25", b"HTTP/1.1 400", b"2500 x", b"250x", b"150 odd", b"\x16\x03\x01"] {
            assert_eq!(Line::parse(garbage), None, "{garbage:?}");
        }
    }
}
