//! Whether messages stand where they were acknowledged.
//!
//! A consumer reads the bulk; what it did not show is asked of the leader one by one, because the server that a consumer
//! runs on may be behind, and only the leader's word may have an event published again.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::{Outage, Publisher};

/// A consumer is worth its making from so many messages on.
const BULK_FROM: usize = 16;
/// Messages further apart than this are not read as one piece.
const GAP_MAX: u64 = 1_000;
/// Look-ups at once.
const LOOK_UPS_MAX: usize = 64;

/// An event and where it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub stream_seq: u64,
    pub msg_id: String,
}

/// An event that is not where it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub seq: u64,
    /// Whether another message stands there, and not none.
    pub is_replaced: bool,
}

impl Publisher {
    /// Which of these events are not at their place.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn misplaced(&self, places: Vec<Place>) -> Result<Vec<Misplaced>, Outage> {
        let mut doubtful = Vec::new();
        for piece in pieces(places) {
            match &piece[..] {
                [first, .., last] if piece.len() >= BULK_FROM => {
                    let stored = self.read(first.stream_seq, last.stream_seq).await?;
                    let stored: HashMap<u64, String> =
                        stored.into_iter().map(|stored| (stored.stream_seq, stored.msg_id)).collect();
                    doubtful
                        .extend(piece.into_iter().filter(|place| stored.get(&place.stream_seq) != Some(&place.msg_id)));
                }
                _ => doubtful.extend(piece),
            }
        }
        stream::iter(doubtful)
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

/// Cuts the places, in the order of the stream, where there is a wide gap.
fn pieces(mut places: Vec<Place>) -> Vec<Vec<Place>> {
    places.sort_unstable_by_key(|place| place.stream_seq);
    let mut pieces: Vec<Vec<Place>> = Vec::new();
    for place in places {
        match pieces.last_mut() {
            Some(piece) if piece.last().is_some_and(|last| place.stream_seq - last.stream_seq <= GAP_MAX) => {
                piece.push(place);
            }
            _ => pieces.push(vec![place]),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_far_apart_are_not_read_as_one_piece() {
        let place = |stream_seq| Place { seq: 0, stream_seq, msg_id: String::new() };
        let cut = pieces([5_000, 1, 1_001, 2_002].map(place).to_vec());
        let cut: Vec<Vec<u64>> = cut.iter().map(|piece| piece.iter().map(|place| place.stream_seq).collect()).collect();
        assert_eq!(cut, [vec![1, 1_001], vec![2_002], vec![5_000]]);
    }
}
