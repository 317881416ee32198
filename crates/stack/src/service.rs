//! The programs: what each is called, what it works on and what it is told, whoever starts it.
//!
//! Guarantees that `up`, `prove`, the benchmarks and the tests start a service the same way and wait for it the same way.

use std::path::Path;

use nix::sys::signal::Signal;
use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use schema::names;

use crate::process::{Launch, Probe};

/// A program of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Takes orders.
    OrderSvc,
    /// Publishes their events.
    OutboxRelay,
    /// Notifies customers.
    NotifySvc,
    /// Charges them.
    PaymentSvc,
    /// Publishes the events of their payments: outbox-relay once more.
    PaymentRelay,
}

impl Program {
    /// All of them, in the order in which events pass them.
    pub const ALL: [Program; 5] =
        [Program::OrderSvc, Program::OutboxRelay, Program::NotifySvc, Program::PaymentSvc, Program::PaymentRelay];

    /// Its name, and its user at NATS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Program::OrderSvc => "order-svc",
            Program::OutboxRelay => "outbox-relay",
            Program::NotifySvc => "notify-svc",
            Program::PaymentSvc => "payment-svc",
            Program::PaymentRelay => "payment-relay",
        }
    }

    /// Its file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Program::PaymentRelay => Program::OutboxRelay.name(),
            program => program.name(),
        }
    }

    /// Its user at the database.
    #[must_use]
    pub fn user(self) -> &'static str {
        match self {
            Program::OrderSvc => "order_svc",
            Program::OutboxRelay => "outbox_relay",
            Program::NotifySvc => "notify_svc",
            Program::PaymentSvc => "payment_svc",
            Program::PaymentRelay => "payment_relay",
        }
    }

    /// The user at its database for people, who run its verbs.
    #[must_use]
    pub fn operator(self) -> &'static str {
        match self {
            Program::OrderSvc | Program::OutboxRelay => "orders_operator",
            Program::NotifySvc => "notifications_operator",
            Program::PaymentSvc | Program::PaymentRelay => "payments_operator",
        }
    }

    /// The user at its database for a verb: the one for people. Only [`OWN_CHECK`] runs as the program's own.
    #[must_use]
    pub fn user_of(self, verb: &[&str]) -> &'static str {
        if verb.starts_with(&OWN_CHECK) { self.user() } else { self.operator() }
    }

    /// Its database.
    #[must_use]
    pub fn database(self) -> &'static Definition {
        match self {
            Program::OrderSvc | Program::OutboxRelay => &ORDERS,
            Program::NotifySvc => &NOTIFICATIONS,
            Program::PaymentSvc | Program::PaymentRelay => &PAYMENTS,
        }
    }

    /// What it is told about the web store. A caller's own environment goes before it, and so does [`Launch::env`].
    #[must_use]
    pub fn settings(self) -> Vec<(&'static str, String)> {
        match self {
            Program::OutboxRelay => vec![
                ("STREAM", names::STREAM.to_owned()),
                ("STREAM_SUBJECTS", names::STREAM_SUBJECTS.join(",")),
                ("EVENT_SOURCE", names::ORDERS_SOURCE.to_owned()),
                ("WAKE_SUBJECT", names::ORDERS_WAKE_SUBJECT.to_owned()),
            ],
            Program::PaymentRelay => vec![
                ("STREAM", names::PAYMENTS_STREAM.to_owned()),
                ("STREAM_SUBJECTS", names::PAYMENTS_STREAM_SUBJECTS.join(",")),
                ("EVENT_SOURCE", names::PAYMENTS_SOURCE.to_owned()),
                ("WAKE_SUBJECT", names::PAYMENTS_WAKE_SUBJECT.to_owned()),
            ],
            // Whoever tries something out orders for the same address again and again, and wants to see the emails.
            Program::OrderSvc => vec![("ORDERS_PER_CUSTOMER_PER_HOUR", "0".to_owned())],
            Program::NotifySvc => vec![("MAILS_PER_RECIPIENT_PER_HOUR", "0".to_owned())],
            Program::PaymentSvc => Vec::new(),
        }
    }
}

/// The verb of a relay that looks at the rights of the relay's own user.
pub const OWN_CHECK: [&str; 2] = ["stream", "check"];

/// How to run a service under a name, from its file, on a port for its API and one for `/readyz`. It still has to be told
/// where its database and NATS are.
#[must_use]
pub fn launch(name: &str, file: &Path, [http, admin]: [u16; 2]) -> Launch {
    let launch = Launch::new(name, file)
        .arg("run")
        .env("HTTP_ADDR", format!("127.0.0.1:{http}"))
        .env("ADMIN_ADDR", format!("127.0.0.1:{admin}"))
        .on_launcher_death(Signal::SIGKILL); // with nobody left to read its logs, a drain could get stuck on them
    let named = Program::ALL.into_iter().find(|program| program.name() == name);
    let program = named.or_else(|| Program::ALL.into_iter().find(|program| file.ends_with(program.file())));
    let settings = program.map(Program::settings).unwrap_or_default();
    settings.into_iter().fold(launch, |launch, (name, value)| launch.env_default(name, value))
}

/// What is said before what a service says of why it is not ready.
pub const UNREADY: &str = "/readyz says: ";

/// Whether a service says that it is ready.
pub async fn readiness(admin_port: u16) -> Probe {
    match reqwest::get(format!("http://127.0.0.1:{admin_port}/readyz")).await {
        Ok(answer) if answer.status().is_success() => Probe::Ready,
        Ok(answer) => Probe::NotYet(format!("{UNREADY}{}", answer.text().await.unwrap_or_default().trim_end())),
        Err(error) => Probe::NotYet(error.to_string()),
    }
}
