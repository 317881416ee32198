//! HTTP to Stripe: one key, a time and a size that nothing exceeds, and whether anything was sent.
//!
//! It stands on hyper, as reqwest does: reqwest's own TLS without aws-lc makes each of its plain clients in this workspace
//! panic unless its process has chosen a cryptography provider.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, connect::CaptureConnection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use runtime::config::Secret;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::form_urlencoded;

use super::super::config::StripeSettings;

/// Pinned: the account's own version can change without us.
const API_VERSION: &str = "2024-06-20";
const BODY_BYTES_MAX: usize = 512 * 1024;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Shorter than servers and what stands before them keep a connection that nothing is said on.
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);
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
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Arc<str>,
    key: Arc<Mutex<Secret>>,
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
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // https is the next one's
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        tcp.set_nodelay(true);
        let tls = trust(settings.ca_file)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connector.wrap_connector(tcp));
        let key = Arc::new(Mutex::new(settings.api_key.clone()));
        Ok(Self { http, base: settings.api_url.into(), key, time_max: settings.time_max })
    }

    /// By when all that one call asks has to be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.time_max
    }

    /// Asks; a second time if the key is refused and its file has another one by now.
    pub(super) async fn ask(&self, request: &Request, until: Instant) -> Result<Answer, Fault> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.ask_with(&key, request, until).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let renewed = key.read_again();
        if renewed.expose() == key.expose() {
            return Ok(answer);
        }
        tracing::info!("STRIPE_API_KEY is not valid any more, going on with what its file says now");
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = renewed.clone();
        self.ask_with(&renewed, request, until).await
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
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| anyhow!("STRIPE_API_KEY has characters that no key has"))?;
        bearer.set_sensitive(true);
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

/// Whom we trust: the authorities in a file, or the system's.
fn trust(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let unusable = || format!("STRIPE_CA_FILE {}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(unusable)? {
                roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// A request is put on a connection only when the connection is there.
fn fault(connection: &CaptureConnection, error: anyhow::Error) -> Fault {
    match *connection.connection_metadata() {
        Some(_) => Fault::Lost(error),
        None => Fault::Unsent(error),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}
