//! Who may tell this service of bounces, complaints and unsubscribers: whoever signs with the secret that both know.
//!
//! The signature is the HMAC-SHA256 of the time, a full stop and the body, as hexadecimal digits. It is compared in constant time, and
//! good for five minutes before and after that time; told twice, the same changes nothing.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;
use runtime::config::Secret;

/// Where the secret comes from.
pub const SETTING: &str = "SUPPRESSION_WEBHOOK_SECRET";

/// Characters of a secret that can't be guessed.
const CHARS_MIN: usize = 32;
/// Clocks differ, and a message takes its time.
const AGE_MAX_SECONDS: u64 = 300;

/// Whether a secret is long enough, without the blanks around it.
///
/// # Errors
/// One line that names the setting.
pub fn check(secret: &Secret) -> Result<(), String> {
    let is_long = secret.expose().trim().chars().count() >= CHARS_MIN;
    is_long.then_some(()).ok_or_else(|| format!("{SETTING} must have at least {CHARS_MIN} characters"))
}

/// Whether this is the signature of a body that was signed now, with this secret; `timestamp` is in seconds since 1970.
pub fn is_signed(secret: &str, (timestamp, signature): (&str, &str), body: &[u8], now: DateTime<Utc>) -> bool {
    let is_fresh = timestamp.parse::<i64>().is_ok_and(|at| at.abs_diff(now.timestamp()) <= AGE_MAX_SECONDS);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [timestamp.as_bytes(), b".", body].concat();
    let tag = HEXLOWER_PERMISSIVE.decode(signature.as_bytes());
    is_fresh && tag.is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    // openssl: printf '%s' '1764374400.[]' | openssl dgst -sha256 -hmac 'a secret of this test'
    const AT: &str = "1764374400";
    const SIGNATURE: &str = "8cc2a38210f222ae6c4dcc2ea8af3a6d6236bbbc20a4310fa71ab26d695c9a06";

    #[test]
    fn a_signature_is_good_for_its_time_its_body_and_its_secret() {
        let now = DateTime::from_timestamp(1_764_374_400, 0).unwrap();
        let is_good =
            |secret: &str, signed: (&str, &str), body: &str, now| is_signed(secret, signed, body.as_bytes(), now);
        let secret = "a secret of this test";
        for seconds in [-300, 0, 300] {
            assert!(is_good(secret, (AT, SIGNATURE), "[]", now + TimeDelta::seconds(seconds)));
        }
        assert!(is_good(secret, (AT, &SIGNATURE.to_uppercase()), "[]", now));
        for seconds in [-301, 301] {
            assert!(!is_good(secret, (AT, SIGNATURE), "[]", now + TimeDelta::seconds(seconds)));
        }
        assert!(!is_good("another", (AT, SIGNATURE), "[]", now));
        assert!(!is_good(secret, (AT, SIGNATURE), "[ ]", now));
        assert!(!is_good(secret, ("1764374401", SIGNATURE), "[]", now));
        for signature in ["", "0", "+1", "zz", &SIGNATURE[2..], "é"] {
            assert!(!is_good(secret, (AT, signature), "[]", now), "{signature}");
        }
        for timestamp in ["", "now", "-1764374400", "9999999999999999999"] {
            assert!(!is_good(secret, (timestamp, SIGNATURE), "[]", now), "{timestamp}");
        }
    }
}
