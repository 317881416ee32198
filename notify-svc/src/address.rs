//! Addresses as those write them who tell of bounces, complaints and unsubscribers, brought to the form that an order can have.
//!
//! Guarantees that what comes out can be an order's address, so that suppressing it has an effect. What is clearly one in another
//! notation is rewritten: `mailto:`, angle brackets, a domain in another script. The rest is refused.

use percent_encoding::percent_decode_str;
use schema::email;
use url::Host;

/// What is wrong with a text that [`plain`] refuses.
pub const NO_ADDRESS: &str = "must be an email address that an order can have, such as ada@example.com";

const MAILTO: &str = "mailto:";

/// The address in lower case; none if no order can have it.
pub fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    let text = unbracketed(text).unwrap_or(text);
    let text = match text.split_at_checked(MAILTO.len()) {
        // In a URI signs may be escaped.
        Some((scheme, address)) if scheme.eq_ignore_ascii_case(MAILTO) => {
            percent_decode_str(address).decode_utf8().ok()?
        }
        _ => text.into(),
    };
    let (local, domain) = text.rsplit_once('@')?;
    let address = format!("{local}@{}", ascii(domain)?).to_ascii_lowercase();
    email::is_plain(&address).then_some(address)
}

fn unbracketed(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

/// As the DNS has it. What is ASCII already stays as an order has it: orders are taken with names that the DNS would not have.
fn ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    match Host::parse(domain).ok()? {
        Host::Domain(domain) => Some(domain),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_another_notation_is_the_one_that_an_order_has() {
        let same = [
            ("ada@example.com", "ada@example.com"),
            ("Ada.L+Orders@Example.COM", "ada.l+orders@example.com"),
            (" ada@example.com\r\n", "ada@example.com"),
            ("<ada@example.com>", "ada@example.com"),
            ("mailto:ada@example.com", "ada@example.com"),
            ("<MAILTO:ada%2Borders@example.com>", "ada+orders@example.com"),
            ("ada@ex\u{e4}mple.com", "ada@xn--exmple-cua.com"),
            ("ada@EX\u{c4}MPLE.com", "ada@xn--exmple-cua.com"),
            ("ada@xn--exmple-cua.com", "ada@xn--exmple-cua.com"),
            ("ada@xn--0.com", "ada@xn--0.com"),
        ];
        for (text, address) in same {
            assert_eq!(plain(text).as_deref(), Some(address), "{text:?}");
        }
    }

    #[test]
    fn what_no_order_can_have_is_refused() {
        let refused = [
            "",
            "nobody",
            "ada@localhost",
            "ada@127.0.0.1",
            "ada@\u{ff11}27.0.0.1",
            "\u{e4}da@example.com",
            "Ada <ada@example.com>",
            "<ada@example.com",
            "\"a b\"@example.com",
            "mailto:",
            "mailto:%ff@example.com",
            "mailto:ada@example.com?subject=stop",
            "ada@example.com,eve@example.com",
            "ada@example.com\0",
            "ada@example.com.",
        ];
        for text in refused {
            assert_eq!(plain(text), None, "{text:?}");
        }
    }
}
