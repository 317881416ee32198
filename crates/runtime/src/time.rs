//! Times that people and programs give us, as the databases know them.

use chrono::{DateTime, TimeDelta, Timelike, Utc};

/// Reads a time of RFC 3339. The databases know no leap second: it is the second after it. An offset can lead out of the
/// years of four digits.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> chrono::ParseResult<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text)?.to_utc();
    Ok(if time.nanosecond() < 1_000_000_000 { time } else { time + TimeDelta::seconds(1) })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        for (text, utc) in [
            ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500+00:00"),
            ("2026-11-22T13:30:00+02:00", "2026-11-22T11:30:00+00:00"),
        ] {
            assert_eq!(parse(text).unwrap().to_rfc3339(), utc);
        }
    }
}
