//! Settings of the provider.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use runtime::config::{Secret, Validate, duration};
use runtime::tls;
use url::Url;

use super::simulated::ANSWER_TIME_MAX;

const STRIPE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const STRIPE_TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// Settings of the provider.
#[derive(Debug, Args)]
pub struct ProviderConfig {
    /// Who takes the money: a simulator that takes none, for development and tests.
    #[arg(long, env = "PAYMENT_PROVIDER", value_enum)]
    pub payment_provider: ProviderKind,

    /// Folder of the simulator's ledger. All replicas need the same one; losing it is as if a bank lost its books.
    #[arg(long, env = "PAYMENT_SIMULATOR_DIR")]
    pub payment_simulator_dir: Option<PathBuf>,

    /// Stripe's secret key (sk_...), or a restricted one (rk_...) that may write PaymentIntents and Refunds. Its file is read again when Stripe refuses the key.
    #[arg(long, env = "STRIPE_API_KEY", hide_env_values = true)]
    pub stripe_api_key: Option<Secret>,

    /// Where Stripe is: https://HOST:PORT, or http:// on this machine.
    #[arg(long, env = "STRIPE_API_URL", default_value = "https://api.stripe.com")]
    pub stripe_api_url: String,

    /// PEM file of the authorities that may have signed Stripe's certificate, in place of the system's.
    #[arg(long, env = "STRIPE_CA_FILE", value_parser = tls::certificates)]
    pub stripe_ca_file: Option<PathBuf>,

    /// The payment method that pays for every order: customers give none to this pipeline yet.
    #[arg(long, env = "STRIPE_PAYMENT_METHOD", default_value = "pm_card_visa")]
    pub stripe_payment_method: String,

    /// How long Stripe may take for all that a charge or a refund asks of it; then its outcome is unknown, and looked up.
    #[arg(long, env = "STRIPE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub stripe_timeout: Duration,
}

/// Kinds of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProviderKind {
    /// PAYMENT_SIMULATOR_DIR.
    Simulated,
    /// STRIPE_API_KEY.
    Stripe,
}

/// A provider with the settings that it needs.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    Simulated { dir: &'a Path },
    Stripe(StripeSettings<'a>),
}

/// What Stripe is spoken to with.
#[derive(Debug)]
pub(super) struct StripeSettings<'a> {
    pub(super) api_key: &'a Secret,
    /// Without a slash at the end.
    pub(super) api_url: &'a str,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) payment_method: &'a str,
    pub(super) time_max: Duration,
}

impl ProviderConfig {
    /// What one call may take at most: a lease on it has to be longer.
    #[must_use]
    pub fn call_time_max(&self) -> Duration {
        match self.payment_provider {
            ProviderKind::Simulated => ANSWER_TIME_MAX,
            ProviderKind::Stripe => self.stripe_timeout,
        }
    }

    /// The chosen provider.
    pub(super) fn choice(&self) -> Result<Choice<'_>, String> {
        match self.payment_provider {
            ProviderKind::Simulated => {
                let dir = self.payment_simulator_dir.as_deref();
                Ok(Choice::Simulated { dir: dir.ok_or("PAYMENT_PROVIDER=simulated needs PAYMENT_SIMULATOR_DIR")? })
            }
            ProviderKind::Stripe => {
                let api_key = self.stripe_api_key.as_ref();
                Ok(Choice::Stripe(StripeSettings {
                    api_key: api_key.ok_or("PAYMENT_PROVIDER=stripe needs STRIPE_API_KEY or STRIPE_API_KEY_FILE")?,
                    api_url: self.stripe_api_url.trim_end_matches('/'),
                    ca_file: self.stripe_ca_file.as_deref(),
                    payment_method: &self.stripe_payment_method,
                    time_max: self.stripe_timeout,
                }))
            }
        }
    }
}

impl Validate for ProviderConfig {
    fn validate(&self) -> Result<(), String> {
        match self.choice()? {
            Choice::Simulated { .. } => Ok(()),
            Choice::Stripe(settings) => settings.validate(),
        }
    }
}

impl Validate for StripeSettings<'_> {
    fn validate(&self) -> Result<(), String> {
        let key = self.api_key.expose();
        if key.starts_with("pk_") {
            return Err(
                "STRIPE_API_KEY is a publishable key (pk_...), which can't charge: it must be sk_... or rk_..."
                    .to_owned(),
            );
        }
        if !(key.starts_with("sk_") || key.starts_with("rk_")) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("STRIPE_API_KEY must be a secret key (sk_...) or a restricted one (rk_...)".to_owned());
        }
        check_url(self.api_url)?;
        if self.ca_file.is_some() && !self.api_url.starts_with("https://") {
            return Err("STRIPE_CA_FILE needs a STRIPE_API_URL that begins with https://".to_owned());
        }
        let method = self.payment_method;
        if !method.starts_with("pm_") || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("STRIPE_PAYMENT_METHOD {method:?} must be a payment method (pm_...)"));
        }
        if key[2..].starts_with("_live_") && method.starts_with("pm_card_") {
            return Err(format!(
                "STRIPE_PAYMENT_METHOD {method} exists in test mode only, and STRIPE_API_KEY is of live mode"
            ));
        }
        if self.time_max < STRIPE_TIMEOUT_MIN || self.time_max > STRIPE_TIMEOUT_MAX {
            return Err(format!(
                "STRIPE_TIMEOUT {:?} must be {STRIPE_TIMEOUT_MIN:?} to {STRIPE_TIMEOUT_MAX:?}: Stripe may take seconds for a \
                 charge, and what is slower is looked up",
                self.time_max
            ));
        }
        Ok(())
    }
}

fn check_url(text: &str) -> Result<(), String> {
    let look = || "STRIPE_API_URL must look like https://HOST:PORT, without user, query and fragment".to_owned();
    let url = Url::parse(text).map_err(|_| look())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(look)?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" if is_plain => Ok(()),
        "http" if is_plain && tls::is_loopback(host) => Ok(()),
        "http" if is_plain => {
            Err("STRIPE_API_URL must begin with https://: the key would cross the network for all to read".to_owned())
        }
        _ => Err(look()),
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
    #[test]
    fn stripe_asks_for_a_key_that_can_charge() {
        let stripe = |settings: &[&str]| refusal("stripe", settings);
        assert_eq!(stripe(&[]), "PAYMENT_PROVIDER=stripe needs STRIPE_API_KEY or STRIPE_API_KEY_FILE");
        assert_eq!(stripe(&["--stripe-api-key", "sk_test_1"]), "");
        assert_eq!(stripe(&["--stripe-api-key", "rk_live_1", "--stripe-payment-method", "pm_1Abc"]), "");
        for (key, reason) in [
            ("pk_test_hunter2", "STRIPE_API_KEY is a publishable key"),
            ("hunter2", "STRIPE_API_KEY must be a secret key"),
            ("sk_test_hunter2 ", "STRIPE_API_KEY must be a secret key"),
            ("sk_live_hunter2", "STRIPE_PAYMENT_METHOD pm_card_visa exists in test mode only"),
        ] {
            let told = stripe(&["--stripe-api-key", key]);
            assert!(told.starts_with(reason), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_key_crosses_no_network_without_tls() {
        let stripe = |name: &str, value: &str| refusal("stripe", &["--stripe-api-key", "sk_test_1", name, value]);
        for url in ["https://api.stripe.com", "https://proxy:8443/stripe/", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert_eq!(stripe("--stripe-api-url", url), "", "{url}");
        }
        for url in ["http://stripe", "http://10.0.0.1:1"] {
            assert!(stripe("--stripe-api-url", url).starts_with("STRIPE_API_URL must begin with https://"), "{url}");
        }
        for url in ["", "stripe", "ftp://stripe", "https://u:p@stripe", "https://stripe?a", "https://stripe#a"] {
            assert!(stripe("--stripe-api-url", url).starts_with("STRIPE_API_URL must look like"), "{url}");
        }
        assert!(
            stripe("--stripe-payment-method", "tok_visa").starts_with("STRIPE_PAYMENT_METHOD \"tok_visa\" must be")
        );
        for timeout in ["0s", "3m"] {
            assert!(stripe("--stripe-timeout", timeout).starts_with("STRIPE_TIMEOUT"), "{timeout}");
        }
    }
}
