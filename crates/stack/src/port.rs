//! Ports on the loopback interface: is one free, and which one may a test have.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::bail;
use uuid::Uuid;

/// Below the range from which Linux takes the ports of outgoing connections: a server that is down for a moment can't
/// lose its port to one of those.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A TCP port of 127.0.0.1 that is ours while this lives, also among test processes that run at the same time.
///
/// The reservation is the UDP port of the same number, which nothing here uses otherwise.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// # Panics
    /// If none is found among a thousand.
    #[must_use]
    pub fn reserve() -> Port {
        let random = Uuid::now_v7().as_u128();
        for attempt in 0..1_000_u128 {
            let offset = u16::try_from((random.wrapping_add(attempt * 7)) % u128::from(COUNT)).expect("below COUNT");
            let number = FIRST + offset;
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if is_free(number) {
                return Port { number, _reservation: reservation };
            }
        }
        panic!("no free port among {FIRST} to {}", FIRST + COUNT);
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Whether a server could listen on this port of 127.0.0.1 now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    listen(port).is_ok()
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// A port that somebody configured: what for, its number and the setting that changes it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Who is going to listen there.
    pub owner: &'static str,
    /// The port.
    pub number: u16,
    /// The environment variable to choose another.
    pub setting: &'static str,
}

/// Checks that all these ports can be listened on and differ.
///
/// # Errors
/// One line that names the first port that can't, its owner and what to do.
pub fn check(wanted: &[Wanted]) -> anyhow::Result<()> {
    for (index, want) in wanted.iter().enumerate() {
        let Wanted { owner, number, setting } = *want;
        if let Some(other) = wanted[..index].iter().find(|other| other.number == number) {
            bail!("port {number} is meant for both {} and {owner}: change {} or {setting}", other.owner, other.setting);
        }
        match listen(number) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bail!("port {number} for {owner} is in use: stop what listens there or set {setting} to another port")
            }
            Err(error) => bail!("port {number} for {owner} can't be used ({error}): set {setting} to another port"),
        }
    }
    Ok(())
}
