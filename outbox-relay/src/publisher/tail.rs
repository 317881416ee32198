//! The end of the stream: what was stored since it was last accounted for, and whose it is.

use futures::{StreamExt, TryStreamExt, stream};

use super::look::StreamNow;
use super::stored::Stored;
use super::{Outage, Publisher};

/// Fewer messages than this are asked for one by one: a consumer is not worth its making.
const BULK_FROM: u64 = 16;
/// Messages read by one consumer.
const PIECE: u64 = 20_000;
/// The server that a consumer runs on may be so far behind the leader; the leader is asked for the rest.
const BEHIND_MAX: u64 = 1_000;
/// Look-ups at once.
const LOOK_UPS_MAX: usize = 64;

impl Publisher {
    /// Accounts for what is stored above a sequence, at the attach: the messages with a dedup id, wherever they came from.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn account_from(&self, stream_seq: u64) -> Result<Vec<Stored>, Outage> {
        let now = self.look().await?;
        self.fence.looked(stream_seq.min(now.last_seq));
        self.account_for(&now).await
    }

    /// Accounts for what was stored since the last time.
    ///
    /// # Errors
    /// If the broker is away or refuses, or if the stream ends before what it acknowledged: that is for the watcher to see to.
    pub(super) async fn catch_up(&self) -> Result<Vec<Stored>, Outage> {
        let (known, now) = (self.fence.last(), self.look().await?);
        if now.last_seq < known {
            let end = now.last_seq;
            return Err(Outage(format!("the stream ends with message {end}, and had acknowledged message {known}")));
        }
        self.account_for(&now).await
    }

    async fn account_for(&self, now: &StreamNow) -> Result<Vec<Stored>, Outage> {
        let mut found = Vec::new();
        let mut after = self.fence.last().max(now.first_seq.saturating_sub(1));
        while now.messages > 0 && after < now.last_seq {
            let last = now.last_seq.min(after + PIECE);
            found.extend(self.stored_between(after, last).await?);
            after = last;
        }
        self.fence.looked(now.last_seq);
        Ok(found)
    }

    async fn stored_between(&self, after: u64, last: u64) -> Result<Vec<Stored>, Outage> {
        if last - after < BULK_FROM {
            return self.ask(after, last).await;
        }
        let (mut found, reached) = self.read_to(after + 1, last).await?;
        if last - reached.min(last) > BEHIND_MAX {
            return Err(Outage(format!("messages {reached} to {last} can't be read yet")));
        }
        found.extend(self.ask(reached.min(last), last).await?);
        Ok(found)
    }

    /// Asks the leader for each.
    async fn ask(&self, after: u64, last: u64) -> Result<Vec<Stored>, Outage> {
        stream::iter(after + 1..=last)
            .map(async |stream_seq| {
                let message = self.stored_at(stream_seq).await?;
                Ok(message.map(|message| Stored { msg_id: message.msg_id, stream_seq }))
            })
            .buffered(LOOK_UPS_MAX)
            .try_filter_map(async |message| Ok(message))
            .try_collect()
            .await
    }
}
