//! Which email addresses an order may have: the plain ones, `local@domain.tld` in ASCII, that can be delivered to: a top-level
//! domain has two letters or more, so that neither an IP address nor a cut-off name passes for a host.
//!
//! Stricter than RFC 5322 on purpose: display names, quoted local parts, IP literals, hosts without a dot and
//! internationalised addresses are refused, because each of them is a way to surprise an SMTP server or a log.

use email_address::{EmailAddress, Options};

/// Bytes that an address may have: the path limit of RFC 5321 without its angle brackets.
pub const BYTES_MAX: usize = 254;

/// Whether notify-svc can write to this address without quoting or encoding any of it.
pub fn is_plain(address: &str) -> bool {
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    address.len() <= BYTES_MAX
        && address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>()".contains(&byte))
        && EmailAddress::parse_with_options(address, options).is_ok_and(|email| is_host_name(email.domain()))
}

/// The library takes any atom as a label; a host has letters, digits and hyphens.
fn is_host_name(domain: &str) -> bool {
    let is_host = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    is_host && domain.rsplit('.').next().is_some_and(is_top_level)
}

/// Letters alone, or the ASCII form of a name in another script.
fn is_top_level(label: &str) -> bool {
    let is_encoded = label.len() > 4 && label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    is_encoded || (label.len() >= 2 && label.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_taken() {
        for address in
            ["ada@example.com", "ada.l+orders@mail.example.co.uk", "o'hara@example.com", "1@2.example", "a@b.xn--p1ai"]
        {
            assert!(is_plain(address), "{address}");
        }
        let longest_local = "a".repeat(64);
        assert!(is_plain(&format!("{longest_local}@example.com")));
    }

    #[test]
    fn whatever_could_surprise_an_smtp_server_is_refused() {
        let too_long = format!("{}@{}.com", "a".repeat(64), ["b".repeat(62), "c".repeat(62), "d".repeat(62)].join("."));
        assert!(too_long.len() > BYTES_MAX);
        let refused = [
            "",
            "nobody",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@@example.com",
            "a b@example.com",
            "ada@example.com ",
            " <ada@example.com>",
            "Ada <ada@example.com>",
            "<ada@example.com>",
            "\"ada\"@example.com",
            "\"a b\"@example.com",
            "ada@[127.0.0.1]",
            "ada@[IPv6:::1]",
            "ada@127.0.0.1",
            "ada@example.1a",
            "a@b.c",
            "a@b.xn--",
            "ada(x)@example.com",
            "ada@exa!mple.com",
            "ada@-example.com",
            "ada@example..com",
            ".ada@example.com",
            "ada@example.com.",
            "ada@ex\u{e4}mple.com",
            "\u{e4}da@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada\0@example.com",
            "ada@example.com,eve@example.com",
            "ada@example.com;eve@example.com",
            too_long.as_str(),
        ];
        for address in refused {
            assert!(!is_plain(address), "{address:?}");
        }
    }
}
