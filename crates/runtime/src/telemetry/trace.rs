//! Traces by OpenTelemetry: spans of requests, messages and effects, and how they find each other across programs.
//!
//! Nothing is traced unless the variables of OpenTelemetry name a collector: then each function here returns at once. A request
//! or an effect is a span of `tracing` whose place in a trace is told by [`adopt`]; what one transaction or one publish does for
//! many messages is a [`Step`] for each of them, because each belongs to a trace of its own. Whoever traces decides nothing by it,
//! and waits for nobody.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::Context;
use opentelemetry::trace::{
    FutureExt, SpanBuilder, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider, WithContext,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::sync::oneshot;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::config::Settings;
use super::exporter::exporter;
use crate::exit::Misconfigured;

pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;

/// What a stop takes for the last spans at most, within its grace.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(3);

static TRACES: OnceLock<Traces> = OnceLock::new();

/// Where spans go. It lives as long as the process.
#[derive(Debug)]
struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Starts tracing if the environment asks for it.
///
/// # Errors
/// If what it asks for can't work.
pub(super) fn start(service: &'static str) -> Result<Option<SdkTracer>, Misconfigured> {
    let Some(settings) = Settings::read()? else { return Ok(None) };
    let exporter = exporter(&settings).map_err(|error| Misconfigured(format!("{error:#}")))?;
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !settings.names_service {
        resource = resource.with_service_name(service);
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let traces = TRACES.get_or_init(|| Traces { tracer: provider.tracer(service), provider });
    Ok(Some(traces.tracer.clone()))
}

/// Whether spans are exported.
#[must_use]
pub fn is_on() -> bool {
    TRACES.get().is_some()
}

/// Sends the spans that wait, at the end of the process.
pub(crate) async fn flush() {
    let Some(traces) = TRACES.get() else { return };
    let (done, told) = oneshot::channel();
    // Not a task: nobody waits for a thread when the process ends.
    std::thread::spawn(move || done.send(traces.provider.shutdown_with_timeout(FLUSH_TIME_MAX)));
    if !told.await.is_ok_and(|flushed| flushed.is_ok()) {
        tracing::warn!("the collector of traces takes no spans; the last ones are lost");
    }
}

/// A well-formed `traceparent` of W3C Trace Context. It ends up in a message header, so nothing else passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Reads a header's value; `None` if it is malformed, which by the specification means to go on without it.
    pub fn parse(value: &str) -> Option<Self> {
        let fields: Vec<_> = value.split('-').collect();
        let [version, trace_id, parent_id, flags] = fields[..] else { return None };
        let well_formed = is_hex(version, 2)
            && version != "ff"
            && is_hex(trace_id, 32)
            && is_hex(parent_id, 16)
            && is_hex(flags, 2)
            && [trace_id, parent_id].iter().all(|id| id.bytes().any(|byte| byte != b'0'));
        well_formed.then(|| Self(value.to_owned()))
    }

    /// The span that is open here, or the other program's that [`within`] or [`below`] has named.
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::map_current(|context| Self::of(context.span().span_context()))
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace that it belongs to, in hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.split('-').nth(1).unwrap_or_default()
    }

    fn of(span: &SpanContext) -> Option<Self> {
        let (trace_id, span_id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
        span.is_valid().then(|| Self(format!("00-{trace_id}-{span_id}-{flags:02x}")))
    }

    fn context(&self) -> Context {
        let mut fields = self.0.split('-').skip(1);
        let mut next = || fields.next().unwrap_or_default();
        let trace_id = TraceId::from_hex(next()).unwrap_or(TraceId::INVALID);
        let span_id = SpanId::from_hex(next()).unwrap_or(SpanId::INVALID);
        let sampled = u8::from_str_radix(next(), 16).is_ok_and(|flags| flags & 1 == 1);
        let flags = TraceFlags::default().with_sampled(sampled);
        Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default()))
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Does something for a trace that came from elsewhere, if it did: what is begun here is below `parent`, also in the next program
/// where nothing is traced in this one.
pub fn within<T>(parent: Option<&TraceParent>, doing: impl FnOnce() -> T) -> T {
    let _open = parent.map(|parent| parent.context().attach());
    doing()
}

/// The same for what takes its time.
pub fn below<F: Future>(parent: Option<&TraceParent>, doing: F) -> WithContext<F> {
    doing.with_context(parent.map_or_else(Context::current, TraceParent::context))
}

/// Gives a span of `tracing` its place in a trace, before it is entered: below `parent` if there is one. Its field `trace_id`
/// becomes the trace's, in each of its log lines, also where nothing is traced here and the other side sent one. It needs the
/// fields `trace_id` and `otel.kind`, empty.
pub fn adopt(span: &tracing::Span, kind: &'static str, parent: Option<&TraceParent>) {
    if !is_on() {
        if let Some(parent) = parent {
            span.record("trace_id", parent.trace_id());
        }
        return;
    }
    if let Some(parent) = parent
        && let Err(error) = span.set_parent(parent.context())
    {
        tracing::debug!(%error, "a span has no place in its trace");
    }
    span.record("otel.kind", kind);
    let context = span.context();
    let trace_id = context.span().span_context().trace_id();
    if trace_id != TraceId::INVALID {
        span.record("trace_id", tracing::field::display(trace_id));
    }
}

/// Tells a span of `tracing` what is said in the words of OpenTelemetry and not in log lines: a name, and attributes.
pub fn describe(span: &tracing::Span, name: impl FnOnce() -> String, attributes: impl FnOnce() -> Vec<KeyValue>) {
    if is_on() {
        let context = span.context();
        context.span().update_name(name());
        context.span().set_attributes(attributes());
    }
}

/// Says that what a span of `tracing` is about went wrong.
pub fn fail(span: &tracing::Span, reason: &str) {
    if is_on() {
        span.set_status(Status::error(reason.to_owned()));
    }
}

/// What is done for one message among many, as a span. It ends when its last clone is dropped, or before.
#[derive(Clone, Debug)]
pub struct Step(Context);

impl Step {
    /// Begins a step below `parent`, or else below what is open here. None if nothing is traced, and nothing is asked then.
    pub fn begin<N: Into<Cow<'static, str>>>(
        kind: SpanKind,
        parent: Option<&TraceParent>,
        since: Option<SystemTime>,
        describe: impl FnOnce() -> (N, Vec<KeyValue>),
    ) -> Option<Self> {
        let Traces { tracer, .. } = TRACES.get()?;
        let parent = parent.map_or_else(Context::current, TraceParent::context);
        let (name, attributes) = describe();
        let mut builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        builder.start_time = since;
        let span = tracer.build_with_context(builder, &parent);
        Some(Self(parent.with_span(span)))
    }

    /// What others say to be below it.
    #[must_use]
    pub fn traceparent(&self) -> Option<TraceParent> {
        TraceParent::of(self.0.span().span_context())
    }

    /// Does something that belongs to it.
    pub fn within<T>(&self, doing: impl FnOnce() -> T) -> T {
        let _open = self.0.clone().attach();
        doing()
    }

    /// Ends it, with what it came to.
    pub fn end(&self, outcome: KeyValue) {
        self.0.span().set_attribute(outcome);
        self.0.span().end();
    }

    /// Ends it, and says why it did not do what it was for.
    pub fn fail(&self, reason: String) {
        self.0.span().set_status(Status::error(reason));
        self.0.span().end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_well_formed_traceparent_is_kept() {
        let parent = TraceParent::parse(TRACEPARENT).unwrap();
        assert_eq!(parent.as_str(), TRACEPARENT);
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_traceparent_names_the_same_span_when_it_is_read_and_written() {
        for flags in ["00", "01"] {
            let text = TRACEPARENT.replace("-01", &format!("-{flags}"));
            let context = TraceParent::parse(&text).unwrap().context();
            assert_eq!(TraceParent::of(context.span().span_context()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        let malformed = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",
        ];
        for value in malformed {
            assert_eq!(TraceParent::parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn nothing_is_asked_for_where_nothing_is_traced() {
        let step = Step::begin(SpanKind::Client, None, None, || -> (String, _) { panic!("asked") });
        assert!(step.is_none() && TraceParent::current().is_none());
    }
}
