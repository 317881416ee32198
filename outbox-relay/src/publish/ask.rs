//! What the stream holds already, asked of its leader message by message.
//!
//! A follower may be behind, and an answer from it would have us publish again what is there, or believe what is not. So
//! nothing is read through a consumer, whose server may be one, and which a limit on consumers can refuse. Many questions are
//! under way at once. A message whose headers no client can read is read all the same: of its bytes, its dedup id is all that counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use schema::sequence::StreamSeq;
use serde::Deserialize;

use super::stored::{StoredAt, msg_id};
use super::{Outage, Publisher};
use crate::event::Event;

/// Questions at once: far fewer than a server keeps waiting before it drops them all (10,000).
pub(super) const LOOK_UPS_MAX: usize = 256;
/// The server's code for a place where no message is.
const NO_MESSAGE: u64 = 10037;

/// What the server answers, as far as it matters.
#[derive(Deserialize)]
struct Answer {
    message: Option<Raw>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Raw {
    /// In base64.
    #[serde(default)]
    hdrs: String,
    time: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Refusal {
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Publisher {
    /// Whether the stream's message at this sequence is the event.
    pub(super) async fn holds(&self, sequence: StreamSeq, event: &Event) -> Result<bool, Outage> {
        Ok(self.stored_at(sequence).await?.is_some_and(|message| message.msg_id == event.msg_id()))
    }

    /// The stream's message at this sequence, if there is one; by its leader's word.
    ///
    /// # Errors
    /// If the broker is away or refuses.
    pub async fn stored_at(&self, sequence: StreamSeq) -> Result<Option<StoredAt>, Outage> {
        let away = |error: &dyn std::fmt::Display| Outage(format!("fetching message {sequence}: {error}"));
        let subject = format!("STREAM.MSG.GET.{}", self.stream);
        let question = serde_json::json!({ "seq": sequence });
        let answer: Answer = self.context.request(subject, &question).await.map_err(|error| away(&error))?;
        match answer {
            Answer { message: Some(Raw { hdrs, time }), .. } => {
                let headers = STANDARD.decode(hdrs).map_err(|error| away(&error))?;
                let stored_at = DateTime::from_timestamp_micros(time.timestamp_micros());
                Ok(Some(StoredAt { msg_id: msg_id(&headers), stored_at }))
            }
            Answer { error: Some(Refusal { err_code: NO_MESSAGE, .. }), .. } => Ok(None),
            Answer { error: Some(Refusal { description, .. }), .. } => Err(away(&description)),
            Answer { error: None, .. } => Err(away(&"the answer has no message")),
        }
    }
}
