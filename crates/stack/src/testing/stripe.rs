//! Stripe's stand-in of a test's own.

use serde_json::Value;

use super::Port;
use super::servers::{folder, home};
use crate::process::Output;
use crate::server;
use tempfile::TempDir;

/// A localstripe with empty books. Dropping it kills it.
#[derive(Debug)]
pub struct LocalStripe {
    server: server::LocalStripe,
    _port: Port,
    _folder: TempDir,
}

impl LocalStripe {
    /// Any secret key will do.
    pub const API_KEY: &str = server::LocalStripe::API_KEY;

    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> LocalStripe {
        let (port, folder) = (Port::reserve(), folder());
        let output = Output::File(folder.path().join("localstripe.log"));
        let server = server::LocalStripe::start(&home(), port.number(), output).await;
        LocalStripe { server: server.unwrap_or_else(|error| panic!("{error:#}")), _port: port, _folder: folder }
    }

    /// For STRIPE_API_URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// All that its books hold of a kind, such as `charges` or `refunds`.
    ///
    /// # Panics
    /// If it does not say, or has more than it can say at once.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let url = format!("{}/v1/{kind}?limit=100", self.url());
        let answer = reqwest::Client::new().get(url).bearer_auth(Self::API_KEY).send().await;
        let list: Value = answer.expect("localstripe answers").json().await.expect("it answers in JSON");
        assert_eq!(list["has_more"], false, "{list}");
        list["data"].as_array().expect("a list").clone()
    }
}
