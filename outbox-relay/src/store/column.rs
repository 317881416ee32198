//! Columns that any program may have filled with what the server takes and our types do not: a date without a day,
//! a JSON text such as `{"a":1.}`, which MariaDB calls valid. Reading them never fails, so that such a row stops nobody.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlTypeInfo, MySqlValueRef};
use sqlx::types::Json;
use sqlx::{Decode, MySql, Type};

/// Bytes of the JSON text of headers from which on no broker takes them: a message has 64 KiB of headers at most, and an
/// escape such as `\u0080` stands for at least a sixth of its length.
pub const HEADERS_BYTES_MAX: u64 = 6 << 16;

/// A column of type JSON, as the server keeps it.
#[derive(Clone, Debug)]
pub struct JsonText(pub Box<str>);

/// A column of type DATETIME; none if it is no moment. Read it as an option: the driver takes the zero date for NULL.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Option<DateTime<Utc>>);

impl JsonText {
    /// The text, if it is JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self) -> serde_json::Result<&RawValue> {
        serde_json::from_str(&self.0)
    }
}

impl Type<MySql> for JsonText {
    fn type_info() -> MySqlTypeInfo {
        Json::<()>::type_info()
    }

    fn compatible(of: &MySqlTypeInfo) -> bool {
        Json::<()>::compatible(of)
    }
}

impl<'r> Decode<'r, MySql> for JsonText {
    fn decode(value: MySqlValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<&str as Decode<MySql>>::decode(value)?.into()))
    }
}

/// What is no JSON is shown as a string.
impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parse() {
            Ok(json) => json.serialize(serializer),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl Type<MySql> for Moment {
    fn type_info() -> MySqlTypeInfo {
        DateTime::<Utc>::type_info()
    }

    fn compatible(of: &MySqlTypeInfo) -> bool {
        DateTime::<Utc>::compatible(of)
    }
}

impl<'r> Decode<'r, MySql> for Moment {
    fn decode(value: MySqlValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<DateTime<Utc> as Decode<MySql>>::decode(value).ok()))
    }
}

/// The moment in a column that was read.
pub fn moment(column: Option<Moment>) -> Option<DateTime<Utc>> {
    column.and_then(|Moment(moment)| moment)
}

/// For the answers of verbs.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
