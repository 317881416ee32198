//! Settings from flags and environment, checked as a whole before anything starts.
//!
//! Bad settings end the process with one line on standard error and [`EXIT_CONFIG`]; `--help` is true because the
//! doc comments of the fields are its text.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

use crate::telemetry::LogFormat;

/// Exit status for settings that can't work: `EX_USAGE` of sysexits.
pub const EXIT_CONFIG: u8 = 64;

/// Settings of every long-running process.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessConfig {
    /// Address of the admin port: /livez, /readyz, /metrics. Keep it away from the public.
    #[arg(long, env = "ADMIN_ADDR")]
    pub admin_addr: SocketAddr,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines appear, for example info,outbox_relay=debug.
    #[arg(long, env = "LOG_FILTER", default_value = "info,async_nats=warn")]
    pub log_filter: String,

    /// How long a stop may take before the process gives up and exits 1.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "20s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

/// Refuses settings that are well-formed one by one but can't work together.
pub trait Validate {
    /// # Errors
    /// One line that names the settings and what to change.
    fn validate(&self) -> Result<(), String>;
}

/// Reads the command line and the environment.
///
/// # Errors
/// The status to exit with: success for `--help` and `--version`, else [`EXIT_CONFIG`], after saying why.
pub fn parse<C: Parser + Validate>() -> Result<C, ExitCode> {
    let config = C::try_parse().map_err(|error| {
        // Nothing useful is left to do if standard error is closed.
        error.print().ok();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(EXIT_CONFIG),
        }
    })?;
    match config.validate() {
        Ok(()) => Ok(config),
        Err(reason) => {
            eprintln!("error: {reason}");
            Err(ExitCode::from(EXIT_CONFIG))
        }
    }
}

/// Parses a duration such as `30s`, `5m` or `1h 30m`; clap's `value_parser`.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// A setting that may carry a password: it never prints.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::from("mysql://order_svc:hunter2@db/orders".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
    }
}
