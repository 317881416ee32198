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
//!
//! That number is enough once the fence is closed: nothing that another relay had on its way at the attach can be stored any
//! more. It closes when something of ours is stored, or when others took the stream further than such a message may expect.
//! So a stranger who never rests doesn't keep a relay from its first event (`a_fresh_attach_publishes_beside_a_foreign_publisher_that_never_rests`):
//! what has to be read of the stream before is bounded.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_nats::header::{HeaderMap, HeaderName};
use schema::sequence::StreamSeq;

const LAST_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const LAST_MSG_ID: HeaderName = HeaderName::from_static("Nats-Expected-Last-Msg-Id");

/// Events under way at once, at most.
pub const BURST_MAX: usize = 1_000;

/// What one attach to the stream knows of its end.
#[derive(Debug)]
pub struct Fence {
    last: AtomicU64,
    /// Whether nothing that another relay had on its way at the attach can be stored any more.
    is_closed: AtomicBool,
    burst: AtomicUsize,
    attached: OnceLock<Attached>,
}

/// The end of the stream at the attach, and by whose word.
#[derive(Debug)]
struct Attached {
    end: StreamSeq,
    server: String,
}

impl Default for Fence {
    /// Nothing is known yet.
    fn default() -> Self {
        Self {
            last: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            burst: AtomicUsize::new(BURST_MAX),
            attached: OnceLock::new(),
        }
    }
}

impl Fence {
    /// The stream ended here when it was attached to; it is accounted for up to an earlier sequence.
    pub fn attach(&self, last: StreamSeq, end: StreamSeq, server: &str) {
        self.checked(last.min(end));
        self.attached.get_or_init(|| Attached { end, server: server.to_owned() });
    }

    /// Where the stream ended at the attach.
    pub fn attached_end(&self) -> StreamSeq {
        self.attached.get().map_or(StreamSeq::ZERO, |attached| attached.end)
    }

    /// The last sequence at which anything can be stored that another relay had on its way at the attach: it knew of no later
    /// end, and behind that it names its own messages one after the other. None if another server speaks for the stream now: the
    /// one before may have been cut off from it, and the end that it told too early.
    pub fn reach(&self, server: &str) -> Option<StreamSeq> {
        let attached = self.attached.get().filter(|attached| attached.server == server)?;
        Some(attached.end.plus(BURST_MAX as u64))
    }

    /// Whether what others store need not be read any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// The stream went on beyond what can be ours, up to this sequence.
    pub fn outgrown(&self, last: StreamSeq) {
        self.checked(last);
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// The sequence up to which the stream is accounted for.
    pub fn last(&self) -> StreamSeq {
        StreamSeq(self.last.load(Ordering::Relaxed))
    }

    /// How many events may be under way at once.
    pub fn burst(&self) -> usize {
        self.burst.load(Ordering::Relaxed)
    }

    /// So many events were stored, the last of them at this sequence.
    pub fn stored(&self, last: StreamSeq, events: usize) {
        self.last.store(last.0, Ordering::Relaxed);
        self.is_closed.store(true, Ordering::Relaxed);
        self.burst.store((self.burst() + 2 * events).min(BURST_MAX), Ordering::Relaxed);
    }

    /// What others stored up to this sequence was checked.
    pub fn checked(&self, last: StreamSeq) {
        self.last.store(last.0, Ordering::Relaxed);
    }

    /// A refusal, which told where the stream ends, or did not: whether that alone is enough to go on.
    pub fn refused(&self, told: Option<StreamSeq>) -> bool {
        self.burst.store((self.burst() / 2).max(1), Ordering::Relaxed);
        match told.filter(|told| self.is_closed() && *told > self.last()) {
            Some(told) => {
                self.checked(told);
                true
            }
            None => false,
        }
    }
}

/// How the stream has to end for a message to be stored.
#[derive(Debug)]
pub struct Expected {
    last: StreamSeq,
    /// The message before it, if that is under way.
    msg_id: Option<String>,
}

impl Expected {
    /// After this sequence.
    pub fn after(last: StreamSeq) -> Self {
        Self { last, msg_id: None }
    }

    /// What the message after the one with this id has to expect.
    pub fn follow(&mut self, msg_id: String) {
        self.last = self.last.next();
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
        let fence = Fence::default();
        fence.attach(StreamSeq(8), StreamSeq(10), "a");
        fence.checked(StreamSeq(10));
        assert!(!fence.refused(Some(StreamSeq(12))), "the one between may be ours, from an earlier tenure");
        fence.checked(StreamSeq(12));
        fence.stored(StreamSeq(13), 1);
        assert!(!fence.refused(None));
        assert!(!fence.refused(Some(StreamSeq(12))), "the stream does not shrink by itself");
        assert!(fence.refused(Some(StreamSeq(20))));
        assert_eq!(fence.last(), StreamSeq(20));
    }

    #[test]
    fn a_stream_that_others_took_beyond_reach_is_gone_on_from_too() {
        let fence = Fence::default();
        fence.attach(StreamSeq(20), StreamSeq(10), "a");
        assert_eq!((fence.last(), fence.attached_end()), (StreamSeq(10), StreamSeq(10)));
        assert_eq!(fence.reach("a"), Some(StreamSeq(10 + BURST_MAX as u64)));
        assert_eq!(fence.reach("b"), None, "the one before may have been cut off");
        assert!(!fence.refused(Some(StreamSeq(5_000))), "what is within reach was not read");
        fence.outgrown(StreamSeq(5_000));
        assert!(fence.refused(Some(StreamSeq(5_002))));
    }

    #[test]
    fn refusals_make_bursts_small_and_what_is_stored_makes_them_large_again() {
        let fence = Fence::default();
        for _ in 0..20 {
            fence.refused(None);
        }
        assert_eq!(fence.burst(), 1);
        let mut last = StreamSeq::ZERO;
        for _ in 0..10 {
            last = last.plus(fence.burst() as u64);
            fence.stored(last, fence.burst());
        }
        assert_eq!(fence.burst(), BURST_MAX);
    }
}
