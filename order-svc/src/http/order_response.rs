//! How an order looks to clients, and the ETag that names that look.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use schema::ids::OrderId;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::domain::{Order, OrderStatus, PaymentState};

/// An order as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct OrderResponse {
    /// Its identity.
    #[schema(value_type = Uuid, example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")]
    id: OrderId,
    /// What is ordered.
    #[schema(example = "Espresso machine")]
    product: String,
    /// How many of it.
    #[schema(minimum = 1, maximum = 1000, example = 2)]
    quantity: u32,
    /// The customer's address; null once it was erased.
    #[schema(format = Email, example = "ada@example.com")]
    email: Option<String>,
    /// Where it stands.
    status: StatusResponse,
    /// What is known of its payment.
    payment: PaymentResponse,
    /// Grows by one with every event of the order.
    #[schema(minimum = 1, example = 1)]
    version: u32,
    /// When it was placed.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    #[serde(serialize_with = "schema::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// When its last event happened.
    #[schema(example = "2026-11-22T11:30:00.123456Z")]
    #[serde(serialize_with = "schema::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

/// Where an order stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderStatus, example = "placed")]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusResponse {
    Placed,
    Cancelled,
    Shipped,
}

/// What is known of an order's payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderPayment, example = "due")]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentResponse {
    Due,
    Authorized,
    Declined,
    Refunded,
}

impl From<Order> for OrderResponse {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            product: order.product,
            quantity: order.quantity,
            email: order.email,
            status: order.status.into(),
            payment: order.payment.into(),
            version: order.version.get(),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<OrderStatus> for StatusResponse {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Placed => Self::Placed,
            OrderStatus::Cancelled => Self::Cancelled,
            OrderStatus::Shipped => Self::Shipped,
        }
    }
}

impl From<PaymentState> for PaymentResponse {
    fn from(payment: PaymentState) -> Self {
        match payment {
            PaymentState::Due => Self::Due,
            PaymentState::Authorized => Self::Authorized,
            PaymentState::Declined => Self::Declined,
            PaymentState::Refunded => Self::Refunded,
        }
    }
}

/// Names the state of an order: version and status, because whoever ships may append no event of ours, and what is known of
/// its payment, and whether its address was erased.
pub(super) struct Etag(String);

impl Etag {
    pub(super) fn of(order: &Order) -> Self {
        let (version, status) = (order.version, order.status.as_str());
        let payment = match order.payment {
            PaymentState::Due => String::new(),
            known => format!("-{}", known.as_str()),
        };
        let erased = if order.email.is_none() { "-erased" } else { "" };
        Self(format!("\"{version}-{status}{payment}{erased}\""))
    }

    /// Whether the client has this state already: If-None-Match lists it, weakly compared, or is `*`.
    pub(super) fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let listed = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut listed = listed.flat_map(|list| list.split(',')).map(str::trim);
        listed.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }

    /// The tag itself.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn header(&self) -> (HeaderName, HeaderValue) {
        (header::ETAG, HeaderValue::from_str(&self.0).expect("digits and letters in quotes are a valid header value"))
    }
}

/// What a client takes an order for before it changes it: the states that If-Match lists.
pub(super) enum Precondition {
    /// It says nothing, or any.
    None,
    /// One of these tags. Weak ones, which match nothing, are left out.
    OneOf(Vec<String>),
}

impl Precondition {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut strong = Vec::new();
        let mut is_any = true;
        for line in headers.get_all(header::IF_MATCH) {
            let line = line.to_str().map_err(|_| ApiError::MalformedPrecondition)?;
            if line.trim() == "*" {
                continue;
            }
            is_any = false;
            let tags = tags(line).ok_or(ApiError::MalformedPrecondition)?;
            strong.extend(tags.into_iter().filter(|tag| !tag.starts_with("W/")).map(ToOwned::to_owned));
        }
        Ok(if is_any { Self::None } else { Self::OneOf(strong) })
    }

    /// Whether the order is in a state that the client names. Its payment may have gone on meanwhile, and its address may have
    /// been erased: nobody who cancels minds.
    pub(super) fn holds_for(&self, order: &Order) -> bool {
        match self {
            Self::None => true,
            Self::OneOf(tags) => {
                let before_erasure = Order { email: Some(String::new()), ..order.clone() };
                let listed = |order: &Order, payment| tags.contains(&Etag::of(&Order { payment, ..order.clone() }).0);
                PaymentState::ALL.into_iter().any(|payment| listed(order, payment) || listed(&before_erasure, payment))
            }
        }
    }
}

/// The tags of a list, which can have commas in them; none if it is malformed.
fn tags(list: &str) -> Option<Vec<&str>> {
    let (mut tags, mut rest) = (Vec::new(), list.trim());
    loop {
        let opaque = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let length = opaque.find('"')?;
        if !opaque[..length].bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let end = rest.len() - opaque.len() + length + 1;
        tags.push(&rest[..end]);
        rest = rest[end..].trim_start();
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// An answer that shows an order.
pub(super) fn shown(status: StatusCode, order: Order) -> Response {
    let etag = Etag::of(&order).header();
    (status, [etag], Json(OrderResponse::from(order))).into_response()
}

/// An answer to a client that has it already.
pub(super) fn not_modified(etag: &Etag) -> Response {
    (StatusCode::NOT_MODIFIED, [etag.header()]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(lists: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(header::IF_NONE_MATCH, list.parse().unwrap());
        }
        Etag("\"1-placed\"".to_owned()).is_known_to(&headers)
    }

    fn holds(lists: &[&str]) -> Option<bool> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(header::IF_MATCH, list.parse().unwrap());
        }
        let body = br#"{"product":"Mug","quantity":2,"email":"ada@example.com"}"#;
        let new = crate::domain::NewOrder::parse(body).unwrap();
        let (order, _) = Order::place(OrderId::generate(), None, new, Utc::now());
        Precondition::parse(&headers).ok().map(|precondition| precondition.holds_for(&order))
    }

    #[test]
    fn if_match_is_a_list_compared_strongly() {
        for lists in
            [vec![], vec!["*"], vec!["\"1-placed\""], vec!["\"x,\" , \"1-placed\""], vec!["\"x\"", "\"1-placed\""]]
        {
            assert_eq!(holds(&lists), Some(true), "{lists:?}");
        }
        for lists in [vec!["\"2-cancelled\""], vec!["W/\"1-placed\""], vec!["\"\""]] {
            assert_eq!(holds(&lists), Some(false), "{lists:?}");
        }
        for lists in [vec![""], vec!["1-placed"], vec!["\"1-placed"], vec!["*, \"1-placed\""], vec!["\"a\"b\""]] {
            assert_eq!(holds(&lists), None, "{lists:?}");
        }
    }

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        for lists in
            [vec!["\"1-placed\""], vec!["W/\"1-placed\""], vec!["*"], vec!["\"x\", \"1-placed\""], vec!["\"x\"", "*"]]
        {
            assert!(is_known(&lists), "{lists:?}");
        }
        for lists in [vec![], vec!["1-placed"], vec!["\"2-cancelled\""], vec![""]] {
            assert!(!is_known(&lists), "{lists:?}");
        }
    }
}
