//! The id of an aggregate as it is written everywhere: text that is safe wherever it ends up.
//!
//! Most tables have numbers or text for keys, some have UUIDs; all of them are written as text here. Visible ASCII without
//! spaces is the same in a column, a header, a log line and a shell, so nothing has to be escaped and nothing is trimmed.
//! Ids are compared byte by byte: `a` and `A` are two aggregates, and so are two spellings of one UUID. A UUID is written in
//! lower case with hyphens.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySql, MySqlTypeInfo, MySqlValueRef};
use uuid::Uuid;

use crate::ids::{OrderId, PaymentId};

const BYTES_MAX: usize = 64;

/// Names an aggregate within its type: 1 to 64 visible ASCII characters. As small as it can be and without a place on the heap:
/// it is a key of many maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateId {
    /// The text, followed by zeros.
    bytes: [u8; BYTES_MAX],
    length: u8,
}

/// Why a text is no aggregate id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an aggregate id is 1 to 64 visible ASCII characters without spaces")]
pub struct InvalidAggregateId;

impl AggregateId {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("only ASCII is let in")
    }
}

impl std::str::FromStr for AggregateId {
    type Err = InvalidAggregateId;

    fn from_str(text: &str) -> Result<Self, InvalidAggregateId> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let length = u8::try_from(text.len()).map_err(|_| InvalidAggregateId)?;
        let mut bytes = [0; BYTES_MAX];
        match bytes.get_mut(..text.len()) {
            Some(start) if is_visible && length > 0 => start.copy_from_slice(text.as_bytes()),
            _ => return Err(InvalidAggregateId),
        }
        Ok(Self { bytes, length })
    }
}

impl From<Uuid> for AggregateId {
    fn from(id: Uuid) -> Self {
        id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).parse().expect("36 visible characters")
    }
}

impl From<OrderId> for AggregateId {
    fn from(id: OrderId) -> Self {
        id.0.into()
    }
}

impl From<PaymentId> for AggregateId {
    fn from(id: PaymentId) -> Self {
        id.0.into()
    }
}

impl std::fmt::Display for AggregateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for AggregateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl serde::Serialize for AggregateId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl sqlx::Type<MySql> for AggregateId {
    fn type_info() -> MySqlTypeInfo {
        <str as sqlx::Type<MySql>>::type_info()
    }

    fn compatible(column: &MySqlTypeInfo) -> bool {
        <str as sqlx::Type<MySql>>::compatible(column)
    }
}

impl sqlx::Encode<'_, MySql> for AggregateId {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        <&str as sqlx::Encode<'_, MySql>>::encode(self.as_str(), buffer)
    }
}

impl<'r> sqlx::Decode<'r, MySql> for AggregateId {
    fn decode(value: MySqlValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(<&str as sqlx::Decode<'r, MySql>>::decode(value)?.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_of_1_to_64_characters_is_an_aggregate_id() {
        for good in ["4711", "a", "A/b:c*\"'\\", &"x".repeat(64)] {
            assert_eq!(good.parse::<AggregateId>().unwrap().as_str(), good);
        }
        for bad in ["", " ", "a ", " a", "a b", "a\n", "a\0", "\u{7f}", "é", &"x".repeat(65), &"x".repeat(256)] {
            assert_eq!(bad.parse::<AggregateId>(), Err(InvalidAggregateId), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_sorted_and_told_apart_as_their_bytes_are() {
        let mut ids = ["b", "a", "aa", "A", "10", "9"].map(|id| id.parse::<AggregateId>().unwrap());
        ids.sort_unstable();
        assert_eq!(ids.map(|id| id.to_string()), ["10", "9", "A", "a", "aa", "b"]);
    }

    #[test]
    fn an_order_has_one_spelling() {
        let id: OrderId = "019AAB1E-5C3A-7D52-9E1F-3F2B8C6D4A10".parse().unwrap();
        assert_eq!(AggregateId::from(id).as_str(), "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10");
    }
}
