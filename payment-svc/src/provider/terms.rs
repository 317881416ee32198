//! What a provider is asked for and what it answers, in words that hold for every provider.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schema::ids::OrderId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const CODE_CHARS_MAX: usize = 64;
const MESSAGE_CHARS_MAX: usize = 500;
const INTENT_ID_BYTES_MAX: usize = 255;

/// Money to take for an order.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The idempotency key: the same for each attempt. At most 255 bytes.
    pub key: String,
    /// The payment.
    pub reference: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// In the currency's smallest unit, such as cents.
    pub amount_minor: NonZeroU64,
    /// The currency.
    pub currency: Currency,
    /// What was ordered: [`magic`](super::magic) products have the simulator fail.
    pub product: String,
}

/// Money to give back: all that an intent took.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The idempotency key: the same for each attempt. At most 255 bytes.
    pub key: String,
    /// The payment.
    pub reference: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// The intent that was charged.
    pub intent: IntentId,
}

/// Whether the provider may have been asked for the same before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Certainly not: the intent was opened by this very run.
    First,
    /// Perhaps: it is looked up first.
    Repeat,
}

/// What became of a charge, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken.
    Charged {
        /// What the provider calls it.
        provider_id: String,
    },
    /// The customer's bank said no.
    Declined(Decline),
    /// The intent was ended before money was taken.
    Withdrawn,
}

/// What became of a refund, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money is on its way back.
    Refunded {
        /// What the provider calls it.
        provider_id: String,
    },
    /// It could not be given back: a person has to find another way.
    Declined(Decline),
}

/// How an intent stands at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was taken yet.
    Open,
    /// The provider is at it.
    UnderWay,
    /// The money was taken.
    Charged {
        /// What the provider calls it.
        provider_id: String,
    },
    /// The customer's bank said no.
    Declined(Decline),
    /// It was ended before money was taken.
    Withdrawn,
}

/// Why a bank said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// The provider's code, at most 64 characters.
    pub code: String,
    /// The provider's words, at most 500 characters.
    pub message: String,
}

impl Decline {
    /// Cuts both to their limits.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        Self {
            code: code.chars().take(CODE_CHARS_MAX).collect(),
            message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        }
    }
}

/// A text that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedTerm(&'static str);

/// What the provider calls an intent: 1 to 255 letters, digits, `_` and `-`, which fit into a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IntentId(String);

impl IntentId {
    /// As the provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IntentId {
    type Err = MalformedTerm;

    fn from_str(text: &str) -> Result<Self, MalformedTerm> {
        let is_sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if text.is_empty() || text.len() > INTENT_ID_BYTES_MAX || !is_sound {
            return Err(MalformedTerm("an intent's id has 1 to 255 letters, digits, _ and -"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A currency: its ISO 4217 code, such as `EUR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three capital letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of capital letters alone")
    }
}

impl FromStr for Currency {
    type Err = MalformedTerm;

    fn from_str(text: &str) -> Result<Self, MalformedTerm> {
        let letters =
            text.as_bytes().try_into().ok().filter(|letters: &[u8; 3]| letters.iter().all(u8::is_ascii_uppercase));
        letters.map(Self).ok_or(MalformedTerm("a currency has three capital letters, such as EUR"))
    }
}

macro_rules! textual {
    ($($term:ident)*) => {$(
        impl fmt::Display for $term {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl TryFrom<String> for $term {
            type Error = MalformedTerm;

            fn try_from(text: String) -> Result<Self, MalformedTerm> {
                text.parse()
            }
        }

        impl From<$term> for String {
            fn from(term: $term) -> Self {
                term.as_str().to_owned()
            }
        }
    )*};
}

textual!(IntentId Currency);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_id_fits_into_a_path() {
        assert_eq!("pi_3Abc-9".parse::<IntentId>().unwrap().as_str(), "pi_3Abc-9");
        for malformed in ["", "a/b", "..", "pi 1", "pi_é", &"a".repeat(256)] {
            assert!(malformed.parse::<IntentId>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn a_currency_has_three_capital_letters() {
        assert_eq!("EUR".parse::<Currency>().unwrap().to_string(), "EUR");
        for malformed in ["", "eur", "EURO", "E1R", "ÄR"] {
            assert!(malformed.parse::<Currency>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn what_a_bank_says_is_cut_to_its_limits() {
        let decline = Decline::new(&"ä".repeat(100), &"ö".repeat(1000));
        assert_eq!((decline.code.chars().count(), decline.message.chars().count()), (64, 500));
    }
}
