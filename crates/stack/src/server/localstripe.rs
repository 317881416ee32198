//! localstripe, which speaks as Stripe does and keeps its books until it ends.

use std::time::Duration;

use crate::home::Home;
use crate::process::{Launch, Output, Probe, Running};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A running localstripe.
#[derive(Debug)]
pub struct LocalStripe {
    /// Its process. One that was started again has empty books.
    pub running: Running,
    port: u16,
}

impl LocalStripe {
    /// Any secret key will do.
    pub const API_KEY: &str = "sk_test_localstripe";

    /// Starts it on 127.0.0.1. When this returns, it answers.
    ///
    /// # Errors
    /// One line: its program is missing, or it did not start.
    pub async fn start(home: &Home, port: u16, output: Output) -> anyhow::Result<LocalStripe> {
        let launch = Launch::new("localstripe", home.program("localstripe-python")?)
            .arg(home.root().join("crates/stack/stripe_server.py"))
            .arg(port.to_string())
            .output(output);
        let mut server = LocalStripe { running: Running::start(launch, STOP_WITHIN)?, port };
        let url = format!("{}/v1/balance", server.url());
        let client = reqwest::Client::new();
        let probe = async || match client.get(&url).bearer_auth(Self::API_KEY).send().await {
            Ok(answer) if answer.status().is_success() => Probe::Ready,
            Ok(answer) => Probe::NotYet(format!("it answered {}", answer.status())),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        server.running.process.until_ready(READY_WITHIN, probe).await?;
        Ok(server)
    }

    /// For STRIPE_API_URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
