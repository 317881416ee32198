//! What a proxy does with bytes, and the bytes that change it.

use std::time::Duration;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Bytes flow, each piece this much later.
    Open(Duration),
    /// Bytes flow to the server only.
    Deaf,
    /// Connections stay, and new ones are taken, but no byte passes.
    Paused,
    /// Connections that were there stay, but no byte passes any more; new ones are open.
    Lost,
    /// Connections that were there stay, and their bytes wait; new ones are open.
    Held,
    /// Connections are closed and new ones refused.
    Cut,
}

pub(super) const OPEN: Mode = Mode::Open(Duration::ZERO);

/// The bytes at which the mode changes; none if there are none.
#[derive(Clone, Debug)]
pub(super) struct Trap {
    pub(super) bytes: watch::Sender<(Vec<u8>, Mode)>,
    pub(super) wanted: watch::Sender<Mode>,
}

impl Trap {
    /// Whether these bytes are in what a client sends, where, and what follows. Then it is sprung.
    pub(super) fn springs(&self, sent: &[u8]) -> Option<(usize, Mode)> {
        let (bytes, mode) = self.bytes.borrow().clone();
        let place = sent.windows(bytes.len().max(1)).position(|window| window == bytes)?;
        self.bytes.send_replace((Vec::new(), mode));
        Some((place, mode))
    }

    /// How much of what was sent must be remembered: the bytes may come in pieces.
    pub(super) fn memory(&self) -> usize {
        self.bytes.borrow().0.len().saturating_sub(1)
    }
}
