//! The end of the stream: what was stored since it was last accounted for, and whose it is.

use futures::{StreamExt, TryStreamExt, stream};
use schema::sequence::StreamSeq;

use super::ask::LOOK_UPS_MAX;
use super::stored::Stored;
use super::{Outage, Publisher};

/// Messages that are read in one piece.
const PIECE: u64 = 4_000;

impl Publisher {
    /// Begins to account for what is stored above a sequence, at the attach: the messages with a dedup id, wherever they came
    /// from.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn attach(&self, stream_seq: StreamSeq) -> Result<(), Outage> {
        let now = self.stream_now().await?;
        self.fence.attach(stream_seq.max(now.first_seq.previous()), now.last_seq, &now.server);
        let messages = now.last_seq.distance_from(self.fence.last());
        if messages > PIECE {
            tracing::info!(messages, "reading what others stored in the stream since the last settled event");
        }
        Ok(())
    }

    /// Accounts for the next piece of what the stream had at the attach; none when all of it is accounted for.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn account_on(&self) -> Result<Option<Vec<Stored>>, Outage> {
        let (after, end) = (self.fence.last(), self.fence.attached_end());
        if after >= end {
            return Ok(None);
        }
        let last = end.min(after.plus(PIECE));
        let found = self.stored_between(after, last).await?;
        self.fence.checked(last);
        Ok(Some(found))
    }

    /// Up to which sequence the stream is accounted for.
    pub fn accounted_to(&self) -> StreamSeq {
        self.fence.last()
    }

    /// Accounts for what was stored since the last time, as far as any of it can be a relay's.
    ///
    /// # Errors
    /// If the broker is away or refuses; if the stream ends before what it acknowledged, which is for the watcher to see to; if
    /// another server speaks for it than at the attach, which is to be made again.
    pub(super) async fn catch_up(&self) -> Result<Vec<Stored>, Outage> {
        let (known, now) = (self.fence.last(), self.stream_now().await?);
        if now.last_seq < known {
            let end = now.last_seq;
            return Err(Outage(format!("the stream ends with message {end}, and had acknowledged message {known}")));
        }
        if self.fence.is_closed() {
            self.fence.checked(now.last_seq);
            return Ok(Vec::new());
        }
        let Some(reach) = self.fence.reach(&now.server) else {
            return Err(Outage("the stream is led by another server than before".to_owned()));
        };
        let last = reach.min(now.last_seq);
        let found = self.stored_between(known.max(now.first_seq.previous()), last).await?;
        self.fence.checked(last);
        if now.last_seq > reach {
            self.fence.outgrown(now.last_seq);
        }
        Ok(found)
    }

    /// The messages above a sequence and up to another one, by the leader's word.
    pub(super) async fn stored_between(&self, after: StreamSeq, last: StreamSeq) -> Result<Vec<Stored>, Outage> {
        stream::iter(after.next().0..=last.0)
            .map(async |stream_seq| {
                let stream_seq = StreamSeq(stream_seq);
                let message = self.stored_at(stream_seq).await?;
                Ok(message.map(|message| Stored { msg_id: message.msg_id, stream_seq }))
            })
            .buffered(LOOK_UPS_MAX)
            .try_filter_map(async |message| Ok(message))
            .try_collect()
            .await
    }
}
