//! Serves a router on a listener until shutdown, with a bound on everything a client can make us wait for.
//!
//! The listener is passed in, so that a test can bind port 0 and an occupied port fails before anything starts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A client that has not sent a whole request head by then is disconnected; also the idle time of a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// About what a request head may have, in bytes; 431 above it. The driver looks after each read, so that some more may pass.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Open connections; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Requests in flight when a stop begins have this long to be answered.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Pause after an accept failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes the port, or says which one is taken.
///
/// # Errors
/// If the address can't be bound.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

/// Serves until `shutdown`, then answers what is in flight.
///
/// # Errors
/// If requests were still unanswered after 10 s of draining.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.context("the semaphore is never closed")?;
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let connection = connections.watch(connection(stream, router.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN_MAX, connections.shutdown()).await;
    drained.context("requests were still unanswered when the drain time ended")
}

fn connection(stream: TcpStream, router: Router) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // An answer is one small write: waiting to fill a packet would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY failed");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

/// A reset connection is the client's affair; anything else means that we can't accept, so don't spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "accepting a connection failed");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
