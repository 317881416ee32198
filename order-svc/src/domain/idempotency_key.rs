//! The name that a client gives to a request, so that repeating it places no second order. Customers don't share names.

use super::CustomerId;

/// An `Idempotency-Key`: 1 to 128 visible ASCII characters, compared byte by byte. In quotes, as the draft of the header has
/// it, it is the same key; a quoted one has no quote or backslash in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Characters that a key may have, without quotes around it.
    pub const CHARS_MAX: usize = 128;

    /// Reads a header's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (key, is_quoted) = match value.strip_prefix(b"\"") {
            Some(rest) => (rest.strip_suffix(b"\"")?, true),
            None => (value, false),
        };
        let fits = |byte: &u8| byte.is_ascii_graphic() && !(is_quoted && b"\"\\".contains(byte));
        let is_well_formed = (1..=Self::CHARS_MAX).contains(&key.len()) && key.iter().all(fits);
        is_well_formed.then(|| Self(String::from_utf8_lossy(key).into_owned()))
    }

    /// The key among those of a customer: two customers may use the same. Neither has spaces in it, so that no two make one.
    #[must_use]
    pub fn of(self, customer: Option<&CustomerId>) -> Self {
        customer.map(|customer| Self(format!("{} {}", customer.as_str(), self.0))).unwrap_or(self)
    }

    /// The key, without quotes around it, after its customer if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_with_and_without_quotes() {
        for key in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", &"~".repeat(128)] {
            assert_eq!(IdempotencyKey::parse(key.as_bytes()).unwrap().as_str(), key);
            assert_eq!(IdempotencyKey::parse(format!("\"{key}\"").as_bytes()).unwrap().as_str(), key);
        }
        assert_eq!(IdempotencyKey::parse(b"a\"\\").unwrap().as_str(), "a\"\\");
    }

    #[test]
    fn what_might_be_cut_or_changed_on_its_way_is_no_key() {
        let too_long = format!("\"{}\"", "x".repeat(129));
        let quotes = ["\"", "\"\"", "\"a", "\"a\";p=1", "\"a\\\"b\"", "\"a b\""];
        for key in ["", " ", "a b", "a\t", "caf\u{e9}", "a\0", &too_long, &"x".repeat(129)].into_iter().chain(quotes) {
            assert_eq!(IdempotencyKey::parse(key.as_bytes()), None, "{key:?}");
        }
    }
}
