//! Structured logs on standard output, and traces where the environment names a collector; metrics are the admin port's.
//!
//! Log lines are chosen by `LOG_FILTER`, spans are not: a trace is whole however quiet the log is. A span of `tracing` is
//! exported if it has the field `otel.kind`; the others are for log lines alone.

mod config;
mod exporter;
pub mod trace;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::Misconfigured;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging, and tracing if the environment asks for it; call it once, first. Traces name the service `service`, unless
/// the environment does.
///
/// # Errors
/// What is wrong with the filter or with the variables of OpenTelemetry, as bad settings are.
pub fn init(service: &'static str, format: LogFormat, filter: &str) -> Result<(), Misconfigured> {
    let targets = filter.parse::<Targets>().map_err(|error| Misconfigured(format!("LOG_FILTER: {error}")))?;
    let registry = tracing_subscriber::registry();
    let Some(tracer) = trace::start(service)? else {
        registry.with(targets).with(lines(format)).init();
        return Ok(());
    };
    let is_told = filter_fn(|told| match told.is_span() {
        true => told.fields().field("otel.kind").is_some(),
        false => *told.level() <= Level::WARN,
    });
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(is_told.with_max_level_hint(LevelFilter::DEBUG));
    registry.with(lines(format).with_filter(targets)).with(spans).init();
    Ok(())
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Reporting a closed standard output on a closed standard error would panic, and end the task that logs.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// An error with its causes in one line, for the boundary that logs it. A cause that its parent quotes, as sqlx's do, is
/// not repeated.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !line.ends_with(&cause_text) {
            line.push_str(": ");
            line.push_str(&cause_text);
        }
        cause = error.source();
    }
    line
}
