//! The email of a notification. Pure: the same notification makes the same email, Message-ID and date included.
//!
//! What a customer typed ends up in headers and text; line breaks and other control characters in it become spaces, and
//! the rest is encoded by lettre. In the HTML part it is escaped, and isolated so that right-to-left text stays in its place.

use std::time::SystemTime;

use anyhow::Context;
use chrono::{DateTime, Utc};
use effect::Effect;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use schema::ids::{NotificationId, OrderId};
use serde::{Deserialize, Serialize};

use super::send_error::SendError;
use crate::notification::Topic;

const TEXT: &str = include_str!("templates/order.txt");
const HTML: &str = include_str!("templates/order.html");

/// An email to be sent.
#[derive(Clone, Debug)]
pub struct Email {
    /// The notification it belongs to.
    pub id: NotificationId,
    /// For example `order.created`.
    pub event_type: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// The email's date.
    pub created_at: DateTime<Utc>,
    /// What it says.
    pub body: Body,
}

/// What the effect of an email keeps for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Body {
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
}

impl Email {
    /// The email that an effect is.
    ///
    /// # Errors
    /// If it is none of ours.
    pub fn of(effect: &Effect) -> anyhow::Result<Self> {
        Ok(Self {
            id: NotificationId(effect.id.0),
            event_type: effect.kind.clone(),
            order_id: effect.subject.parse().context("the subject of an email is the id of an order")?,
            created_at: effect.created_at,
            body: Body::deserialize(&effect.body).context("reading the body of an email")?,
        })
    }
}

/// Composes the email.
///
/// # Errors
/// [`SendError::Invalid`] if the recipient is no address, or the event type is of a newer version of the code.
pub(super) fn compose(email: &Email, recipient: &str, from: &Mailbox) -> Result<Message, SendError> {
    message(email, recipient, from).map_err(SendError::Invalid)
}

fn message(email: &Email, recipient: &str, from: &Mailbox) -> anyhow::Result<Message> {
    let topic: Topic = email.event_type.parse()?;
    let recipient = recipient.parse().context("parsing the recipient's address")?;
    let product = one_line(&email.body.product);
    let message = Message::builder()
        .message_id(Some(format!("<{}@{}>", email.id, from.email.domain())))
        .date(SystemTime::from(email.created_at))
        .from(from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(subject(topic, &product))
        .multipart(parts(topic, &product, email))?;
    Ok(message)
}

/// A product that looks like an encoded word of RFC 2047 would be decoded by mail programs.
fn subject(topic: Topic, product: &str) -> String {
    let product = product.replace("=?", "= ?");
    match topic {
        Topic::OrderCreated => format!("Your order of {product}"),
        Topic::OrderCancelled => format!("Your order of {product} was cancelled"),
        Topic::PaymentDeclined => format!("The payment of your order of {product} was declined"),
        Topic::PaymentRefunded => format!("Your order of {product} was refunded"),
    }
}

/// Both parts say the same. The boundary is the notification's, because lettre's own would differ from repeat to repeat.
fn parts(topic: Topic, product: &str, email: &Email) -> MultiPart {
    let opening = match topic {
        Topic::OrderCreated => "Thank you for your order.",
        Topic::OrderCancelled => "Your order was cancelled.",
        Topic::PaymentDeclined => "The payment of your order was declined. Nothing was charged.",
        Topic::PaymentRefunded => "What you paid for your order was given back to you.",
    };
    let (quantity, order) = (email.body.quantity.to_string(), email.order_id.to_string());
    let values = [("opening", opening), ("quantity", &quantity), ("product", product), ("order", &order)];
    let text = fill(TEXT, &values).replace('\n', "\r\n");
    let escaped = values.map(|(name, value)| (name, escape(value)));
    let html = fill(HTML, &escaped.each_ref().map(|(name, value)| (*name, value.as_str())));
    MultiPart::alternative()
        .boundary(format!("part-{}", email.id))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html))
}

/// Puts values into a template's `{{names}}`, in one pass: a value that looks like a name stays as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 100);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        filled.push_str(value.expect("the templates are embedded, and a test fills each"));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(product: &str) -> Email {
        Email {
            id: NotificationId::generate(),
            event_type: "order.created".to_owned(),
            order_id: OrderId::generate(),
            created_at: Utc::now(),
            body: Body { product: product.to_owned(), quantity: 2 },
        }
    }

    fn headers(email: &Email) -> String {
        let from = "Web Store <orders@example.com>".parse().unwrap();
        let whole = String::from_utf8(compose(email, "ada@example.com", &from).unwrap().formatted()).unwrap();
        whole.split_once("\r\n\r\n").unwrap().0.to_owned()
    }

    #[test]
    fn the_message_id_is_the_notifications() {
        let email = email("Espresso machine");
        let headers = headers(&email);
        assert!(headers.contains(&format!("Message-ID: <{}@example.com>", email.id)), "{headers}");
        assert!(headers.contains("Subject: Your order of Espresso machine"), "{headers}");
    }

    #[test]
    fn a_repeat_is_the_same_email() {
        let email = email("Espresso machine");
        assert_eq!(headers(&email), headers(&email));
    }

    #[test]
    fn what_a_customer_typed_is_text_in_the_html_part() {
        let filled = fill(
            HTML,
            &[("opening", ""), ("quantity", ""), ("product", &escape("<script>'{{order}}'&")), ("order", "7")],
        );
        assert!(filled.contains("&lt;script&gt;&#39;{{order}}&#39;&amp;"), "{filled}");
    }

    #[test]
    fn a_product_can_add_no_header() {
        for product in ["x\r\nBcc: eve@example.com", "x\nBcc: eve@example.com", "é\r\n\r\nbody", "\u{85}\u{2028}"] {
            let headers = headers(&email(product));
            let names = headers.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(':'));
            let names: Vec<_> = names.map(|(name, _)| name).collect();
            let ours = ["Message-ID", "Date", "From", "To", "Subject", "MIME-Version", "Content-Type"];
            assert!(names.iter().all(|name| ours.contains(name)), "{headers}");
            assert_eq!(headers.lines().count(), headers.split("\r\n").count(), "{headers}");
        }
    }

    #[test]
    fn a_recipient_that_is_no_address_is_invalid() {
        let from = "orders@example.com".parse().unwrap();
        let broken = "ada@example.com\r\nBcc: eve@example.com";
        assert!(matches!(compose(&email("x"), broken, &from), Err(SendError::Invalid(_))));
    }
}
