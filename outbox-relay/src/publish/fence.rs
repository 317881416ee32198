//! The fence: where the stream ends, as far as this relay knows, and how far it dares to go on from there.
//!
//! Each publish says what it takes the stream's last sequence to be ([`Expected`]), and the broker refuses it if that is not
//! so. The relay is the only regular publisher of its stream, so the numbers come true; and whatever a relay that is not
//! active any more had queued, sent or held in a network is refused, because its successor took the stream further
//! (`what_a_network_held_back_is_refused_when_it_arrives_after_a_takeover`).
//!
//! The number alone would not keep the order of single publishes that are under way together: a stranger's message takes the
//! place of the first, which is refused, and all behind it find the number that they expect. So each of them names the
//! message before it as well (`nothing_overtakes_beside_a_foreign_publisher`).
//!
//! What others store in between costs a refusal. While refusals repeat, less and less is published at once: down to single
//! events, each of which goes out again with the number that the refusal told.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_nats::header::{HeaderMap, HeaderName};

const LAST_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const LAST_MSG_ID: HeaderName = HeaderName::from_static("Nats-Expected-Last-Msg-Id");

/// Events under way at once, at most.
pub const BURST_MAX: usize = 1_000;

/// What one attach to the stream knows of its end.
#[derive(Debug)]
pub struct Fence {
    last: AtomicU64,
    /// Whether anything of ours was stored behind what the attach had seen: from then on nothing that another relay had on its
    /// way before can be stored, because all of it expects an earlier end.
    is_closed: AtomicBool,
    burst: AtomicUsize,
}

impl Fence {
    /// The stream is accounted for up to a sequence.
    pub fn at(last: u64) -> Self {
        Self { last: AtomicU64::new(last), is_closed: AtomicBool::new(false), burst: AtomicUsize::new(BURST_MAX) }
    }

    /// The sequence up to which the stream is accounted for.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// How many events may be under way at once.
    pub fn burst(&self) -> usize {
        self.burst.load(Ordering::Relaxed)
    }

    /// So many events were stored, the last of them at this sequence.
    pub fn stored(&self, last: u64, events: usize) {
        self.last.store(last, Ordering::Relaxed);
        self.is_closed.store(true, Ordering::Relaxed);
        self.burst.store((self.burst() + 2 * events).min(BURST_MAX), Ordering::Relaxed);
    }

    /// What others stored up to this sequence was looked at.
    pub fn looked(&self, last: u64) {
        self.last.store(last, Ordering::Relaxed);
    }

    /// A refusal, which told where the stream ends, or did not: whether that alone is enough to go on.
    pub fn refused(&self, told: Option<u64>) -> bool {
        self.burst.store((self.burst() / 2).max(1), Ordering::Relaxed);
        match told.filter(|told| self.is_closed.load(Ordering::Relaxed) && *told > self.last()) {
            Some(told) => {
                self.looked(told);
                true
            }
            None => false,
        }
    }
}

/// How the stream has to end for a message to be stored.
#[derive(Debug)]
pub struct Expected {
    last: u64,
    /// The message before it, if that is under way.
    msg_id: Option<String>,
}

impl Expected {
    /// After this sequence.
    pub fn after(last: u64) -> Self {
        Self { last, msg_id: None }
    }

    /// What the message after the one with this id has to expect.
    pub fn follow(&mut self, msg_id: String) {
        self.last += 1;
        self.msg_id = Some(msg_id);
    }

    /// Says so in the headers of a message.
    pub fn insert(&self, headers: &mut HeaderMap) {
        headers.insert(LAST_SEQUENCE, self.last.to_string());
        if let Some(msg_id) = &self.msg_id {
            headers.insert(LAST_MSG_ID, msg_id.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_gone_on_from_without_a_look_only_once_something_of_ours_was_stored() {
        let fence = Fence::at(10);
        assert!(!fence.refused(Some(12)), "the one between may be ours, from an earlier tenure");
        fence.looked(12);
        fence.stored(13, 1);
        assert!(!fence.refused(None));
        assert!(!fence.refused(Some(12)), "the stream does not shrink by itself");
        assert!(fence.refused(Some(20)));
        assert_eq!(fence.last(), 20);
    }

    #[test]
    fn refusals_make_bursts_small_and_what_is_stored_makes_them_large_again() {
        let fence = Fence::at(0);
        for _ in 0..20 {
            fence.refused(None);
        }
        assert_eq!(fence.burst(), 1);
        let mut last = 0;
        for _ in 0..10 {
            last += fence.burst() as u64;
            fence.stored(last, fence.burst());
        }
        assert_eq!(fence.burst(), BURST_MAX);
    }
}
