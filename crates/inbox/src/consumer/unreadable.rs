//! Messages whose headers the client can't read: it drops the connection over each, or its task panics, whenever the broker
//! delivers one (nats.rs issue 1572). They are found among what was delivered and not answered, read by sequence in an
//! answer whose own headers are the broker's, kept whole in `inbox_dead` and termed.
//!
//! Checked when the process attaches after a start or a lost connection, so such a message costs one reconnect.
//! What the lost connection had brought with it is sent back, rather than waited for until the end of the ack wait.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::attachment::Attached;
use super::faults::Fault;
use super::stored;
use crate::handler::Handler;
use crate::process::Process;
use crate::source::Source;

/// Sequences that are read from each end of what is not answered.
const WINDOW: u64 = 4096;
const READS: usize = 16;
const TIME_MAX: Duration = Duration::from_secs(10);

/// Finds and settles them; returns how many there were. Gives up quietly: a fault of the broker shows elsewhere.
pub(super) async fn settle_all<H: Handler>(
    client: &Client,
    attached: &Attached,
    process: &Process<H>,
) -> Result<usize, Fault> {
    let source = &process.inbox.source;
    let info = attached.stream.consumer_info(&source.consumer).await.map_err(|error| {
        tracing::debug!(%error, "asking for the consumer failed");
        Fault::BrokerUnreachable
    })?;
    if info.num_ack_pending == 0 {
        return Ok(0);
    }
    let (floor, end) = (info.ack_floor.stream_sequence + 1, info.delivered.stream_sequence);
    let near_floor = floor..=end.min(floor + WINDOW);
    let near_end = (*near_floor.end() + 1).max(end.saturating_sub(WINDOW))..=end;
    let reads = stream::iter(near_floor.chain(near_end)).map(|sequence| stored::get(client, &source.stream, sequence));
    let mut reads = reads.buffered(READS);
    let (mut readable, mut found) = (Vec::new(), 0);
    let reading = async {
        while let Some(message) = reads.next().await {
            let Ok(Some(stored::Stored { message, fault })) = message else { continue };
            match fault {
                None => readable.push(message.stream_sequence),
                Some(fault) => {
                    process.keep_dead(attached.reading, &message, &format!("unreadable headers: {fault}")).await?;
                    answer(client, source, message.stream_sequence, info.delivered.consumer_sequence, "+TERM").await;
                    found += 1;
                }
            }
        }
        Ok::<(), sqlx::Error>(())
    };
    match tokio::time::timeout(TIME_MAX, reading).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = runtime::telemetry::chain(&error), "keeping an unreadable message failed");
            return Err(Fault::DatabaseUnavailable);
        }
    }
    if found > 0 {
        tracing::warn!(found, "messages that the client can't read are dead");
        for sequence in readable {
            answer(client, source, sequence, info.delivered.consumer_sequence, "-NAK").await;
        }
    }
    Ok(found)
}

/// Answers for a message that never arrived here. The broker goes by the sequence; the rest only has to be plausible.
async fn answer(client: &Client, source: &Source, sequence: u64, delivered: u64, kind: &'static str) {
    let subject = format!("$JS.ACK.{}.{}.1.{sequence}.{delivered}.0.0", source.stream, source.consumer);
    if let Err(error) = client.publish(subject, Bytes::from_static(kind.as_bytes())).await {
        tracing::warn!(%error, "answering the broker failed; the message will be delivered again");
    }
}
