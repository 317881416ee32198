//! From a time to a place in the outbox.
//!
//! There is no index on `occurred_at`, because every index costs the writers; rows are in the order of their time but
//! for writers that overlap or whose clock is off. So a time is found by halving the key, about 25 look-ups at ten
//! million rows, and the answer is widened by [`MARGIN`]: whoever asks filters exactly what lies in between.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::store::outbox_view;
use runtime::mysql::Pool;

/// How far a row's time may be off its neighbours' for it to be found.
const MARGIN: Duration = Duration::from_secs(600);

/// The keys between which the events of a time range lie, both included.
///
/// # Errors
/// If the outbox can't be read.
pub async fn seqs(pool: &Pool, since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> sqlx::Result<(u64, u64)> {
    let last = outbox_view::last_seq(pool).await?;
    let low = match since {
        Some(since) => first_at(pool, since - MARGIN, last).await?,
        None => 0,
    };
    let high = match until {
        Some(until) => first_at(pool, until + MARGIN, last).await?,
        None => last,
    };
    Ok((low, high))
}

/// The first key whose row happened at that time or later, if rows are in the order of their time; `last` if none did.
async fn first_at(pool: &Pool, time: DateTime<Utc>, last: u64) -> sqlx::Result<u64> {
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low) / 2;
        match outbox_view::at_or_after(pool, middle).await? {
            Some((seq, Some(occurred_at))) if occurred_at < time => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(high)
}

/// clap's `value_parser` of a moment: RFC 3339, or how long ago, such as `90m`.
///
/// # Errors
/// What is wrong with the text.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let since = |ago| Utc::now().checked_sub_signed(TimeDelta::from_std(ago).ok()?);
    let moment = match runtime::time::parse(text) {
        Ok(moment) => Some(moment),
        Err(_) => humantime::parse_duration(text).ok().and_then(since),
    };
    // The margin must not lead out of the years that the database knows.
    let moment = moment.filter(|moment| (1..=9998).contains(&moment.year()));
    moment.ok_or_else(|| "expected a time such as 2026-11-22T11:30:00Z, or how long ago, such as 90m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
