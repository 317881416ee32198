//! The three services as processes, under their least-privilege users at the database and at NATS.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use stack::service::Program;
use stack::testing::{Database, Nats, Service, binary, eventually};
use tempfile::TempDir;

pub(crate) struct Services {
    pub(crate) order_svc: Service,
    pub(crate) relay: Service,
    pub(crate) notify_svc: Service,
    emails: TempDir,
}

impl Services {
    /// Not started yet. `orders` and `notifications` make the URL of a database for its user.
    pub(crate) fn new(orders: impl Fn(&str) -> String, notifications: impl Fn(&str) -> String, nats_url: &str) -> Self {
        Self::with_secrets(orders, notifications, nats_url, ("DATABASE_URL", ("NATS_PASSWORD", Nats::PASSWORD)))
    }

    /// The same, told of their databases and of their secret at NATS by other variables.
    pub(crate) fn with_secrets(
        orders: impl Fn(&str) -> String,
        notifications: impl Fn(&str) -> String,
        nats_url: &str,
        (database, secret): (&str, (&str, &str)),
    ) -> Self {
        let emails = tempfile::tempdir().unwrap();
        let service = |name: &str, database_url: String| {
            Service::new(binary(name))
                .env(database, database_url)
                .env("NATS_URL", nats_url)
                .env("NATS_USER", name)
                .env(secret.0, secret.1)
        };
        let order_svc = service("order-svc", orders("order_svc"));
        Self {
            relay: service("outbox-relay", orders("outbox_relay")),
            notify_svc: service("notify-svc", notifications("notify_svc"))
                .env("EMAIL_TRANSPORT", "file")
                .env("EMAIL_DIR", emails.path().to_str().unwrap())
                .env("EMAIL_FROM", "shop@example.com")
                .env("ORDERS_URL", order_svc.url("")),
            order_svc,
            emails,
        }
    }

    /// Sets a variable for each of them.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        Self {
            order_svc: self.order_svc.env(name, value),
            relay: self.relay.env(name, value),
            notify_svc: self.notify_svc.env(name, value),
            emails: self.emails,
        }
    }

    /// All at once: notify-svc is ready when the relay has made the stream.
    pub(crate) async fn start(mut self) -> Self {
        for service in self.each() {
            service.spawn();
        }
        for service in self.each() {
            service.until_ready().await;
        }
        self
    }

    /// notify-svc alone.
    pub(crate) async fn start_notifier(mut self) -> Self {
        self.notify_svc.spawn();
        self.notify_svc.until_ready().await;
        self
    }

    pub(crate) fn each(&mut self) -> [&mut Service; 3] {
        [&mut self.order_svc, &mut self.relay, &mut self.notify_svc]
    }

    /// Places an order; its id.
    pub(crate) async fn place(&self) -> String {
        self.try_place().await.expect("the order is taken")
    }

    /// Places an order, which is taken only if this has its id.
    pub(crate) async fn try_place(&self) -> Option<String> {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let client = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().unwrap();
        let response = client.post(self.order_svc.url("/api/orders")).json(&order).send().await.ok()?;
        if response.status() != 201 {
            return None;
        }
        Some(response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn notifications(&self, order: &str) -> Vec<Value> {
        let url = self.notify_svc.url(&format!("/api/notifications?order_id={order}"));
        let Ok(response) = reqwest::get(url).await else { return Vec::new() };
        let body: Value = response.json().await.unwrap();
        body["notifications"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the order has its one notification.
    pub(crate) async fn until_notified(&self, order: &str) {
        eventually("the customer is notified", async || !self.notifications(order).await.is_empty()).await;
        assert_eq!(self.notifications(order).await.len(), 1);
    }

    pub(crate) fn emails(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.emails.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    }

    /// All that they have said.
    pub(crate) fn logs(&self) -> String {
        [&self.order_svc, &self.relay, &self.notify_svc].map(Service::log).concat()
    }
}

/// The relay of the payments and payment-svc, not started yet, with the folder that stands for the provider.
pub(crate) fn paying(payments: &Database, nats: &Nats, provider: &Path) -> [Service; 2] {
    [Program::PaymentRelay, Program::PaymentSvc].map(|program| {
        let service = Service::new(binary(program.file()))
            .env("DATABASE_URL", payments.url(program.user()))
            .env("NATS_URL", nats.url())
            .env("NATS_USER", program.name())
            .env("NATS_PASSWORD", Nats::PASSWORD)
            .env("PAYMENT_PROVIDER", "simulated")
            .env("PAYMENT_SIMULATOR_DIR", provider.to_str().unwrap());
        program.settings().into_iter().fold(service, |service, (name, value)| service.env(name, value))
    })
}

/// A service's program with another verb, or the same in vain, to its end.
pub(crate) fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let settings = Program::ALL.into_iter().filter(|known| known.name() == program).flat_map(Program::settings);
    let command = &mut Command::new(binary(program));
    command.args(arguments).env_clear().envs(settings).envs(environment.iter().copied()).output().unwrap()
}

/// The value of a metric, with the labels given in its name.
pub(crate) async fn metric(service: &Service, name: &str) -> f64 {
    let text = reqwest::get(service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}
