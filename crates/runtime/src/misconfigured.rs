//! Settings that can't work, as an error and as an exit status. Whoever reads settings and whoever uses them knows it.

/// Exit status for settings that can't work: `EX_USAGE` of sysexits.
pub const EXIT_CONFIG: u8 = 64;

/// Settings that turned out not to fit after they were read, such as when a server had answered. A process that ends with
/// it, or one of whose parts does, exits with [`EXIT_CONFIG`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);
