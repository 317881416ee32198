//! Whether messages stand where they were acknowledged.
//!
//! Each is asked of the leader, whose word alone may have an event published again. What is asked for takes memory, not what
//! stands between.

use futures::{StreamExt, TryStreamExt, stream};
use schema::sequence::{Seq, StreamSeq};

use super::ask::LOOK_UPS_MAX;
use super::{Outage, Publisher};

/// An event and where it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: Seq,
    pub stream_seq: StreamSeq,
    pub msg_id: String,
}

/// An event that is not where it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub seq: Seq,
    /// Whether another message stands there, and not none.
    pub is_replaced: bool,
}

impl Publisher {
    /// Which of these events are not at their place.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn misplaced(&self, places: Vec<Place>) -> Result<Vec<Misplaced>, Outage> {
        stream::iter(places)
            .map(|place| async move {
                let stored = self.stored_at(place.stream_seq).await?;
                Ok(match stored {
                    Some(stored) if stored.msg_id == place.msg_id => None,
                    stored => Some(Misplaced { seq: place.seq, is_replaced: stored.is_some() }),
                })
            })
            .buffer_unordered(LOOK_UPS_MAX)
            .try_filter_map(|misplaced| std::future::ready(Ok(misplaced)))
            .try_collect()
            .await
    }
}
