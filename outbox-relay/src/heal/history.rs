//! What is compared while publishing goes on, a piece at each check, newest first.
//!
//! Before the first check, and after `stream forget`, nothing is remembered that a sign could be compared with: what was published
//! until then is compared once, so another stream gets what it lacks. And a sign that messages went missing does not say which: what was not proven is compared at once, and the rest,
//! which may be a week's events, here. What is missing there is a sign like any other, and has what was published before it
//! compared at once. Nothing is proven or purged meanwhile.

use schema::sequence::{Seq, StreamSeq};

use super::sign::Sign;
use super::watcher::{NEWEST, WatchError, Watcher};
use crate::lease::Tenure;
use crate::publish::stream_now::StreamNow;
use crate::store::relay_stream::StreamRow;

/// What a piece showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// It is in the stream, as was what came after it; compare what was published up to here next.
    UpTo(Seq),
    /// All of it is in the stream.
    Whole,
    /// Something is missing.
    Lost,
}

/// Up to where the outbox is still to be compared piece by piece, after a check.
pub(super) fn next(sign: Option<Sign>, history: Option<Seq>, proven_seq: StreamSeq) -> Option<Seq> {
    match sign {
        None => history,
        // What is not proven was compared at once: all there is.
        Some(Sign::History) => None,
        Some(_) if proven_seq == StreamSeq::ZERO => None,
        Some(sign) if sign.doubts_proven() => Some(NEWEST),
        Some(_) => history,
    }
}

impl Watcher {
    /// Compares a piece further: the sign if something is missing, and up to where it is still to be compared. What a weak sign
    /// puts in doubt is a part of it, so that begins again.
    pub(super) async fn history(
        &self,
        tenure: &Tenure,
        known: &StreamRow,
        now: &StreamNow,
        sign: Option<Sign>,
    ) -> Result<(Option<Sign>, Option<Seq>), WatchError> {
        let is_first = known.created_at.is_none();
        let Some(last) = known.history_seq.or(is_first.then_some(NEWEST)) else { return Ok((sign, None)) };
        let last = match sign {
            None => last,
            Some(sign) if sign.is_weak() => {
                self.acks.forget();
                NEWEST
            }
            Some(_) => return Ok((sign, Some(last))),
        };
        Ok(match self.compare_piece(tenure, now, last).await? {
            Piece::Whole => {
                tracing::info!("the stream has all that was published before");
                (None, None)
            }
            Piece::UpTo(next) => {
                if last == NEWEST {
                    tracing::info!("comparing what was published before with the stream, bit by bit");
                }
                (None, Some(next))
            }
            Piece::Lost => (Some(Sign::History), Some(last)),
        })
    }

    /// Compares the next piece of what was published up to `last`. Changes nothing.
    async fn compare_piece(&self, tenure: &Tenure, now: &StreamNow, mut last: Seq) -> Result<Piece, WatchError> {
        let Some(doubtful) = self.window(tenure, &mut last, now, StreamSeq::ZERO).await? else {
            return Ok(Piece::Whole);
        };
        let is_lost = !self.missing(doubtful, now).await?.is_empty();
        Ok(if is_lost { Piece::Lost } else { Piece::UpTo(last) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_proven_is_compared_after_a_sign_that_does_not_say_what_is_missing() {
        assert_eq!(next(Some(Sign::Deleted), None, StreamSeq(7)), Some(NEWEST));
        assert_eq!(next(Some(Sign::Deleted), Some(Seq(5)), StreamSeq::ZERO), None, "all of it was compared");
        assert_eq!(next(Some(Sign::Server), Some(Seq(5)), StreamSeq(7)), Some(Seq(5)));
        assert_eq!(next(Some(Sign::History), Some(Seq(5)), StreamSeq(7)), None);
        assert_eq!(next(None, Some(Seq(5)), StreamSeq::ZERO), Some(Seq(5)));
    }
}
