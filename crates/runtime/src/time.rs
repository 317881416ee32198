//! Times that people and programs give us, as the databases know them.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

/// Reads a time of RFC 3339. The databases know no leap second: it is the second after it. An offset can lead out of the
/// years of four digits.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> chrono::ParseResult<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text)?.to_utc();
    Ok(if time.nanosecond() < 1_000_000_000 { time } else { time + TimeDelta::seconds(1) })
}

/// clap's `value_parser` of a moment: RFC 3339, or how long ago, such as `90m`.
///
/// # Errors
/// What is wrong with the text.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let since = |ago| Utc::now().checked_sub_signed(TimeDelta::from_std(ago).ok()?);
    let moment = match parse(text) {
        Ok(moment) => Some(moment),
        Err(_) => humantime::parse_duration(text).ok().and_then(since),
    };
    // The years that the database knows, in any time zone.
    let moment = moment.filter(|moment| (1..=9998).contains(&moment.year()));
    moment.ok_or_else(|| "expected a time such as 2026-11-22T11:30:00Z, or how long ago, such as 90m".to_owned())
}

/// Now, as metrics have it: seconds since 1970.
pub fn unix_seconds() -> f64 {
    Utc::now().timestamp_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        for (text, utc) in [
            ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500+00:00"),
            ("2026-11-22T13:30:00+02:00", "2026-11-22T11:30:00+00:00"),
        ] {
            assert_eq!(parse(text).unwrap().to_rfc3339(), utc);
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2026-11-22T11:30:00Z").unwrap().to_rfc3339(), "2026-11-22T11:30:00+00:00");
        let ago = Utc::now() - moment("1h").unwrap();
        assert!((3599..3602).contains(&ago.num_seconds()), "{ago}");
        assert_eq!(moment("2016-12-31T23:59:60Z").unwrap().to_rfc3339(), "2017-01-01T00:00:00+00:00");
        for text in ["yesterday", "300000years", "20000years", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
