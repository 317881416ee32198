//! A TCP proxy that breaks the connection between two processes on demand.

mod mode;

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::mode::{Mode, OPEN, Trap};
use crate::port::Port;

/// Listens on a port of its own and forwards to a port of this machine. Needs the runtime it was started on.
#[derive(Debug)]
pub struct TcpProxy {
    port: Port,
    target: watch::Sender<u16>,
    wanted: watch::Sender<Mode>,
    reached: watch::Receiver<Mode>,
    trap: watch::Sender<(Vec<u8>, Mode)>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts to forward to `target` on 127.0.0.1. Nothing needs to listen there yet.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start(target: u16) -> TcpProxy {
        let port = Port::reserve();
        let (wanted, requested) = watch::channel(OPEN);
        let (reached, confirmed) = watch::channel(Mode::Cut);
        let (target, targets) = watch::channel(target);
        let trap = watch::Sender::new((Vec::new(), Mode::Cut));
        let spring = Trap { bytes: trap.clone(), wanted: wanted.clone() };
        let proxy = Proxy { port: port.number(), targets, requested, reached, trap: spring };
        let accepting = tokio::spawn(proxy.run());
        let mut proxy = TcpProxy { port, target, wanted, reached: confirmed, trap, accepting };
        proxy.switch(OPEN).await;
        proxy
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Closes all connections and refuses new ones. Both hold when this returns.
    pub async fn cut(&mut self) {
        self.switch(Mode::Cut).await;
    }

    /// From now on, once: when a client sends these bytes, they do not reach the server, and it is as after [`TcpProxy::cut`].
    pub fn cut_before(&mut self, bytes: &[u8]) {
        self.trap.send_replace((bytes.to_vec(), Mode::Cut));
    }

    /// From now on, once: when a client sends these bytes, they wait before the server, and it is as after [`TcpProxy::pause`].
    pub fn pause_before(&mut self, bytes: &[u8]) {
        self.trap.send_replace((bytes.to_vec(), Mode::Paused));
    }

    /// Waits until [`TcpProxy::pause_before`] has done its work.
    pub async fn until_paused(&mut self) {
        self.until(Mode::Paused).await;
    }

    /// From now on, once: when a client sends these bytes, they reach the server, and it is as after [`TcpProxy::deafen`].
    pub fn deafen_at(&mut self, bytes: &[u8]) {
        self.trap.send_replace((bytes.to_vec(), Mode::Deaf));
    }

    /// Waits until [`TcpProxy::deafen_at`] has done its work.
    pub async fn until_deaf(&mut self) {
        self.until(Mode::Deaf).await;
    }

    /// Waits until [`TcpProxy::cut_before`] has done its work.
    pub async fn until_cut(&mut self) {
        self.until(Mode::Cut).await;
    }

    /// Lets bytes through to the server and none back: it acts, and nobody hears of it.
    pub async fn deafen(&mut self) {
        self.switch(Mode::Deaf).await;
    }

    /// Lets no byte through, without closing anything: what a dead network looks like.
    pub async fn pause(&mut self) {
        self.switch(Mode::Paused).await;
    }

    /// Lets no byte through the connections that are there, ever again, without closing them, and takes new ones as ever:
    /// what a failover looks like when the old server's machine is gone or hangs.
    pub async fn lose(&mut self) {
        self.switch(Mode::Lost).await;
    }

    /// Holds back what the connections that are there carry, and takes new ones as ever. [`TcpProxy::heal`] delivers it, however
    /// late: what a network does that finds another way and later the old one again.
    pub async fn hold(&mut self) {
        self.switch(Mode::Held).await;
    }

    /// Holds each piece that arrives back for this long before the next one is read: a bad line.
    pub async fn slow(&mut self, by: Duration) {
        self.switch(Mode::Open(by)).await;
    }

    /// Forwards again. What a pause or a hold kept flows on; what a cut closed stays closed.
    pub async fn heal(&mut self) {
        self.switch(OPEN).await;
    }

    /// Forwards to another port of 127.0.0.1 from now on, as a virtual address that moves: connections are closed.
    pub async fn redirect(&mut self, target: u16) {
        self.cut().await;
        self.target.send_replace(target);
        self.heal().await;
    }

    async fn switch(&mut self, mode: Mode) {
        self.wanted.send(mode).expect("the proxy runs");
        self.until(mode).await;
    }

    async fn until(&mut self, mode: Mode) {
        self.reached.wait_for(|reached| *reached == mode).await.expect("the proxy can listen on its port");
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Proxy {
    port: u16,
    targets: watch::Receiver<u16>,
    requested: watch::Receiver<Mode>,
    reached: watch::Sender<Mode>,
    trap: Trap,
}

impl Proxy {
    /// One turn for each time that it is not cut.
    async fn run(mut self) {
        while self.requested.wait_for(|mode| *mode != Mode::Cut).await.is_ok() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.expect("the port is reserved");
            let mut connections = JoinSet::new();
            let (mut current, mut held, mut lost) = (watch::Sender::new(OPEN), Vec::new(), Vec::new());
            self.requested.mark_changed();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        let modes = current.subscribe();
                        connections.spawn(forward(client, *self.targets.borrow(), modes, self.trap.clone()));
                    },
                    changed = self.requested.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let mode = *self.requested.borrow_and_update();
                        match mode {
                            Mode::Cut => break,
                            Mode::Lost => lost.push(set_aside(&mut current)),
                            Mode::Held => held.push(set_aside(&mut current)),
                            Mode::Open(_) | Mode::Deaf | Mode::Paused => {
                                for modes in held.iter().chain([&current]) {
                                    modes.send_replace(mode);
                                }
                            }
                        }
                        self.reached.send_replace(mode);
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
            drop(listener);
            connections.shutdown().await;
            self.reached.send_replace(Mode::Cut);
        }
    }
}

/// The modes of the connections that are there, paused; those to come get an open one.
fn set_aside(current: &mut watch::Sender<Mode>) -> watch::Sender<Mode> {
    current.send_replace(Mode::Paused);
    std::mem::replace(current, watch::Sender::new(OPEN))
}

async fn forward(client: TcpStream, target: u16, mode: watch::Receiver<Mode>, trap: Trap) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let ((client_read, client_write), (server_read, server_write)) = (client.into_split(), server.into_split());
    tokio::join!(
        pump(client_read, server_write, mode.clone(), Direction::ToServer(trap)),
        pump(server_read, client_write, mode, Direction::ToClient),
    );
}

enum Direction {
    ToServer(Trap),
    ToClient,
}

impl Direction {
    /// How much later bytes flow in a mode; none if they don't.
    fn late_by(&self, mode: Mode) -> Option<Duration> {
        match (mode, self) {
            (Mode::Open(by), _) => Some(by),
            (Mode::Deaf, Self::ToServer(_)) => Some(Duration::ZERO),
            (Mode::Deaf | Mode::Paused | Mode::Lost | Mode::Held | Mode::Cut, _) => None,
        }
    }
}

/// Copies one direction until it ends, holding back whatever arrives while it is not open.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>, direction: Direction) {
    let mut buffer = vec![0; 16 * 1024];
    let mut sent = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !until_open(&mut mode, &direction).await {
            return;
        }
        let mut passing = &buffer[..length];
        if let Direction::ToServer(trap) = &direction {
            let before = sent.len();
            sent.extend_from_slice(passing);
            match trap.springs(&sent) {
                Some((place, Mode::Cut)) => {
                    passing = &passing[..place.saturating_sub(before)];
                    // Whether the server still takes them or not, it is cut off.
                    to.write_all(passing).await.ok();
                    trap.wanted.send_replace(Mode::Cut);
                    return;
                }
                Some((_, Mode::Paused)) => {
                    trap.wanted.send_replace(Mode::Paused);
                    let is_paused = mode.wait_for(|mode| *mode == Mode::Paused).await.is_ok();
                    if !is_paused || !until_open(&mut mode, &direction).await {
                        return;
                    }
                }
                Some((_, mode)) => drop(trap.wanted.send_replace(mode)),
                None => {}
            }
            sent.drain(..sent.len().saturating_sub(trap.memory()));
        }
        if to.write_all(passing).await.is_err() {
            return;
        }
    }
    // The end of the stream is news, too: it has to wait like bytes. Dropping `to` passes it on.
    until_open(&mut mode, &direction).await;
}

/// Waits for as long as bytes of this direction have to; false if the proxy is gone.
async fn until_open(mode: &mut watch::Receiver<Mode>, direction: &Direction) -> bool {
    loop {
        let Ok(open) = mode.wait_for(|mode| direction.late_by(*mode).is_some()).await.map(|mode| *mode) else {
            return false;
        };
        let by = direction.late_by(open).unwrap_or_default();
        if by.is_zero() {
            return true;
        }
        match timeout(by, mode.changed()).await {
            Ok(Ok(())) => {} // another mode counts at once
            Ok(Err(_)) => return false,
            Err(_) => return true,
        }
    }
}
