//! Serves a router on a listener until shutdown, in plain HTTP or by TLS, with a bound on everything a client can make us wait for.
//!
//! The listener is passed in, so that a test can bind port 0 and an occupied port fails before anything starts.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificate::Certificate;
use crate::telemetry::chain;

/// A client that has not done its part of a TLS handshake by then is disconnected.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has not sent a whole request head by then is disconnected; also the idle time of a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// About what a request head may have, in bytes; 431 above it. The driver checks after each read, so that some more may pass.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers that the driver reads: more than are taken, so that the refusal is a problem document as all others are.
const HEADERS_PARSED_MAX: usize = 256;
/// Open connections, those in their handshake too; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Requests in flight when a stop begins have this long to be answered.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Pause after an accept failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug)]
pub struct Listener {
    /// The port.
    pub tcp: TcpListener,
    /// By which TLS is spoken there; without one it is plain HTTP.
    pub certificate: Option<Certificate>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, certificate: None }
    }
}

/// Takes the port, or says which one is taken.
///
/// # Errors
/// If the address can't be bound.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

/// Serves until `shutdown`, then answers what is in flight. A connection on which nothing was asked, or nothing whole, is
/// closed at once.
///
/// # Errors
/// If requests were still unanswered after 10 s of draining.
pub async fn serve(listener: impl Into<Listener>, router: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Listener { tcp, certificate } = listener.into();
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(accepted) = shutdown.run_until_cancelled(accept(&tcp, &places)).await {
        let (stream, place) = accepted?;
        let connection = attend(stream, certificate.clone(), router.clone(), shutdown.clone());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(error.as_ref()), "connection ended badly");
            }
            drop(place);
        });
    }
    drop(tcp);
    connections.close();
    let drained = timeout(DRAIN_MAX, connections.wait()).await;
    drained.context("requests were still unanswered when the drain time ended")
}

/// The next connection, when there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> anyhow::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.context("the semaphore is never closed")?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, place)),
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Serves one connection to its end.
async fn attend(
    stream: TcpStream,
    certificate: Option<Certificate>,
    router: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // An answer is one small write: waiting to fill a packet would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY failed");
    }
    let Some(certificate) = certificate else { return Ok(converse(stream, router, shutdown).await?) };
    let handshake = timeout(HANDSHAKE_TIMEOUT, certificate.acceptor().accept(stream));
    tokio::select! {
        // What has come already is read before the stop is heeded.
        biased;
        stream = handshake => Ok(converse(stream.context("no TLS handshake in time")??, router, shutdown).await?),
        () = shutdown.cancelled() => Ok(()),
    }
}

/// Answers what is asked on a connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    router: Router,
    shutdown: CancellationToken,
) -> hyper::Result<()> {
    let was_asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&was_asked);
    let service = service_fn(move |request| {
        noted.store(true, Ordering::Relaxed);
        TowerToHyperService::new(router.clone()).call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_PARSED_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // What has come already is read before the stop is heeded.
        biased;
        ended = &mut connection => return ended,
        () = shutdown.cancelled() => {}
    }
    if !was_asked.load(Ordering::Relaxed) {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// A reset connection is the client's affair; anything else means that we can't accept, so don't spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "accepting a connection failed");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
