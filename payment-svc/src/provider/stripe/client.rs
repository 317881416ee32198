//! HTTP to Stripe: one key, a time and a size that nothing exceeds, and whether anything was sent.
//!
//! It stands on hyper, as reqwest does: reqwest's own TLS without aws-lc makes each of its plain clients in this workspace
//! panic unless its process has chosen a cryptography provider.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, connect::CaptureConnection};
use runtime::config::Secret;
use runtime::connector::{Connector, connector};
use runtime::http::client::{self, bearer, keeping};
use runtime::renewable::Renewable;
use runtime::tls;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use super::super::config::StripeSettings;

/// Pinned: the account's own version can change without us.
const API_VERSION: &str = "2024-06-20";
const BODY_BYTES_MAX: usize = 512 * 1024;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    path: String,
    form: String,
    key: Option<String>,
}

/// What came back, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// It is what the first request with this idempotency key was answered.
    pub(super) is_replayed: bool,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No byte left.
    #[error("nothing was sent")]
    Unsent(#[source] anyhow::Error),
    /// Some may have arrived.
    #[error("no whole answer came back")]
    Lost(#[source] anyhow::Error),
}

/// Who asks. Connections are kept for the next request.
#[derive(Clone)]
pub(super) struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    base: Arc<str>,
    key: Arc<Renewable>,
    time_max: Duration,
}

impl Request {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, form: String::new(), key: None }
    }

    pub(super) fn post(path: String) -> Self {
        Self { method: Method::POST, ..Self::get(path) }
    }

    pub(super) fn form(mut self, fields: &[(&str, String)]) -> Self {
        self.form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

impl Client {
    /// It need not be up yet.
    pub(super) fn new(settings: &StripeSettings<'_>) -> anyhow::Result<Self> {
        let tls = tls::client(settings.ca_file).context("STRIPE_CA_FILE")?;
        let http = keeping(connector(tls, CONNECT_TIME_MAX));
        let key = Arc::new(Renewable::new("STRIPE_API_KEY", settings.api_key.clone()));
        Ok(Self { http, base: settings.api_url.into(), key, time_max: settings.time_max })
    }

    /// By when all that one call asks has to be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.time_max
    }

    /// Asks; a second time if the key is refused and its file has another one by now.
    pub(super) async fn ask(&self, request: &Request, until: Instant) -> Result<Answer, Fault> {
        let key = self.key.now();
        let answer = self.ask_with(&key, request, until).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.key.instead_of(&key) {
            Some(renewed) => self.ask_with(&renewed, request, until).await,
            None => Ok(answer),
        }
    }

    async fn ask_with(&self, key: &Secret, request: &Request, until: Instant) -> Result<Answer, Fault> {
        let mut request = self.compose(key, request).map_err(Fault::Unsent)?;
        let connection = capture_connection(&mut request);
        let asking = async {
            let (head, body) = self.http.request(request).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| anyhow!(error))?;
            anyhow::Ok(Answer {
                status: head.status,
                retry_after: retry_after(&head.headers),
                is_replayed: head.headers.get("idempotent-replayed").is_some_and(|value| value == "true"),
                body: body.to_bytes(),
            })
        };
        let answer = timeout_at(until, asking).await.map_err(|_| anyhow!("no answer within {:?}", self.time_max));
        answer.and_then(|answer| answer).map_err(|error| fault(&connection, error))
    }

    fn compose(&self, key: &Secret, request: &Request) -> anyhow::Result<http::Request<Full<Bytes>>> {
        let bearer = bearer(key).map_err(|_| anyhow!("STRIPE_API_KEY has characters that no key has"))?;
        let mut composed = http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", self.base, request.path))
            .header(AUTHORIZATION, bearer)
            .header(USER_AGENT, "payment-svc")
            .header("stripe-version", API_VERSION);
        if request.method == Method::POST {
            composed = composed.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(key) = &request.key {
            composed = composed.header("idempotency-key", key);
        }
        composed.body(Full::from(request.form.clone())).context("can't compose a request")
    }
}

/// A request is put on a connection only when the connection is there.
fn fault(connection: &CaptureConnection, error: anyhow::Error) -> Fault {
    match *connection.connection_metadata() {
        Some(_) => Fault::Lost(error),
        None => Fault::Unsent(error),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    client::retry_after(headers).map(|wait| wait.min(RETRY_AFTER_MAX))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}
