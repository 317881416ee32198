//! Each attempt at an effect as a span, below what wanted the effect: what the other side is asked, until the answer is settled.
//!
//! The log lines of an attempt have the same trace. What the other side said is in neither, for it may quote a customer's data.

use runtime::telemetry::trace::{self, KeyValue};
use tracing::{Span, field};

use crate::effect::Effect;
use crate::metrics::Became;

/// An attempt that begins.
pub(crate) fn attempt(queue: &'static str, effect: &Effect) -> Span {
    let span = tracing::info_span!(
        "effect.perform",
        effect.queue = queue,
        effect.id = %effect.id,
        effect.kind = effect.kind,
        effect.subject = effect.subject,
        effect.outcome = field::Empty,
        trace_id = field::Empty,
        otel.kind = field::Empty,
    );
    trace::adopt(&span, "client", effect.traceparent.as_ref());
    let attributes = || {
        vec![
            KeyValue::new("effect.attempts", i64::from(effect.attempts)),
            KeyValue::new("effect.put_off", i64::from(effect.put_off)),
        ]
    };
    trace::describe(&span, || format!("perform {queue} {}", effect.kind), attributes);
    span
}

/// What became of the attempt that this task makes.
pub(crate) fn became(became: Became) {
    let span = Span::current();
    span.record("effect.outcome", became.as_str());
    if became != Became::Done {
        trace::fail(&span, became.as_str());
    }
}
