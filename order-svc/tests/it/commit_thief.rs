//! A proxy between order-svc and its database that makes one COMMIT fail in the worst ways.
//!
//! It knows one thing of the protocol: a COMMIT is a packet of its own, in plain text.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to the COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theft {
    /// The server commits, and its answer is lost with the connection.
    Answer,
    /// The server never sees it: the connection is lost before.
    Commit,
}

#[derive(Debug)]
pub struct CommitThief {
    pub port: u16,
    armed: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl CommitThief {
    /// Forwards to `target`, until it is armed.
    pub async fn start(target: u16, theft: Theft) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (armed, refusing) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (thief_armed, thief_refusing) = (Arc::clone(&armed), Arc::clone(&refusing));
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !thief_refusing.load(Ordering::SeqCst) {
                    tokio::spawn(forward(client, target, theft, Arc::clone(&thief_armed)));
                }
            }
        });
        Self { port, armed, refusing, accepting }
    }

    /// The next COMMIT is stolen.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Whether it still waits for a COMMIT.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }
}

impl Drop for CommitThief {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut client: TcpStream, target: u16, theft: Theft, armed: Arc<AtomicBool>) {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let stolen = request[..length].ends_with(b"COMMIT") && armed.swap(false, Ordering::SeqCst);
                if stolen && theft == Theft::Commit {
                    return;
                }
                if server.write_all(&request[..length]).await.is_err() {
                    return;
                }
                if stolen {
                    // The answer is here, so the commit is done: now lose it.
                    assert!(server.read(&mut answer).await.unwrap() > 0);
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
