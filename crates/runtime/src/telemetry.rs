//! Structured logs on standard output; metrics are the admin port's.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
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

/// Starts logging; call it once, first.
///
/// # Errors
/// What is wrong with the filter, as bad settings are.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Misconfigured> {
    let targets = filter.parse::<Targets>().map_err(|error| Misconfigured(format!("LOG_FILTER: {error}")))?;
    // Reporting a closed standard output on a closed standard error would panic, and end the task that logs.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(targets).with(lines).init();
    Ok(())
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
