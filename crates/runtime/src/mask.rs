//! Email addresses in what is printed, masked: `grace@example.com` is shown as `g***@example.com`.
//!
//! Looks at the text and knows no fields: an address is found wherever it is, such as in what a mail server said or within the
//! text of a payload. An address is whatever stands without a space around an at sign, so it rather takes too much for one
//! than too little. Leaves out one that was cut off before its at sign.

use std::borrow::Cow;
use std::mem;

use crate::terminal::colour;

/// How the at sign is written: as itself, in a URL, in JSON that is a text, in HTML.
const AT_SIGNS: [&str; 4] = ["@", "%40", "\\u0040", "&#64;"];

const STARS: &str = "***";

/// A text for people, masked. The columns of a table stay where they are.
pub fn text(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

/// A JSON text, masked in each of its strings. It is JSON still.
pub fn json(json: &str) -> String {
    let (mut masked, mut rest) = (String::with_capacity(json.len()), json);
    while let Some((before, literal, after)) = next_string(rest) {
        masked.push_str(before);
        masked.push_str(&string(literal));
        rest = after;
    }
    masked + rest
}

/// Whether no address goes on beyond this character.
pub fn ends_word(c: char) -> bool {
    c.is_whitespace() || c.is_control() || colour::is_mark(c) || "<>()[],;:\"".contains(c)
}

/// What is before the first string, that string with its quotes, and what is after it.
fn next_string(json: &str) -> Option<(&str, &str, &str)> {
    let start = json.find('"')?;
    let mut is_escaped = false;
    let length = json[start + 1..].find(|c| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })?;
    let (json, after) = json.split_at(start + length + 2);
    let (before, literal) = json.split_at(start);
    Some((before, literal, after))
}

fn string(literal: &str) -> Cow<'_, str> {
    // What has half a surrogate pair is no text, and nobody can read an address out of it.
    let Ok(text) = serde_json::from_str::<String>(literal) else { return "\"***\"".into() };
    match words(&text, |_, _| {}) {
        masked if masked == text => literal.into(),
        masked => serde_json::Value::from(masked).to_string().into(),
    }
}

/// A line, whose columns end with two spaces: by what an address got shorter, the space after its cell gets wider.
fn line(line: &str) -> String {
    let mut owed = 0_usize;
    let columns = line.split_inclusive("  ").map(|column| {
        let masked = words(column, |was, is| owed = (owed + was).saturating_sub(is));
        if masked.ends_with("  ") { masked + &" ".repeat(mem::take(&mut owed)) } else { masked }
    });
    columns.collect()
}

/// The text, masked; `changed` is told how many characters each local part had, and has now.
fn words(text: &str, mut changed: impl FnMut(usize, usize)) -> String {
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, local, at, domain)) = next_address(rest) {
        let shown = shown(local);
        changed(local.chars().count(), shown.chars().count());
        masked.extend([before, &shown, at]);
        rest = domain;
    }
    masked + rest
}

/// What is before the first address, its local part, its at sign, and the rest, which begins with its domain.
fn next_address(text: &str) -> Option<(&str, &str, &str, &str)> {
    text.char_indices().find_map(|(place, _)| {
        let (head, tail) = text.split_at(place);
        let at = AT_SIGNS.into_iter().find(|at| tail.starts_with(at))?;
        let domain =
            tail[at.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '[').then(|| &tail[at.len()..])?;
        let (before, local) = head.split_at(start_of_local_part(head)?);
        (!local.is_empty()).then_some((before, local, at, domain))
    })
}

/// Where the local part begins that ends with the text; none if a quote ends it that is none of a local part, as before the
/// key `"@type"`.
fn start_of_local_part(text: &str) -> Option<usize> {
    let Some(inside) = text.strip_suffix('"') else {
        return Some(text.rfind(ends_word).map_or(0, |end| end + text[end..].chars().next().map_or(0, char::len_utf8)));
    };
    // In JSON that is a text both quotes are escaped, and quotes within are escaped once more.
    let escapes = |text: &str| text.len() - text.trim_end_matches('\\').len();
    let depth = escapes(inside);
    let (open, _) = inside.rmatch_indices('"').find(|(quote, _)| escapes(&inside[..*quote]) <= depth)?;
    let is_between_strings = inside[open + 1..].trim_start().starts_with([',', ':', ']', '}']);
    (!is_between_strings).then(|| open - escapes(&inside[..open]))
}

/// What is shown of a local part: what it begins with, if that is no part of an escape sequence or in quotes.
fn shown(local: &str) -> String {
    let first = local.char_indices().find(|(_, c)| c.is_alphanumeric());
    match first {
        Some((place, first)) if !local.contains(['\\', '"']) => local[..place + first.len_utf8()].to_owned() + STARS,
        _ => STARS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_address_is_masked_however_it_is_written() {
        for (address, masked) in [
            ("grace@example.com", "g***@example.com"),
            ("g@x", "g***@x"),
            ("Grace.Hopper+navy@mail.example.co.uk", "G***@mail.example.co.uk"),
            ("o'hara_1/x=y{z}~!#$%&*?^`|-@example.com", "o***@example.com"),
            ("bounce+grace=example.org@list.example.com", "b***@list.example.com"),
            ("grace%example.org@relay.example.com", "g***@relay.example.com"),
            ("grace@example.org@relay", "g***@e***@relay"),
            ("'grace@example.com'", "'g***@example.com'"),
            ("!!@example.com", "***@example.com"),
            (
                "<grace@example.com>,<ada@example.com>;(alan@example.com)",
                "<g***@example.com>,<a***@example.com>;(a***@example.com)",
            ),
            ("grace@[10.0.0.1]", "g***@[10.0.0.1]"),
            ("grace@[IPv6:::1]", "g***@[IPv6:::1]"),
            ("grace@xn--bcher-kva.example", "g***@xn--bcher-kva.example"),
            ("grüße@bücher.example", "g***@bücher.example"),
            ("世界@例え.テスト", "世***@例え.テスト"),
            ("\u{1f980}crab@example.com", "\u{1f980}c***@example.com"),
            ("\"grace hopper\"@example.com", "***@example.com"),
            ("to \"grace \\\"amazing\\\" hopper\"@example.com", "to ***@example.com"),
            ("mailto:grace@example.com?subject=hi", "mailto:g***@example.com?subject=hi"),
            ("mailto:grace%2Bnavy%40example.com", "mailto:g***%40example.com"),
            ("?email=grace%40example.com", "?e***%40example.com"),
            ("%22grace%20hopper%22%40example.com", "%2***%40example.com"),
            ("{\"email\":\"grace\\u0040example.com\"}", "{\"email\":\"g***\\u0040example.com\"}"),
            ("{\"email\":\"\\u0067race@example.com\"}", "{\"email\":\"***@example.com\"}"),
            ("{\"email\":\"\\\"grace hopper\\\"@example.com\"}", "{\"email\":\"***@example.com\"}"),
            ("&lt;grace&#64;example.com&gt;", "&lt;g***&#64;example.com&gt;"),
            ("550 5.1.1 <grace@example.com>: no such user", "550 5.1.1 <g***@example.com>: no such user"),
            ("To:\\nGrace\\n\\u{200b}grace@example.com", "To:***@example.com"),
            ("smtp://grace:secret@mail.example.com", "smtp://grace:s***@mail.example.com"),
        ] {
            assert_eq!(text(address), masked, "{address}");
            let printed = json(&json!({ address: [address] }).to_string());
            assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), json!({ masked: [masked] }), "{printed}");
        }
    }

    #[test]
    fn what_is_no_address_stays_as_it_is() {
        for plain in [
            "",
            "@",
            "a @ b",
            "a@ b",
            "@type",
            "@example.com",
            "to: @example.com",
            "'order_svc'@'10.0.0.1'",
            "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10",
            "order.created, order.*, >",
            "https://example.com/api/orders?limit=4&after=%20",
            "-1.5e300, 40%, 4711",
            "{\"@type\":\"Order\",\"x\":{\"@id\":1,\"@context\":[\"\",\"@vocab\"]},\"y\" : 1 , \"@z\":{}}",
            "{\\\"@type\\\":\\\"Order\\\",\\\"@id\\\":\\\"\\\"}",
        ] {
            assert_eq!(text(plain), plain);
            let printed = json!({ plain: [plain] }).to_string();
            assert_eq!(json(&printed), printed);
        }
    }

    #[test]
    fn json_is_json_still_and_keeps_its_order_and_its_numbers() {
        let payload = json!({ "email": "\"a\\b\"@example.com", "note": "x\\" }).to_string();
        let answer = format!(
            "{{\"z\": 1e400, \"a\": [\"\\\\\", {}, \"\\ud800@x\"], \"grace@x\":\"\\u0067@x\"}}",
            json!(payload)
        );
        let masked = json(&answer);
        let inner = json!({ "email": "***@example.com", "note": "x\\" }).to_string();
        let expected = format!("{{\"z\": 1e400, \"a\": [\"\\\\\", {}, \"***\"], \"g***@x\":\"g***@x\"}}", json!(inner));
        assert_eq!(masked, expected);
        assert_eq!(json("[\"an end that is missing@x"), "[\"an end that is missing@x");
    }

    #[test]
    fn the_columns_of_a_table_stay_where_they_are() {
        let table = "address                    by   reason\n\
                     grace.hopper@example.com   eve  grace.hopper@example.com left\n\
                     no address                 eve  -\n";
        let masked = "address                    by   reason\n\
                      g***@example.com           eve  g***@example.com left\n\
                      no address                 eve  -\n";
        assert_eq!(text(table), masked);
    }

    #[test]
    fn a_long_text_full_of_at_signs_takes_no_time() {
        let long = "@\"".repeat(50_000) + &"a@".repeat(50_000);
        assert!(!text(&long).is_empty() && !json(&json!([long]).to_string()).is_empty());
    }
}
