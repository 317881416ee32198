//! Settings of the provider.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use runtime::config::Validate;

use super::simulated::ANSWER_TIME_MAX;

/// Settings of the provider.
#[derive(Debug, Args)]
pub struct ProviderConfig {
    /// Who takes the money: a simulator that takes none, for development and tests.
    #[arg(long, env = "PAYMENT_PROVIDER", value_enum)]
    pub payment_provider: ProviderKind,

    /// Folder of the simulator's ledger. All replicas need the same one; losing it is as if a bank lost its books.
    #[arg(long, env = "PAYMENT_SIMULATOR_DIR")]
    pub payment_simulator_dir: Option<PathBuf>,
}

/// Kinds of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProviderKind {
    /// PAYMENT_SIMULATOR_DIR.
    Simulated,
}

/// A provider with the settings that it needs.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    Simulated { dir: &'a Path },
}

impl ProviderConfig {
    /// What one call may take at most: longer than this is a fault.
    #[must_use]
    pub fn call_time_max(&self) -> Duration {
        match self.payment_provider {
            ProviderKind::Simulated => ANSWER_TIME_MAX,
        }
    }

    /// The chosen provider.
    pub(super) fn choice(&self) -> Result<Choice<'_>, String> {
        match self.payment_provider {
            ProviderKind::Simulated => {
                let dir = self.payment_simulator_dir.as_deref();
                Ok(Choice::Simulated { dir: dir.ok_or("PAYMENT_PROVIDER=simulated needs PAYMENT_SIMULATOR_DIR")? })
            }
        }
    }
}

impl Validate for ProviderConfig {
    fn validate(&self) -> Result<(), String> {
        self.choice().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        provider: ProviderConfig,
    }

    fn refusal(provider: &str, settings: &[&str]) -> String {
        let arguments = [&["test", "--payment-provider", provider], settings].concat();
        let settings = Settings::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        settings.provider.validate().err().unwrap_or_default()
    }

    #[test]
    fn a_simulator_asks_for_its_folder() {
        assert_eq!(refusal("simulated", &[]), "PAYMENT_PROVIDER=simulated needs PAYMENT_SIMULATOR_DIR");
        assert_eq!(refusal("simulated", &["--payment-simulator-dir", "/ledger"]), "");
    }
}
