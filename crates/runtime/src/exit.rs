//! How a process ends: one exit status for each kind of answer, the same in all programs. Whoever reads settings and whoever
//! decides knows them.

use std::process::ExitCode;

/// What every `--help` says of it.
pub const HELP: &str = "Exit status: 0 it did what it says; 1 a fault, such as a database that is away; 2 it was refused, and nothing was \
changed; 3 what was named is not there; 4 a person should act; 64 the arguments or settings can't work.";

/// What was asked for was refused as things stand. Nothing was changed.
pub const EXIT_REFUSED: u8 = 2;

/// What was named is not there.
pub const EXIT_NOT_FOUND: u8 = 3;

/// The verb did what it says, and has seen that something is wrong with what it was asked about.
pub const EXIT_UNHEALTHY: u8 = 4;

/// Arguments or settings that can't work: `EX_USAGE` of sysexits.
pub const EXIT_CONFIG: u8 = 64;

/// Settings that turned out not to fit after they were read, such as when a server had answered. A process that ends with
/// it, or one of whose parts does, exits with [`EXIT_CONFIG`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// Why a verb did not do what it was asked to: as things stand it must not. It exits with [`EXIT_REFUSED`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What a verb was asked about and did not find. It exits with [`EXIT_NOT_FOUND`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// The status of a process that ends with this error.
pub fn status(error: &anyhow::Error) -> ExitCode {
    match error {
        error if error.is::<Misconfigured>() => ExitCode::from(EXIT_CONFIG),
        error if error.is::<Refused>() => ExitCode::from(EXIT_REFUSED),
        error if error.is::<NotFound>() => ExitCode::from(EXIT_NOT_FOUND),
        _ => ExitCode::FAILURE,
    }
}
