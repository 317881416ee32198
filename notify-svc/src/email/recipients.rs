//! To whom an email goes: order-svc is asked right before it is sent, because no event and no table here has the address.
//!
//! An answer is bounded in size and time. Whatever says nothing about this order (no answer, 5xx, a token that is refused) is an
//! outage, as one of the mail server is; the gauge tells the two apart.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use prometheus::{IntGauge, Registry};
use runtime::config::{Secret, Validate};
use runtime::connector::{Connector, connector};
use runtime::http::client::{bearer, keeping, retry_after};
use runtime::renewable::Renewable;
use runtime::tls;
use schema::ids::OrderId;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

/// For an answer, connecting included; twice as long if the token was refused and its file has another one.
const TIME_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Many times what an address takes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Settings of whom to ask for an address.
#[derive(Debug, Args)]
pub struct OrdersConfig {
    /// Where order-svc is, which knows to whom an email goes: http://HOST:PORT or https://HOST:PORT. One to another machine that is not
    /// https is warned of at start.
    #[arg(long, env = "ORDERS_URL")]
    pub orders_url: String,

    /// PEM file of the authorities that may have signed order-svc's certificate, in place of the system's.
    #[arg(long, env = "ORDERS_CA_FILE", value_parser = tls::certificates)]
    pub orders_ca_file: Option<PathBuf>,

    /// A token for order-svc with the scope recipients, if it asks for one. Its file is read again when order-svc refuses the token.
    #[arg(long, env = "ORDERS_TOKEN", hide_env_values = true)]
    pub orders_token: Option<Secret>,
}

impl OrdersConfig {
    /// What asking for an address takes at most.
    pub const TIME_MAX: Duration = Duration::from_secs(2 * TIME_MAX.as_secs());
}

/// What is malformed is not repeated: it may have a password.
fn parse(text: &str) -> Result<Url, String> {
    let malformed = || "ORDERS_URL must look like http://HOST:PORT, without user, query and fragment".to_owned();
    let url = Url::parse(text).map_err(|_| malformed())?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let is_http = matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    if is_plain && is_http { Ok(url) } else { Err(malformed()) }
}

/// Whether what is said to this URL, the token, and what it answers, an address, can be read on its way.
fn is_overheard(url: &Url) -> bool {
    url.scheme() == "http" && !url.host_str().is_some_and(tls::is_loopback)
}

impl Validate for OrdersConfig {
    fn validate(&self) -> Result<(), String> {
        let url = parse(&self.orders_url)?;
        if self.orders_ca_file.is_some() && url.scheme() != "https" {
            return Err("ORDERS_CA_FILE needs an ORDERS_URL that begins with https://".to_owned());
        }
        let token = self.orders_token.as_ref().map(Secret::expose).unwrap_or_default();
        let is_sound = token.bytes().all(|byte| byte.is_ascii_graphic());
        is_sound.then_some(()).ok_or_else(|| "ORDERS_TOKEN has characters that no token has".to_owned())
    }
}

/// To whom an email goes.
#[derive(Debug)]
pub(super) enum Recipient {
    Address(String),
    /// To nobody any more.
    Erased,
}

/// Why that is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// It would be so for every order.
    #[error("order-svc can't be asked for the recipient")]
    Away { retry_after: Option<Duration>, source: anyhow::Error },
    /// It is so for this order.
    #[error("order-svc knows no such order")]
    NoOrder,
}

/// What the operation answers.
#[derive(Deserialize)]
struct Body {
    email: String,
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

/// Asks order-svc. A handle: clone it. Connections are kept for the next email.
#[derive(Clone)]
pub struct Recipients {
    http: Client<Connector, Empty<Bytes>>,
    base: Arc<str>,
    token: Option<Arc<Renewable>>,
    is_up: IntGauge,
}

impl Recipients {
    /// order-svc need not be up yet.
    ///
    /// # Errors
    /// If the authorities can't be used, or its metric is registered already.
    pub fn new(config: &OrdersConfig, registry: &Registry) -> anyhow::Result<Self> {
        let url = parse(&config.orders_url).map_err(anyhow::Error::msg)?;
        if is_overheard(&url) {
            tracing::warn!(
                host = url.host_str(),
                "the connection to order-svc is not encrypted, and addresses cross it; an ORDERS_URL that begins with https:// would encrypt it"
            );
        }
        let tls = tls::client(config.orders_ca_file.as_deref()).context("ORDERS_CA_FILE")?;
        let http = keeping(connector(tls, CONNECT_TIME_MAX));
        let help = "0 if order-svc could not be asked for the recipient of the last email, else 1.";
        let is_up = IntGauge::new("notify_orders_up", help)?;
        is_up.set(1);
        registry.register(Box::new(is_up.clone()))?;
        let token = config.orders_token.clone().map(|token| Arc::new(Renewable::new("ORDERS_TOKEN", token)));
        Ok(Self { http, base: config.orders_url.trim_end_matches('/').into(), token, is_up })
    }

    /// To whom the emails of an order go.
    pub(super) async fn of(&self, order: OrderId) -> Result<Recipient, LookupError> {
        let asked = match self.ask(order).await {
            Ok(answer) => understand(&answer),
            Err(source) => Err(LookupError::Away { retry_after: None, source }),
        };
        self.is_up.set((!matches!(asked, Err(LookupError::Away { .. }))).into());
        asked
    }

    /// Asks; a second time if the token is refused and its file has another one by now.
    async fn ask(&self, order: OrderId) -> anyhow::Result<Answer> {
        let Some(renewable) = &self.token else { return self.ask_with(None, order).await };
        let token = renewable.now();
        let answer = self.ask_with(Some(&token), order).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match renewable.instead_of(&token) {
            Some(renewed) => self.ask_with(Some(&renewed), order).await,
            None => Ok(answer),
        }
    }

    async fn ask_with(&self, token: Option<&Secret>, order: OrderId) -> anyhow::Result<Answer> {
        let mut request = Request::get(format!("{}/api/orders/{order}/recipient", self.base))
            .header(USER_AGENT, "notify-svc")
            .body(Empty::new())
            .context("can't compose a request")?;
        if let Some(token) = token {
            let bearer = bearer(token).map_err(|_| anyhow!("ORDERS_TOKEN has characters that no token has"))?;
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        let asking = async {
            let (head, body) = self.http.request(request).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| anyhow!(error))?;
            Ok(Answer { status: head.status, retry_after: retry_after(&head.headers), body: body.to_bytes() })
        };
        timeout(TIME_MAX, asking).await.unwrap_or_else(|_| bail!("no answer within {TIME_MAX:?}"))
    }
}

/// Of a body that is not what it should be nothing is told: it may have an address.
fn understand(answer: &Answer) -> Result<Recipient, LookupError> {
    let away = |source| LookupError::Away { retry_after: answer.retry_after, source };
    match answer.status {
        StatusCode::OK => match serde_json::from_slice(&answer.body) {
            Ok(Body { email }) => Ok(Recipient::Address(email)),
            Err(_) => Err(away(anyhow!("the answer is none of order-svc"))),
        },
        StatusCode::GONE if code(answer) == "erased" => Ok(Recipient::Erased),
        StatusCode::NOT_FOUND if code(answer) == "order-not-found" => Err(LookupError::NoOrder),
        status => Err(away(anyhow!("the answer is {status}"))),
    }
}

/// What a problem says for programs. A proxy that knows no such path, or another service at this address, says something else.
fn code(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }

    serde_json::from_slice(&answer.body).map(|problem: Problem| problem.code).unwrap_or_default()
}

impl fmt::Debug for Recipients {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipients").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(status: u16, body: &'static str) -> Result<Recipient, LookupError> {
        let status = StatusCode::from_u16(status).unwrap();
        understand(&Answer { status, retry_after: None, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn only_order_svc_itself_says_that_an_order_is_unknown_or_erased() {
        assert!(
            matches!(understood(200, r#"{"email":"a@b.c","more":1}"#), Ok(Recipient::Address(email)) if email == "a@b.c")
        );
        assert!(matches!(understood(410, r#"{"code":"erased"}"#), Ok(Recipient::Erased)));
        assert!(matches!(understood(404, r#"{"code":"order-not-found"}"#), Err(LookupError::NoOrder)));
        for (status, body) in [
            (200, ""),
            (200, r#"{"email":null}"#),
            (404, ""),
            (404, r#"{"code":"not-found"}"#),
            (410, "gone"),
            (301, ""),
            (400, "{}"),
            (401, "{}"),
            (403, "{}"),
            (429, "{}"),
            (500, "{}"),
            (503, "{}"),
        ] {
            assert!(matches!(understood(status, body), Err(LookupError::Away { .. })), "{status} {body}");
        }
    }

    #[test]
    fn where_order_svc_is_has_to_be_a_url() {
        for (url, is_read_by_others) in [
            ("http://orders:8080/", true),
            ("https://orders/shop", false),
            ("http://127.0.0.1:8081", false),
            ("http://[::1]:8081", false),
        ] {
            assert_eq!(is_overheard(&parse(url).unwrap()), is_read_by_others, "{url}");
        }
        for malformed in
            ["", "orders", "orders:8080", "ftp://orders", "http://u:p@orders", "http://orders?a", "http://o#a"]
        {
            assert!(parse(malformed).is_err(), "{malformed}");
        }
    }
}
