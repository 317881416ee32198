//! Whose fault a failed publish is.
//!
//! Every kind of error of async-nats and every code that nats-server answers a publish with is decided here. What is not
//! known is the broker's: waiting loses nothing, an attempt that is spent wrongly may kill an event.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use runtime::telemetry::chain;
use schema::sequence::StreamSeq;

use crate::metrics::Publish;
use crate::reason::reason;

/// Whose fault it is, with the reason.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The broker takes nothing now: wait, and spend no attempt.
    Broker(String),
    /// No broker would ever take this event.
    Event(String),
    /// The event is larger than a limit that somebody set.
    Limit(String),
    /// The broker refused this event, for a reason that may pass: spend an attempt.
    Passing(String),
    /// The broker refused the batch as a batch; single events may go through.
    Batch(String),
    /// The stream did not end where it was expected to, or that can't be said yet; where it ends, if the broker said.
    Fence { told: Option<StreamSeq>, reason: String },
}

/// The batch is refused as a whole, its events are not: a dedup id that the stream knows, limits of batches, batches that
/// lost a message on the way, streams and servers that don't do batches.
const BATCH: [ErrorCode; 9] = [
    ErrorCode::ATOMIC_PUBLISH_DISABLED,
    ErrorCode::ATOMIC_PUBLISH_MISSING_SEQ,
    ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH,
    ErrorCode::ATOMIC_PUBLISH_UNSUPPORTED_HEADER,
    ErrorCode::ATOMIC_PUBLISH_INVALID_BATCH_ID,
    ErrorCode::ATOMIC_PUBLISH_TOO_LARGE_BATCH,
    ErrorCode::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT,
    ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE,
    ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT,
];

/// The event itself is what no stream would take.
const EVENT: [ErrorCode; 1] = [ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM];

/// The event is larger than the stream's `max_msg_size`.
const LIMIT: [ErrorCode; 1] = [ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM];

/// The stream is full, sealed or misplaced, another stream takes the subject, JetStream is off or short of resources:
/// an operator fixes that, and nothing is lost meanwhile. Some of them come as 400, like an event's own fault.
const BROKER: [ErrorCode; 10] = [
    ErrorCode::STREAM_STORE_FAILED,
    ErrorCode::STREAM_NOT_MATCH,
    ErrorCode::STREAM_NOT_FOUND,
    ErrorCode::STREAM_SEALED,
    ErrorCode::JETSTREAM_NOT_ENABLED,
    ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::MAXIMUM_STREAMS_LIMIT,
    ErrorCode::STREAM_TOO_MANY_REQUESTS,
    ErrorCode::CLUSTER_NOT_LEADER,
];

/// As a wrong sequence: an event with this id is being stored (in a cluster), or a batch expects another end.
const FENCE: [ErrorCode; 2] =
    [ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];

/// Decides.
pub fn classify(error: &PublishError) -> Fault {
    let reason = reason(chain(error));
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Fault::Limit(reason),
        PublishErrorKind::WrongLastMessageId => Fault::Fence { told: None, reason },
        PublishErrorKind::WrongLastSequence => Fault::Fence { told: told(error), reason },
        PublishErrorKind::Other => match server_error(error) {
            Some(answer) => of_server(answer.error_code(), answer.code(), reason),
            None => Fault::Broker(reason),
        },
        // No responders, no answer, no connection; a missing right to publish is answered by silence.
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Fault::Broker(reason),
    }
}

fn of_server(code: ErrorCode, status: usize, reason: String) -> Fault {
    if FENCE.contains(&code) {
        Fault::Fence { told: None, reason }
    } else if BATCH.contains(&code) {
        Fault::Batch(reason)
    } else if EVENT.contains(&code) {
        Fault::Event(reason)
    } else if LIMIT.contains(&code) {
        Fault::Limit(reason)
    } else if status == 400 && !BROKER.contains(&code) {
        Fault::Passing(reason)
    } else {
        Fault::Broker(reason)
    }
}

/// What to count an event as that was not stored, by the error and by whether there is a connection.
pub fn outcome(error: &PublishError, is_connected: bool) -> Publish {
    match (classify(error), error.kind()) {
        (Fault::Fence { .. }, _) => Publish::Fenced,
        (Fault::Broker(_), PublishErrorKind::BrokenPipe) => Publish::NoConnection,
        (Fault::Broker(_), PublishErrorKind::TimedOut | PublishErrorKind::MaxAckPending) => silence(is_connected),
        _ => Publish::Refused,
    }
}

/// What no answer in time is counted as: without a connection, a publish merely times out.
pub fn silence(is_connected: bool) -> Publish {
    if is_connected { Publish::Timeout } else { Publish::NoConnection }
}

/// Where the stream ends, by a server's answer.
fn told(error: &PublishError) -> Option<StreamSeq> {
    told_by(&server_error(error)?.to_string())
}

/// As in "wrong last sequence: 7 (code 400, error code 10071)".
fn told_by(answer: &str) -> Option<StreamSeq> {
    let (_, rest) = answer.split_once("sequence: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn server_error(error: &PublishError) -> Option<&jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: ErrorCode, status: usize) -> Fault {
        of_server(code, status, String::new())
    }

    #[test]
    fn what_is_not_known_to_be_the_events_fault_spends_no_attempt() {
        assert_eq!(of(ErrorCode(19_999), 503), Fault::Broker(String::new()));
        assert_eq!(of(ErrorCode(19_999), 500), Fault::Broker(String::new()));
        for code in BROKER {
            assert_eq!(of(code, 400), Fault::Broker(String::new()), "{code:?}");
        }
    }

    #[test]
    fn what_got_no_answer_is_told_from_what_was_refused() {
        let counted = |kind, is_connected| outcome(&PublishError::new(kind), is_connected);
        assert_eq!(counted(PublishErrorKind::TimedOut, true), Publish::Timeout);
        assert_eq!(counted(PublishErrorKind::TimedOut, false), Publish::NoConnection);
        assert_eq!(counted(PublishErrorKind::BrokenPipe, true), Publish::NoConnection);
        assert_eq!(counted(PublishErrorKind::StreamNotFound, true), Publish::Refused);
        assert_eq!(counted(PublishErrorKind::MaxPayloadExceeded, true), Publish::Refused);
        assert_eq!(counted(PublishErrorKind::WrongLastSequence, true), Publish::Fenced);
    }

    #[test]
    fn a_refusal_tells_where_the_stream_ends() {
        assert_eq!(told_by("wrong last sequence: 7 (code 400, error code 10071)"), Some(StreamSeq(7)));
        assert_eq!(told_by("wrong last sequence (code 400, error code 10164)"), None);
    }

    #[test]
    fn a_refused_batch_is_the_fault_of_none_of_its_events() {
        for code in BATCH {
            assert_eq!(of(code, 400), Fault::Batch(String::new()), "{code:?}");
        }
    }

    #[test]
    fn headers_that_no_stream_takes_are_refused_for_good_and_an_unknown_400_spends_an_attempt() {
        assert_eq!(of(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, 400), Fault::Limit(String::new()));
        for code in EVENT {
            assert_eq!(of(code, 400), Fault::Event(String::new()), "{code:?}");
        }
        assert_eq!(of(ErrorCode(19_999), 400), Fault::Passing(String::new()));
    }
}
