//! NATS subjects: which an event may be published to, and whether the stream takes it.
//!
//! Decided before publishing, because the broker answers an event for a subject that no stream takes exactly as it
//! answers when it is away, and one bad row would stop the relay for ever.

use std::str::FromStr;

/// A subject with wildcards that the stream takes, such as `order.>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// clap's `value_parser` of a pattern.
///
/// # Errors
/// What is wrong with the text.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let literal = text.strip_suffix(".>").unwrap_or(text);
        if literal != ">" {
            // Within a token the broker takes it for itself, and nothing would match.
            if literal.split('.').any(|token| token.len() > 1 && token.contains('*')) {
                return Err(format!("subject {text:?} has * within a token: it stands for a whole one"));
            }
            check(&literal.replace('*', "any"))?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl Pattern {
    /// A pattern as a stream has it: the broker took it.
    pub fn of_stream(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as the broker wants it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the stream takes this subject.
    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for part in self.0.split('.') {
            match (part, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(token)) if part == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

/// Checks that a subject can be published to.
///
/// # Errors
/// What to change.
pub fn check(subject: &str) -> Result<(), String> {
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("subject {subject:?} has white space or control characters"));
    }
    if subject.split('.').any(str::is_empty) {
        return Err(format!("subject {subject:?} has an empty token"));
    }
    if subject.contains(['*', '>']) {
        return Err(format!("subject {subject:?} has a wildcard"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_with_wildcards_spaces_line_ends_or_empty_tokens_is_refused() {
        for subject in [
            "",
            "order.*",
            "order.>",
            "order created",
            "order.created\r\nPUB x 0",
            "order..created",
            ".order",
            "order.",
        ] {
            assert!(check(subject).is_err(), "{subject:?}");
        }
        assert!(check("order.created").is_ok());
    }

    #[test]
    fn a_pattern_takes_what_the_broker_would_take() {
        let takes = |text: &str, subject| text.parse::<Pattern>().unwrap().matches(subject);
        assert!(takes("order.>", "order.created"));
        assert!(takes("order.>", "order.created.eu"));
        assert!(takes(">", "order.created"));
        assert!(takes("order.*", "order.created"));
        assert!(takes("order.created", "order.created"));
        assert!(!takes("order.>", "order"));
        assert!(!takes("order.*", "order.created.eu"));
        assert!(!takes("order.>", "orders.created"));
        assert!(takes("*.created", "order.created"));
        for text in ["order.cre*", "*order.created", "order.**", "order.>.x", "order>"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
