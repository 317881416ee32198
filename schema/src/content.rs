//! Whether two payloads say the same: a digest that a dump, a restore or a move between database engines leaves as it is.
//!
//! MySQL keeps a JSON document as values and prints it in its own spacing, key order and number format; MariaDB keeps the
//! text. So payloads are compared by their canonical form: no insignificant white space, keys sorted, of a key that
//! occurs twice the last value (as MySQL and most readers have it), strings without needless escapes, numbers by their
//! exact decimal value and never by way of a float. What is no JSON is compared byte by byte.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Deeper documents are compared byte by byte; MySQL stores up to 100 levels.
const DEPTH_MAX: u32 = 128;

/// Longer integers are written with an exponent, so that 1e300 needs no 300 zeros.
const PLAIN_MAX: usize = 30;

/// SHA-256 of the canonical form, or of the bytes if they are no JSON. A payload that is canonical already has the digest
/// of its bytes.
pub fn digest(payload: &[u8]) -> [u8; 32] {
    let canonical = canonical(payload);
    Sha256::digest(canonical.as_deref().unwrap_or(payload)).into()
}

/// The canonical form; none if it is no JSON.
fn canonical(payload: &[u8]) -> Option<Vec<u8>> {
    let text = serde_json::from_slice::<&RawValue>(payload).ok()?.get();
    let mut reader = Reader { text, at: 0 };
    let mut written = Vec::with_capacity(text.len());
    reader.value(&mut written, DEPTH_MAX)?;
    Some(written)
}

/// Reads a text that is known to be valid JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, written: &mut Vec<u8>, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'{' => self.object(written, depth)?,
            b'[' => self.array(written, depth)?,
            b'"' => written.extend(self.string()?),
            b'-' | b'0'..=b'9' => written.extend(number(self.word()?).bytes()),
            _ => written.extend(self.word()?.bytes()),
        }
        Some(())
    }

    fn object(&mut self, written: &mut Vec<u8>, depth: u32) -> Option<()> {
        let mut members = BTreeMap::new();
        self.at += 1;
        while self.peek()? != b'}' {
            self.skip(b',');
            let key = self.string()?;
            self.skip(b':');
            let mut value = Vec::new();
            self.value(&mut value, depth)?;
            members.insert(key, value);
        }
        self.at += 1;
        written.push(b'{');
        for (index, (key, value)) in members.into_iter().enumerate() {
            if index > 0 {
                written.push(b',');
            }
            written.extend(key);
            written.push(b':');
            written.extend(value);
        }
        written.push(b'}');
        Some(())
    }

    fn array(&mut self, written: &mut Vec<u8>, depth: u32) -> Option<()> {
        written.push(b'[');
        self.at += 1;
        while self.peek()? != b']' {
            if self.skip(b',') {
                written.push(b',');
            }
            self.value(written, depth)?;
        }
        self.at += 1;
        written.push(b']');
        Some(())
    }

    /// A string with its quotes, with the escapes that it needs.
    fn string(&mut self) -> Option<Vec<u8>> {
        self.peek()?;
        let from = self.at;
        self.at += 1;
        let mut is_escaped = false;
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    self.at += 1;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        let literal = self.text.get(from..self.at)?;
        if !is_escaped {
            return Some(literal.as_bytes().to_vec());
        }
        serde_json::to_vec(&serde_json::from_str::<String>(literal).ok()?).ok()
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let end = rest.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end)
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }
}

/// A number by its exact value: `1.50`, `15e-1` and `1.5` are one. An integer that is written plainly stays as it is.
fn number(literal: &str) -> String {
    if literal != "-0" && literal.len() <= PLAIN_MAX && !literal.contains(['.', 'e', 'E']) {
        return literal.to_owned();
    }
    let (sign, digits) = literal.strip_prefix('-').map_or(("", literal), |digits| ("-", digits));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i32>() else { return literal.to_owned() };
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    // The value is `significant` times ten to this.
    let power = i64::from(exponent) - fraction.len() as i64 + zeros as i64;
    match usize::try_from(power) {
        Ok(zeros) if sign.len() + significant.len() + zeros <= PLAIN_MAX => {
            format!("{sign}{significant}{}", "0".repeat(zeros))
        }
        _ => format!("{sign}{significant}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        digest(one.as_bytes()) == digest(other.as_bytes())
    }

    #[test]
    fn spacing_key_order_and_escapes_do_not_count() {
        let plain = r#"{"a":[1,{"b":"é/\n","c":null}],"d":true}"#;
        assert!(same(plain, " {\"d\" : true,\n\"a\": [ 1 , { \"c\": null, \"b\": \"\\u00e9\\/\\u000a\" } ] } "));
        assert_eq!(canonical(plain.as_bytes()).unwrap(), plain.as_bytes());
        assert!(same("{}", " { } ") && same("[]", "[ ]") && same("7", " 7 ") && same(r#"{"\u0061":1}"#, r#"{"a":1}"#));
    }

    #[test]
    fn what_says_something_else_is_told_apart() {
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":"1"}"#));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("[12]", "[1,2]"));
        assert!(!same(r#"{"a":" b"}"#, r#"{"a":"b"}"#));
        assert!(!same("[9007199254740993]", "[9007199254740992]"));
        assert!(!same("[123456789012345678901234567890]", "[123456789012345678901234567891]"));
    }

    #[test]
    fn a_number_is_its_value_and_of_a_key_twice_the_last_counts() {
        assert!(same("[1.50,100.0,1e2,-0.0,-0]", "[15e-1,100,100,0,0]") && same("[1.5E+0]", "[1.5]"));
        assert!(
            same("[1e40]", &format!("[1{}]", "0".repeat(40))) && same("[-1e28]", "[-10000000000000000000000000000]")
        );
        assert!(same("[1e300]", "[10.0e299]") && !same("[1e300]", "[1e301]") && !same("[-1.5]", "[1.5]"));
        assert!(same(r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_compared_by_its_bytes() {
        let deep = "[".repeat(500_000) + &"]".repeat(500_000);
        for payload in ["{\"a\":1", "", "\"\\ud800\"", &deep] {
            assert_eq!(canonical(payload.as_bytes()), None);
            assert!(same(payload, payload) && !same(payload, &format!("{payload} ")));
        }
    }
}
