//! An order as a customer asks for it, parsed from JSON: what is constructed here has passed every rule.
//!
//! Guarantees that all faults of a request are reported together, each with a JSON Pointer. Text is kept as it came:
//! nothing is trimmed or normalised. Names that appear twice are refused, because parsers differ in which one wins.
//! The number of violations is bounded by the body limit of the HTTP server.

use schema::email;
use serde_json::value::RawValue;

use super::entries::Entries;

/// The limits that the rules apply.
pub mod rules {
    use schema::email;

    /// Characters (Unicode scalar values) that a product may have.
    pub const PRODUCT_CHARS_MAX: usize = 200;
    /// The largest quantity of one order.
    pub const QUANTITY_MAX: u32 = 1000;
    /// Bytes that an email address may have.
    pub const EMAIL_BYTES_MAX: usize = email::BYTES_MAX;
}

const PRODUCT: &str = "must be a string of 1 to 200 characters, some of them visible";
const QUANTITY: &str = "must be an integer from 1 to 1000, without exponent";
const EMAIL: &str = "must be a plain email address such as ada@example.com, of at most 254 characters";
const CONTROL: &str = "must not contain control characters such as line breaks";
const FIELDS: [&str; 3] = ["product", "quantity", "email"];

/// An order that may be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    product: String,
    quantity: u32,
    email: String,
}

/// A rule that the request breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer of the value; empty for the whole body.
    pub pointer: String,
    /// What the value must be.
    pub detail: &'static str,
}

/// Why a body is no order.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not one JSON text in UTF-8.
    #[error("the body is not JSON")]
    Malformed(#[source] serde_json::Error),
    /// JSON that breaks rules; at least one.
    #[error("the order breaks {} rules", .0.len())]
    Invalid(Vec<Violation>),
}

impl NewOrder {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// [`ParseError`], with every rule that the body breaks.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let Entries(entries) = serde_json::from_slice(body).map_err(|error| not_an_object(body, error))?;

        let mut violations = Vec::new();
        let mut known: [Option<&RawValue>; FIELDS.len()] = [None; FIELDS.len()];
        for (name, value) in entries {
            match FIELDS.iter().position(|field| *field == name) {
                None => violations.push(Violation::of(&name, "is not a field of an order")),
                Some(field) if known[field].replace(value).is_some() => {
                    violations.push(Violation::of(&name, "must appear only once"));
                }
                Some(_) => {}
            }
        }
        let missing = FIELDS.iter().zip(known).filter(|(_, value)| value.is_none());
        violations.extend(missing.map(|(name, _)| Violation::of(name, "is required")));
        let [product, quantity, email] = known;
        let mut check = |name: &str, broken: &'static str| violations.push(Violation::of(name, broken));
        let product = product.and_then(|value| parse_product(value).map_err(|rule| check("product", rule)).ok());
        let quantity = quantity.and_then(|value| parse_quantity(value).map_err(|rule| check("quantity", rule)).ok());
        let email = email.and_then(|value| parse_email(value).map_err(|rule| check("email", rule)).ok());

        match (product, quantity, email) {
            (Some(product), Some(quantity), Some(email)) if violations.is_empty() => {
                Ok(Self { product, quantity, email })
            }
            _ => Err(ParseError::Invalid(violations)),
        }
    }

    /// What is ordered, how many of it, and the customer's address.
    pub fn into_parts(self) -> (String, u32, String) {
        (self.product, self.quantity, self.email)
    }
}

/// A body that is JSON breaks a rule; any other is malformed.
fn not_an_object(body: &[u8], error: serde_json::Error) -> ParseError {
    let json: Result<&RawValue, _> = serde_json::from_slice(body);
    match json {
        Ok(_) if error.is_data() => {
            ParseError::Invalid(vec![Violation { pointer: String::new(), detail: "must be a JSON object" }])
        }
        Ok(_) => ParseError::Malformed(error),
        Err(error) => ParseError::Malformed(error),
    }
}

fn parse_product(value: &RawValue) -> Result<String, &'static str> {
    let product: String = serde_json::from_str(value.get()).map_err(|_| PRODUCT)?;
    if product.chars().any(char::is_control) {
        return Err(CONTROL);
    }
    if !product.chars().any(is_visible) || product.chars().count() > rules::PRODUCT_CHARS_MAX {
        return Err(PRODUCT);
    }
    Ok(product)
}

/// Whether a reader sees something: not a space, and none of what Unicode has for fonts and text direction (its
/// Default_Ignorable_Code_Point), a blank Braille pattern, or a mark for annotations.
fn is_visible(char: char) -> bool {
    let is_ignorable = matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !char.is_whitespace() && !is_ignorable
}

/// Reads the number's own text, so that neither 1.5 nor 1e3 nor a number of a thousand digits is taken for an integer. 2.0
/// is one: JSON Schema says so, and with it our document.
fn parse_quantity(value: &RawValue) -> Result<u32, &'static str> {
    let is_zero = |fraction: &str| !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let (whole, fraction) = value.get().split_once('.').unwrap_or((value.get(), "0"));
    if !is_zero(fraction) {
        return Err(QUANTITY);
    }
    let quantity = whole.parse().map_err(|_| QUANTITY)?;
    if (1..=rules::QUANTITY_MAX).contains(&quantity) { Ok(quantity) } else { Err(QUANTITY) }
}

fn parse_email(value: &RawValue) -> Result<String, &'static str> {
    let address: String = serde_json::from_str(value.get()).map_err(|_| EMAIL)?;
    if address.chars().any(char::is_control) {
        return Err(CONTROL);
    }
    if email::is_plain(&address) { Ok(address) } else { Err(EMAIL) }
}

impl Violation {
    /// A rule broken by the member `name`. Its pointer is escaped as RFC 6901 has it.
    fn of(name: &str, detail: &'static str) -> Self {
        Self { pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] = [("product", r#""Mug""#), ("quantity", "2"), ("email", r#""ada@example.com""#)];

    /// A good body with one field's JSON text replaced.
    fn with(field: &str, json: &str) -> String {
        let members = GOOD.map(|(name, good)| format!("\"{name}\":{}", if name == field { json } else { good }));
        format!("{{{}}}", members.join(","))
    }

    fn pointers(body: &str) -> Vec<String> {
        match NewOrder::parse(body.as_bytes()) {
            Err(ParseError::Invalid(violations)) => violations.into_iter().map(|broken| broken.pointer).collect(),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let product = "\u{1F375}".repeat(rules::PRODUCT_CHARS_MAX);
        for (field, json) in [("quantity", "1"), ("quantity", "1000"), ("product", &format!("\"{product}\""))] {
            assert!(NewOrder::parse(with(field, json).as_bytes()).is_ok(), "{field} {json}");
        }
        assert_eq!(pointers(&with("product", &format!("\"{product}x\""))), ["/product"]);
    }

    #[test]
    fn a_product_that_nobody_can_see_is_none() {
        for product in
            ["\u{200b}", "\u{a0}\u{3000}", "\u{2800}", "\u{202e}\u{202c}", "\u{feff}", "\u{3164}", "\u{e0041}"]
        {
            assert_eq!(pointers(&with("product", &format!("\"{product}\""))), ["/product"], "{product:?}");
            let seen = with("product", &format!("\"{product}\u{1F375}{product}\""));
            assert!(NewOrder::parse(seen.as_bytes()).is_ok(), "{product:?}");
        }
    }

    #[test]
    fn text_is_kept_as_it_came() {
        let order = NewOrder::parse(with("product", r#"" Caf\u00e9 \"x\" ""#).as_bytes()).unwrap();
        assert_eq!(order.into_parts(), (" Caf\u{e9} \"x\" ".to_owned(), 2, "ada@example.com".to_owned()));
    }

    #[test]
    fn only_a_whole_number_is_a_quantity() {
        for (json, quantity) in [("2", 2), ("2.0", 2), ("1000.000", 1000)] {
            assert_eq!(NewOrder::parse(with("quantity", json).as_bytes()).unwrap().into_parts().1, quantity);
        }
        let huge = "9".repeat(1000);
        let refused = [
            "0", "-1", "-0", "1001", "0.0", "1001.0", "1.01", "1.5", "1e2", "1.0e1", "1e999", "\"2\"", "null", "true",
            "[2]", "{}", &huge,
        ];
        for json in refused {
            assert_eq!(pointers(&with("quantity", json)), ["/quantity"], "{json}");
        }
    }

    #[test]
    fn text_fields_refuse_other_types_control_characters_and_blanks() {
        let refused =
            [r#""""#, r#""  ""#, "null", "1", "[]", r#""a\r\nb""#, r#""a\u0000b""#, r#""a\u0085b""#, r#""\ud800""#];
        for json in refused {
            assert_eq!(pointers(&with("product", json)), ["/product"], "{json}");
            assert_eq!(pointers(&with("email", json)), ["/email"], "{json}");
        }
    }

    #[test]
    fn all_faults_are_reported_together() {
        assert_eq!(pointers("{}"), ["/product", "/quantity", "/email"]);
        let body = r#"{"":1,"a/b~c":{"deep":1},"product":"","product":"Mug","quantity":0,"email":"nobody"}"#;
        assert_eq!(pointers(body), ["/", "/a~1b~0c", "/product", "/quantity", "/email"]);
    }

    #[test]
    fn a_repeated_name_is_refused_whichever_value_is_right() {
        let body = r#"{"product":"Mug","quantity":2,"\u0071uantity":2,"email":"ada@example.com"}"#;
        assert_eq!(pointers(body), ["/quantity"]);
    }

    #[test]
    fn json_that_is_no_object_breaks_the_rule_of_the_whole_body() {
        for body in ["null", "[]", "\"order\"", "1", " [{}]\n"] {
            assert_eq!(pointers(body), [""], "{body}");
        }
    }

    #[test]
    fn what_is_not_one_json_text_is_malformed() {
        let trailing = format!("{} {{}}", with("", ""));
        let bad: [&[u8]; 9] = [
            b"",
            b" ",
            b"{",
            b"{'product':1}",
            b"{\"product\":\"\n\"}",
            b"{\"product\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":01}",
            trailing.as_bytes(),
        ];
        for body in bad {
            let parsed = NewOrder::parse(body);
            assert!(matches!(parsed, Err(ParseError::Malformed(_))), "{}: {parsed:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn nesting_can_not_exhaust_the_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pointers(&with("quantity", &deep)), ["/quantity"]);
    }
}
