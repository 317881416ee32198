//! A nats-server with JetStream: alone or one of a cluster, open or with the accounts of production.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, Probe, Running};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How to run a nats-server.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Folder of its configuration and its streams; created when it does not exist.
    pub data: PathBuf,
    /// Port for clients on 127.0.0.1.
    pub port: u16,
    /// Port of its HTTP monitor on 127.0.0.1.
    pub monitor_port: u16,
    /// Whether a PubAck means that the message is on disk. Otherwise it means that the operating system has it, and
    /// the server flushes every two minutes.
    pub sync_always: bool,
    /// Where its output goes.
    pub output: Output,
    /// Which signal it gets when the launcher dies.
    pub on_launcher_death: Signal,
}

/// What a nats-server of production has and a plain one lacks.
#[derive(Clone, Debug, Default)]
pub struct NatsSetup {
    /// The users of `k8s/base/nats/accounts.conf`, each with a password of letters and digits. None: everybody may do
    /// everything.
    pub accounts: Vec<(NatsUser, String)>,
    /// None: plain text.
    pub tls: Option<NatsTls>,
    /// None: it is alone.
    pub cluster: Option<NatsPeer>,
    /// Further lines of its configuration, such as feature flags.
    pub further: String,
}

/// A user of `k8s/base/nats/accounts.conf`.
#[derive(Clone, Copy, Debug)]
pub struct NatsUser {
    /// The user.
    pub name: &'static str,
    /// Where the server looks for the password.
    pub variable: &'static str,
}

/// All that accounts.conf has.
pub const NATS_USERS: [NatsUser; 7] = [
    NatsUser { name: "order-svc", variable: "ORDER_SVC_PASSWORD" },
    NatsUser { name: "outbox-relay", variable: "OUTBOX_RELAY_PASSWORD" },
    NatsUser { name: "notify-svc", variable: "NOTIFY_SVC_PASSWORD" },
    NatsUser { name: "payment-svc", variable: "PAYMENT_SVC_PASSWORD" },
    NatsUser { name: "payment-relay", variable: "PAYMENT_RELAY_PASSWORD" },
    NatsUser { name: "operator", variable: "OPERATOR_PASSWORD" },
    NatsUser { name: "admin", variable: "ADMIN_PASSWORD" },
];

/// Files of a nats-server that speaks TLS, and only with clients that have a certificate themselves.
#[derive(Clone, Debug)]
pub struct NatsTls {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The key to it.
    pub key: PathBuf,
    /// Who vouches for clients.
    pub clients_ca: PathBuf,
}

/// One server of a cluster.
#[derive(Clone, Debug)]
pub struct NatsPeer {
    /// Its name, which the others know it by.
    pub name: String,
    /// Its port for the others on 127.0.0.1.
    pub port: u16,
    /// The ports of all of them.
    pub routes: Vec<u16>,
}

const ACCOUNTS: &str = include_str!("../../../../k8s/base/nats/accounts.conf");

/// A running nats-server.
#[derive(Debug)]
pub struct Nats {
    options: NatsOptions,
    setup: NatsSetup,
    /// Its process. What it acknowledged survives a kill: the operating system has it.
    pub running: Running,
}

impl Nats {
    /// Starts it. When this returns, JetStream answers. One of a cluster is ready when most of the cluster is: start them
    /// together.
    ///
    /// # Errors
    /// One line: its program is missing, its folder can't be written, or it did not start.
    pub async fn start(home: &Home, options: NatsOptions, setup: &NatsSetup) -> anyhow::Result<Nats> {
        let program = home.program("nats-server")?;
        create_folder(&options.data)?;
        let path = options.data.join("nats.conf");
        let accounts = options.data.join("accounts.conf");
        for (path, text) in [(&path, configuration(&options, setup).as_str()), (&accounts, ACCOUNTS)] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let name = setup.cluster.as_ref().map_or("nats", |peer| &peer.name);
        let mut launch = Launch::new(name, program)
            .arg("--config")
            .arg(&path)
            .output(options.output.clone())
            .on_launcher_death(options.on_launcher_death);
        for (user, password) in &setup.accounts {
            launch = launch.env(user.variable, format!("\"{password}\""));
        }
        let mut server = Nats { options, setup: setup.clone(), running: Running::start(launch, STOP_WITHIN)? };
        server.until_ready().await?;
        Ok(server)
    }

    /// `nats://` URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.options.port)
    }

    /// `http://` URL of its monitor, without a slash at the end.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.options.monitor_port)
    }

    /// The folder that holds its streams: remove or rewind it to make the broker forget.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        store(&self.options)
    }

    /// Starts it again after it was ended, on the same store and ports.
    ///
    /// # Errors
    /// As [`Nats::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.running.start_again()?;
        self.until_ready().await
    }

    /// Changes the passwords of users, as whoever rotates them does: the server reads its configuration again, and ends the
    /// connections of these users.
    ///
    /// # Errors
    /// If the configuration can't be written, or the server does not run.
    pub fn set_passwords(&self, passwords: &[(NatsUser, &str)]) -> anyhow::Result<()> {
        let set = |text: String, (user, password): &(NatsUser, &str)| {
            text.replace(&format!("${}", user.variable), &format!("\"{password}\""))
        };
        let path = self.options.data.join("accounts.conf");
        let accounts = passwords.iter().fold(ACCOUNTS.to_owned(), set);
        fs::write(&path, accounts).with_context(|| format!("cannot write {}", path.display()))?;
        self.running.signal(Signal::SIGHUP)
    }

    /// Sets the further lines of its configuration, for its next start.
    ///
    /// # Errors
    /// If the configuration can't be written.
    pub fn set_further(&self, further: &str) -> anyhow::Result<()> {
        let setup = NatsSetup { further: further.to_owned(), ..self.setup.clone() };
        let path = self.options.data.join("nats.conf");
        fs::write(&path, configuration(&self.options, &setup))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let (health, port) = (format!("{}/healthz", self.monitor_url()), self.options.port);
        let probe = async || match reqwest::get(&health).await {
            Ok(answer) if !answer.status().is_success() => {
                Probe::NotYet(format!("it is not well: {}", answer.text().await.unwrap_or_default()))
            }
            Ok(_) => match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Ok(_) => Probe::Ready,
                Err(error) => Probe::NotYet(format!("it takes no clients: {error}")),
            },
            Err(error) => Probe::NotYet(error.to_string()),
        };
        self.running.process.until_ready(READY_WITHIN, probe).await
    }
}

fn store(options: &NatsOptions) -> PathBuf {
    options.data.join("store")
}

fn configuration(options: &NatsOptions, setup: &NatsSetup) -> String {
    let NatsOptions { port, monitor_port, sync_always, .. } = options;
    let NatsSetup { accounts, tls, cluster, further } = setup;
    let name = cluster.as_ref().map_or("stack", |peer| &peer.name);
    let store = quoted(&store(options));
    let sync = if *sync_always { "sync_interval: always" } else { "" };
    let mut text = format!(
        "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor_port}\"\nserver_name: {name}\n\
         jetstream {{\n  store_dir: {store}\n  {sync}\n}}\n{further}\n"
    );
    if !accounts.is_empty() {
        text += "include \"accounts.conf\"\n";
    }
    if let Some(NatsTls { certificate, key, clients_ca }) = tls {
        let (certificate, key, clients_ca) = (quoted(certificate), quoted(key), quoted(clients_ca));
        text += &format!(
            "tls {{\n  cert_file: {certificate}\n  key_file: {key}\n  ca_file: {clients_ca}\n  verify: true\n}}\n"
        );
    }
    if let Some(NatsPeer { port, routes, .. }) = cluster {
        let routes: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        text += &format!(
            // Clients and servers are given all addresses; told of others, they would go around a proxy.
            "cluster {{\n  name: stack\n  listen: \"127.0.0.1:{port}\"\n  no_advertise: true\n  \
             advertise: \"127.0.0.1:1\"\n  routes: [{}]\n}}\n",
            routes.join(", ")
        );
    }
    text
}

/// Should the path hold a space.
fn quoted(path: &Path) -> Value {
    Value::from(path.to_string_lossy())
}
