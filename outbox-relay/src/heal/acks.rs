//! The stream's sequences in the PubAcks that were settled, and up to where the rest of it is accounted for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use schema::sequence::StreamSeq;

/// The stream's sequences in the PubAcks that were settled; a clone is the same.
///
/// One sequence of a batch is noted, its last event's: a stream that lost fewer messages than the next batch has is not given
/// away by it. It need not be. What takes acknowledged messages from a stream is a new run of its server, or in a cluster the
/// loss of what a quorum had, and with both comes another server or leader, whose sign has the newest events compared. In a
/// cluster, too, no sequence is given out twice without a loss: a new leader has all that was acknowledged. What is left to
/// this one is a server that does not say since when it leads (before 2.12), if it lost and regained that between two checks.
#[derive(Clone, Debug, Default)]
pub struct Acks(Arc<AckedSoFar>);

#[derive(Debug, Default)]
struct AckedSoFar {
    highest: AtomicU64,
    is_repeated: AtomicBool,
    accounted: Mutex<Accounted>,
}

/// Up to where what the stream holds is settled, in the database that was reached at so many lost connections.
#[derive(Debug, Default)]
struct Accounted {
    stream_seq: StreamSeq,
    doubts: u64,
}

impl Acks {
    /// What the stream holds up to a sequence is settled, and no connection was lost since there were so many lost.
    pub fn accounted(&self, stream_seq: StreamSeq, doubts: u64) {
        *self.0.accounted.lock().unwrap_or_else(PoisonError::into_inner) = Accounted { stream_seq, doubts };
    }

    /// Up to where what the stream holds needs no second reading: an attach that was broken off goes on from there, unless the
    /// database may be another one.
    pub fn accounted_to(&self, doubts: u64) -> StreamSeq {
        let accounted = self.0.accounted.lock().unwrap_or_else(PoisonError::into_inner);
        if accounted.doubts == doubts { accounted.stream_seq } else { StreamSeq::ZERO }
    }

    /// Notes one sequence of a batch that was published after all batches noted before.
    pub fn note(&self, stream_seq: StreamSeq) {
        if stream_seq.0 <= self.0.highest.fetch_max(stream_seq.0, Ordering::Relaxed) {
            self.0.is_repeated.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn highest(&self) -> StreamSeq {
        StreamSeq(self.0.highest.load(Ordering::Relaxed))
    }

    /// Whether one was not above those before it.
    pub(super) fn is_repeated(&self) -> bool {
        self.0.is_repeated.load(Ordering::Relaxed)
    }

    /// What was noted is dealt with, or of another tenure.
    pub fn forget(&self) {
        self.0.highest.store(0, Ordering::Relaxed);
        self.0.is_repeated.store(false, Ordering::Relaxed);
        self.accounted(StreamSeq::ZERO, 0);
    }
}
