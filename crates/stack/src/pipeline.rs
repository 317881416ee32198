//! What a measurement or a demonstration stands on: a database server, a broker and the services beside this program, all
//! of one run's own and gone after it. The database server has memory for all that a measurement writes.

use std::path::PathBuf;
use std::time::Duration;

use crate::home::Home;
use crate::port::Port;
use crate::process::{Launch, Output, Probe, Process};
use crate::server::{MySql, MySqlOptions, Nats, NatsOptions};
use crate::{Engine, account};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use schema::database::Definition;
use sqlx::MySqlPool;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};

use crate::scratch::Scratch;

const PASSWORD: &str = "bench";
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Longer than a machine is suspended for: a long measurement outlasts that.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(600);

/// The servers of one run.
pub struct Pipeline {
    /// The database server.
    pub mysql: MySql,
    /// The broker.
    pub nats: Nats,
    programs: PathBuf,
    scratch: Scratch,
    _ports: Vec<Port>,
}

impl Pipeline {
    /// Starts both servers, empty. `sync_always`: the broker flushes before it acknowledges a message.
    pub async fn start(home: &Home, engine: Engine, sync_always: bool) -> anyhow::Result<Self> {
        let programs = std::env::current_exe().context("cannot tell where this program is")?;
        let programs = programs.parent().context("a program lies in a folder")?.to_owned();
        let scratch = Scratch::new(home)?;
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve()).collect();
        let database = MySqlOptions {
            engine,
            data: scratch.path().join("database"),
            port: ports[0].number(),
            password: PASSWORD.to_owned(),
            buffer_pool_mib: 1024,
            output: Output::File(scratch.path().join("database.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let broker = NatsOptions {
            data: scratch.path().join("nats"),
            port: ports[1].number(),
            monitor_port: ports[2].number(),
            sync_always,
            output: Output::File(scratch.path().join("nats.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let mysql = MySql::start(home, database).await?;
        let nats = Nats::start(home, broker).await?;
        Ok(Self { mysql, nats, programs, scratch, _ports: ports })
    }

    /// A fresh database `name` with the schema and the users of a definition, and a pool of its administrator.
    pub async fn database(&self, name: &str, definition: &Definition) -> anyhow::Result<MySqlPool> {
        account::set_up(&self.mysql.admin_url(""), name, definition, |_| PASSWORD.to_owned()).await?;
        let url = self.mysql.admin_url(name);
        let options: MySqlConnectOptions = url.parse().context("the URL is ours")?;
        // As the services connect: what is measured by this pool is not to be encryption.
        let options = options.ssl_mode(MySqlSslMode::Disabled);
        let pool = MySqlPoolOptions::new().max_connections(4).acquire_timeout(ACQUIRE_WITHIN);
        pool.connect_with(options).await.context("cannot connect")
    }

    /// URL of a database for one of its users.
    pub fn url(&self, user: &str, database: &str) -> String {
        self.mysql.url(user, PASSWORD, database)
    }

    /// Starts a service, with further settings, and waits until it is ready.
    pub async fn service(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let mut service = self.launch(name, settings)?;
        service.until_ready().await?;
        Ok(service)
    }

    /// Starts a service that lies beside this program, with further settings.
    pub fn launch(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let program = self.programs.join(name);
        if !program.is_file() {
            bail!("{name} is not built: it belongs beside {}", self.programs.join("stack").display());
        }
        let (http, admin) = (Port::reserve(), Port::reserve());
        let mut launch = Launch::new(name, program)
            .arg("run")
            .env("HTTP_ADDR", format!("127.0.0.1:{}", http.number()))
            .env("ADMIN_ADDR", format!("127.0.0.1:{}", admin.number()))
            .env("NATS_URL", self.nats.url())
            .output(Output::File(self.scratch.path().join(format!("{name}.log"))))
            .on_launcher_death(Signal::SIGKILL);
        for (variable, value) in settings {
            launch = launch.env(*variable, value);
        }
        Ok(Service { process: launch.spawn()?, http, admin })
    }
}

/// A service that runs.
pub struct Service {
    process: Process,
    http: Port,
    admin: Port,
}

impl Service {
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let ready = format!("http://127.0.0.1:{}/readyz", self.admin.number());
        let probe = async || match reqwest::get(&ready).await {
            Ok(answer) if answer.status().is_success() => Probe::Ready,
            Ok(answer) => Probe::NotYet(format!("/readyz answered {}", answer.status())),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        self.process.until_ready(READY_WITHIN, probe).await
    }

    /// HOST:PORT of its API.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http.number())
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        self.process.tail(lines)
    }

    /// The last it wrote, for an error.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// The most memory that it has held, as the kernel says it, in megabytes.
    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.context("cannot read how much memory a service has held")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse().context("VmHWM is a number")?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Asks it to stop, and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.stop(STOP_WITHIN).await.context("cannot stop a service").map(drop)
    }

    /// Ends it.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("cannot kill a service").map(drop)
    }
}
