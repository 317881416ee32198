//! What clients of HTTP share beside their [`Connector`]: how they keep connections, and how they sign in.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{HeaderMap, InvalidHeaderValue, RETRY_AFTER};
use hyper::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::Secret;
use crate::connector::Connector;

/// Shorter than servers and what stands before them keep a connection that nothing is said on.
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// A client that keeps its connections for the next request.
pub fn keeping<B>(connector: Connector) -> Client<Connector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .build(connector)
}

/// The value of `Authorization`, which is not logged.
///
/// # Errors
/// If the token has characters that no header has.
pub fn bearer(token: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// How long the server wants to be left alone, if it says so in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    Some(Duration::from_secs(headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?))
}
