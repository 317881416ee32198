//! The end of the stream: what was stored since it was last accounted for, and whose it is.

use futures::{StreamExt, TryStreamExt, stream};

use super::look::StreamNow;
use super::stored::{LOOK_UPS_MAX, Stored};
use super::{Outage, Publisher};

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
        let after = self.fence.last().max(now.first_seq.saturating_sub(1));
        let found = self.stored_between(after, now.last_seq).await?;
        self.fence.looked(now.last_seq);
        Ok(found)
    }

    /// The messages above a sequence and up to another one, by the leader's word.
    pub(super) async fn stored_between(&self, after: u64, last: u64) -> Result<Vec<Stored>, Outage> {
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
