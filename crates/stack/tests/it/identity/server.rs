//! An issuer's server: has one document for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Signed;

/// Serves until it is stopped.
pub(super) struct Server {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    asked: AtomicUsize,
    document: watch::Sender<String>,
    is_held: watch::Sender<bool>,
}

impl Server {
    pub(super) async fn start(port: u16, document: String) -> Server {
        Server::serve(port, document, None).await
    }

    pub(super) async fn start_with_tls(port: u16, document: String, certificate: &Signed) -> Server {
        Server::serve(port, document, Some(certificate.acceptor())).await
    }

    async fn serve(port: u16, document: String, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (document, is_held) = (watch::Sender::new(document), watch::Sender::new(false));
        let shared = Arc::new(Shared { asked: AtomicUsize::new(0), document, is_held });
        let answering = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => answering.answer(stream).await,
                    // A client that does not trust us goes away.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answering.answer(stream).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Server { shared, serving }
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// What it has from now on.
    pub(super) fn publish(&self, document: String) {
        self.shared.document.send_replace(document);
    }

    /// Whether questions wait for their answers.
    pub(super) fn hold(&self, is_held: bool) {
        self.shared.is_held.send_replace(is_held);
    }

    pub(super) async fn stop(self) {
        self.serving.abort();
        self.serving.await.ok();
    }
}

impl Shared {
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        // A client that hangs up early is no concern of a server's.
        if stream.read(&mut [0; 4096]).await.is_err() {
            return;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.is_held.subscribe().wait_for(|is_held| !is_held).await.unwrap();
        let document = self.document.borrow().clone();
        let length = document.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{document}");
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }
}
