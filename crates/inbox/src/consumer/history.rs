//! What the durable consumer will not bring, read beside it: after a restore, after somebody else's hand, or by an operator's word.
//!
//! New events go on meanwhile. The messages are asked for by sequence, without a consumer of their own: that needs no right
//! more, leaves nothing behind at the broker, and works where no further consumer may be made. One process reads at a time,
//! under a lease; it works in batches, each followed by a pause as long. What was read is noted as always, so that whoever
//! comes next goes on there. A sequence that the stream does not hold is noted, too, and counted as gone.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_nats::Client;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use uuid::Uuid;

use super::Consumer;
use super::examination::database;
use super::faults::Fault;
use super::stored;
use crate::handler::Handler;
use crate::message::Message;
use crate::position;
use crate::store::inbox_position;
use crate::store::inbox_read::Run;

/// Messages asked for at once.
const REQUESTS_MAX: usize = 32;
/// In one transaction.
const BATCH_MAX: u16 = 256;
/// The longest that a process which died keeps others from history.
const LEASE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl<H: Handler> Consumer<H> {
    /// Reads what is lost, again and again as more is found. Never returns.
    pub(super) async fn read_history(&self, reading: Uuid, mut lost: watch::Receiver<Vec<RangeInclusive<u64>>>) {
        // The name of this process in the lease.
        let reader = Uuid::now_v7();
        // A message whose effect the database refuses has no delivery count here: the rounds in which it was first are one.
        let (mut first, mut rounds) = (0, 0);
        loop {
            let ranges = lost.borrow_and_update().clone();
            if let Some(range) = ranges.first() {
                rounds = if *range.start() == first { rounds + 1 } else { 1 };
                first = *range.start();
                match self.read_all(reading, reader, ranges).await {
                    Ok(()) => {}
                    Err(fault) => tracing::debug!(fault = fault.code(), "reading history stopped, trying again"),
                }
                if let Err(error) = self.leave_history(reader).await {
                    tracing::debug!(%error, "giving the lease of history back failed; it ends by itself");
                }
            }
            if lost.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn leave_history(&self, reader: Uuid) -> sqlx::Result<()> {
        let inbox = &self.process.inbox;
        inbox_position::leave_history(&inbox.pool, &inbox.source, reader).await
    }

    async fn read_all(&self, reading: Uuid, reader: Uuid, ranges: Vec<RangeInclusive<u64>>) -> Result<(), Fault> {
        let inbox = &self.process.inbox;
        let (mut read, mut gone) = (0, 0);
        for range in ranges {
            let mut next = *range.start();
            while next <= *range.end() && !self.shutdown.is_cancelled() {
                let taken = inbox_position::take_history(&inbox.pool, &inbox.source, reading, reader, LEASE).await;
                if !taken.map_err(|error| database(&error))? {
                    return Ok(());
                }
                let started = Instant::now();
                let part = part(&self.client, &inbox.source.stream, next..=*range.end()).await?;
                next = *part.range.end() + 1;
                read += part.messages.len();
                gone += self.read_part(reading, part).await?;
                tokio::time::sleep(started.elapsed().min(PAUSE_MAX)).await;
            }
        }
        if gone > 0 {
            tracing::error!(gone, "the stream dropped messages before they were read; they have no effect here");
        }
        tracing::info!(read, "history was read");
        Ok(())
    }

    /// Processes a part of the stream; how many messages of it are gone.
    async fn read_part(&self, reading: Uuid, part: Part) -> Result<u64, Fault> {
        let missing = missing(&part.range, &part.messages);
        let inbox = &self.process.inbox;
        let batch = inbox.batch(reading, part.messages);
        self.process_patiently(&batch).await;
        self.count(&batch);
        if missing.is_empty() {
            return Ok(0);
        }
        let gone = position::add_gone(&inbox.pool, &inbox.source, reading, &missing).await;
        gone.map_err(|error| database(&error))
    }
}

/// A part of the stream, and what it holds of it.
struct Part {
    range: RangeInclusive<u64>,
    messages: Vec<Message>,
}

/// The next messages of a range. What the stream does not hold in front of them costs one request, however much it is.
async fn part(client: &Client, source: &str, range: RangeInclusive<u64>) -> Result<Part, Fault> {
    let next = stored::next(client, source, *range.start()).await?.map(|stored| stored.message);
    let next = next.filter(|next| range.contains(&next.stream_sequence));
    let Some(next) = next else { return Ok(Part { range, messages: Vec::new() }) };
    let end = (*range.end()).min(next.stream_sequence + u64::from(BATCH_MAX) - 1);
    let rest = stream::iter(next.stream_sequence + 1..=end).map(|sequence| stored::get(client, source, sequence));
    let rest: Vec<_> = rest.buffered(REQUESTS_MAX).try_collect().await?;
    let messages = std::iter::once(next).chain(rest.into_iter().flatten().map(|stored| stored.message)).collect();
    Ok(Part { range: *range.start()..=end, messages })
}

/// The sequences of a range without a message.
fn missing(range: &RangeInclusive<u64>, messages: &[Message]) -> Vec<Run> {
    let mut missing = Vec::new();
    let mut next = *range.start();
    let ends = messages.iter().map(|message| message.stream_sequence).chain([range.end() + 1]);
    for end in ends {
        if next < end {
            missing.push(Run { from: next, to: end - 1, mark: None });
        }
        next = end + 1;
    }
    missing
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;

    #[test]
    fn what_stands_between_the_messages_is_missing() {
        let message = |stream_sequence| Message {
            subject: String::new(),
            headers: Vec::new(),
            payload: Bytes::new(),
            stream_sequence,
            stored_at: DateTime::UNIX_EPOCH,
            deliveries: 1,
        };
        let run = |from, to| Run { from, to, mark: None };
        assert_eq!(missing(&(3..=9), &[message(3), message(6), message(7)]), [run(4, 5), run(8, 9)]);
        assert_eq!(missing(&(3..=9), &[]), [run(3, 9)]);
        assert_eq!(missing(&(3..=4), &[message(3), message(4)]), []);
    }
}
