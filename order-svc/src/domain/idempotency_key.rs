//! The name that a client gives to a request, so that repeating it places no second order.

/// An `Idempotency-Key`: 1 to 128 visible ASCII characters, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Characters that a key may have.
    pub const CHARS_MAX: usize = 128;

    /// Reads a header's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let well_formed = (1..=Self::CHARS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        well_formed.then(|| Self(String::from_utf8_lossy(value).into_owned()))
    }

    /// The key as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_as_it_came() {
        for key in ["a", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", &"~".repeat(128)] {
            assert_eq!(IdempotencyKey::parse(key.as_bytes()).unwrap().as_str(), key);
        }
    }

    #[test]
    fn what_might_be_cut_or_changed_on_its_way_is_no_key() {
        for key in ["", " ", "a b", "a\t", "caf\u{e9}", "a\0", &"x".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(key.as_bytes()), None, "{key:?}");
        }
    }
}
