//! The services: which there are, with which settings, and when each is ready.

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use stack::process::{Launch, describe};
use stack::server::mysql_url;
use tokio::time::{Instant, sleep, timeout};

use super::{Settings, Up, nats_password};

const READY_WITHIN: Duration = Duration::from_secs(60);
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

const PROGRAMS: [&str; 3] = ["order-svc", "outbox-relay", "notify-svc"];

/// One service to run.
pub(crate) struct Service {
    /// Its program, and its name in logs.
    pub(crate) name: &'static str,
    launch: Launch,
    admin_port: u16,
}

/// All of them, in the order in which they start. None is waited for before all run: notify-svc is ready when the
/// relay has made the stream.
pub(crate) fn services(up: &Up<'_>) -> [Service; 3] {
    let Settings { notify_svc_port, notify_svc_admin_port, .. } = *up.settings;
    let Settings { order_svc_port, order_svc_admin_port, outbox_relay_admin_port, .. } = *up.settings;
    let mail = up.data.join("mail").display().to_string();
    [
        Service::new(up, "notify-svc", "notify_svc", "notifications", notify_svc_admin_port)
            .env("HTTP_ADDR", &Settings::address(notify_svc_port))
            .default("EMAIL_TRANSPORT", "file")
            .default("EMAIL_DIR", &mail)
            .default("EMAIL_FROM", "orders@example.com")
            .like("OUTBOX_RETENTION", "RETENTION"),
        Service::new(up, "outbox-relay", "outbox_relay", "orders", outbox_relay_admin_port)
            .default("STREAM_REPLICAS", &up.settings.nats_nodes.to_string()),
        Service::new(up, "order-svc", "order_svc", "orders", order_svc_admin_port)
            .env("HTTP_ADDR", &Settings::address(order_svc_port)),
    ]
}

impl Service {
    fn new(up: &Up<'_>, name: &'static str, user: &str, database: &str, admin_port: u16) -> Service {
        let mysql_port = up.settings.mysql_port;
        let launch = Launch::new(name, up.programs.join(name))
            .arg("run")
            .env("DATABASE_URL", mysql_url(mysql_port, user, &up.passwords.of(user), database))
            .env("NATS_URL", up.settings.nats_url())
            .env("NATS_USER", name)
            .env("NATS_PASSWORD", up.passwords.of(&nats_password(name)))
            .env("ADMIN_ADDR", Settings::address(admin_port))
            .on_launcher_death(Signal::SIGKILL); // with nobody left to read its logs, a drain could get stuck on them
        Service { name, launch, admin_port }.default("LOG_FORMAT", "text")
    }

    fn env(mut self, name: &str, value: &str) -> Service {
        self.launch = self.launch.env(name, value);
        self
    }

    /// For what the caller of `stack up` may have set otherwise.
    fn default(self, name: &str, value: &str) -> Service {
        match env::var_os(name) {
            Some(_) => self, // inherited
            None => self.env(name, value),
        }
    }

    /// For what has to be as the caller of `stack up` may have set it for another service, under a name of its own.
    fn like(self, name: &str, other: &str) -> Service {
        match env::var(other) {
            Ok(value) => self.default(name, &value),
            Err(_) => self,
        }
    }

    /// How to start it, with a log that holds this run.
    pub(crate) fn launch(&self, up: &Up<'_>) -> anyhow::Result<Launch> {
        Ok(self.launch.clone().output(up.output(self.name)?))
    }

    /// Waits until its `/readyz` answers 200. That its process lives is the supervisor's concern.
    pub(crate) async fn until_ready(&self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", Settings::address(self.admin_port));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let why = match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{url} answered {}", answer.status()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                bail!("{} was not ready within {} s: {why}", self.name, READY_WITHIN.as_secs());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether all programs have been built.
    pub(crate) fn check_programs(folder: &Path) -> anyhow::Result<()> {
        for name in PROGRAMS {
            if !folder.join(name).is_file() {
                bail!("{name} is not built: run `make up`");
            }
        }
        Ok(())
    }
}

/// Runs a service's verb `migrate` to its end.
pub(crate) async fn migration(up: &Up<'_>, service: &'static str, admin_url: &str) -> anyhow::Result<()> {
    let output = up.output(&format!("{service}-migrate"))?;
    let launch = Launch::new(service, up.programs.join(service)).arg("migrate").env("DATABASE_URL", admin_url);
    let mut process = launch.output(output).spawn()?;
    let status = timeout(MIGRATE_WITHIN, process.wait()).await;
    let status = status.with_context(|| format!("{service} took too long to migrate"))??;
    if !status.success() {
        bail!("{service} could not migrate its database ({}): {}", describe(status), process.last_words());
    }
    Ok(())
}
