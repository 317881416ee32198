//! A nats-server with JetStream.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, Probe, Process};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

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

/// A running nats-server.
#[derive(Debug)]
pub struct Nats {
    options: NatsOptions,
    launch: Launch,
    process: Process,
}

impl Nats {
    /// Starts it. When this returns, JetStream answers.
    ///
    /// # Errors
    /// One line: its program is missing, its folder can't be written, or it did not start.
    pub async fn start(home: &Home, options: NatsOptions) -> anyhow::Result<Nats> {
        let program = home.program("nats-server")?;
        create_folder(&options.data)?;
        let path = options.data.join("nats.conf");
        fs::write(&path, configuration(&options)).with_context(|| format!("cannot write {}", path.display()))?;
        let launch = Launch::new("nats", program)
            .arg("--config")
            .arg(&path)
            .output(options.output.clone())
            .on_launcher_death(options.on_launcher_death);
        let process = launch.spawn()?;
        let mut server = Nats { options, launch, process };
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

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// As [`Process::stop`].
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.stop(STOP_WITHIN).await.context("cannot stop nats-server")
    }

    /// Kills it with SIGKILL. What it acknowledged survives: the operating system has it.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.kill().await.context("cannot kill nats-server")
    }

    /// Starts it again after [`Nats::stop`] or [`Nats::kill`], on the same store and ports.
    ///
    /// # Errors
    /// As [`Nats::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = self.launch.spawn()?;
        self.until_ready().await
    }

    /// The process, to signal it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, for whoever watches it from now on.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let url = self.url();
        let probe = async || {
            let client = match async_nats::ConnectOptions::new().connect(&url).await {
                Ok(client) => client,
                Err(error) => return Probe::NotYet(error.to_string()),
            };
            match async_nats::jetstream::new(client).query_account().await {
                Ok(_) => Probe::Ready,
                Err(error) => Probe::NotYet(format!("JetStream does not answer: {error}")),
            }
        };
        self.process.until_ready(READY_WITHIN, probe).await
    }
}

fn store(options: &NatsOptions) -> PathBuf {
    options.data.join("store")
}

fn configuration(options: &NatsOptions) -> String {
    let NatsOptions { port, monitor_port, sync_always, .. } = options;
    let store = serde_json::Value::from(store(options).to_string_lossy()); // quoted, should it hold a space
    let sync = if *sync_always { "sync_interval: always" } else { "" };
    format!(
        "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor_port}\"\nserver_name: stack\n\
         jetstream {{\n  store_dir: {store}\n  {sync}\n}}\n"
    )
}
