//! One pipeline of real processes, for whoever runs one: a database server, nats-servers with the accounts of production or
//! open ones, databases that the services migrate, and services under their own users.
//!
//! Guarantees that `up`, `prove`, the demonstration and the benchmarks differ in what the [`Plan`] says and in who watches
//! the processes. Ports of a temporary pipeline are its own while the plan lives.

mod temporary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use nix::sys::signal::Signal;
use sqlx::Connection;
use tokio::time::timeout;

use crate::home::Home;
use crate::passwords::Passwords;
use crate::port::Port;
use crate::process::{Launch, Output, describe, rotate};
use crate::server::{MySql, MySqlOptions, NATS_USERS, Nats, NatsOptions, NatsPeer, NatsSetup, NatsUser, mysql_url};
use crate::service::{self, Program};
use crate::{Engine, account};

pub use temporary::{Pipeline, Service};

const PASSWORD: &str = "test";
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

/// What a pipeline is made of. Every port is one of 127.0.0.1.
pub struct Plan {
    /// Where the programs of servers are.
    pub home: Home,
    /// Which database server.
    pub engine: Engine,
    /// Folder of all data.
    pub folder: PathBuf,
    /// Whether the data is to outlive the run: logs then go to the terminal, too, and a server whose launcher dies stops in an
    /// orderly way.
    pub is_kept: bool,
    /// The InnoDB buffer pool, in MiB.
    pub buffer_pool_mib: u32,
    /// Whether a nats-server flushes before it acknowledges a message.
    pub sync_always: bool,
    /// Whether NATS has the accounts of production; otherwise everybody may do everything.
    pub has_accounts: bool,
    /// Of all users.
    pub passwords: Passwords,
    /// Of the database server.
    pub database_port: u16,
    /// Of each nats-server: for clients, for its monitor and for the others.
    pub nats_ports: Vec<[u16; 3]>,
    /// Of what is temporary.
    pub reserved: Vec<Port>,
}

impl Plan {
    /// Of a pipeline whose data and logs are in `folder` and that nobody will miss.
    #[must_use]
    pub fn temporary(home: &Home, folder: &Path, engine: Engine, nats_nodes: u16) -> Plan {
        let reserved: Vec<Port> = (0..=3 * nats_nodes).map(|_| Port::reserve()).collect();
        let (nats_ports, _) = reserved[1..].as_chunks::<3>();
        Plan {
            home: home.clone(),
            engine,
            folder: folder.to_owned(),
            is_kept: false,
            buffer_pool_mib: 64,
            sync_always: true,
            has_accounts: true,
            passwords: Passwords::Same(PASSWORD),
            database_port: reserved[0].number(),
            nats_ports: nats_ports.iter().map(|ports| ports.each_ref().map(Port::number)).collect(),
            reserved,
        }
    }

    /// The file of a program of ours, beside this one.
    ///
    /// # Errors
    /// If it is not built.
    pub fn program(program: Program) -> anyhow::Result<PathBuf> {
        let this = std::env::current_exe().context("cannot tell where this program is")?;
        let file = this.with_file_name(program.file());
        if !file.is_file() {
            bail!("{} is not built: it belongs beside {}", program.file(), this.display());
        }
        Ok(file)
    }

    /// The names of so many nats-servers.
    pub fn nats_names(nodes: usize) -> impl Iterator<Item = String> {
        (1..=nodes).map(move |number| if nodes == 1 { "nats".to_owned() } else { format!("nats-{number}") })
    }

    /// Where the output of a process goes: to a log that holds this run.
    ///
    /// # Errors
    /// If the log of an earlier run can't be moved aside.
    pub fn output(&self, name: &str) -> anyhow::Result<Output> {
        if !self.is_kept {
            return Ok(Output::File(self.folder.join(format!("{name}.log"))));
        }
        let log = self.home.log(name);
        rotate(&log)?;
        Ok(Output::Prefixed(log))
    }

    /// `mysql://` URL of a database for one of its users.
    #[must_use]
    pub fn database_url(&self, user: &str, database: &str) -> String {
        mysql_url(self.database_port, user, &self.passwords.of(user), database)
    }

    /// `nats://` URLs of all nats-servers.
    #[must_use]
    pub fn nats_url(&self) -> String {
        let urls = self.nats_ports.iter().map(|[port, ..]| format!("nats://127.0.0.1:{port}"));
        urls.collect::<Vec<_>>().join(",")
    }

    /// Starts the database server.
    ///
    /// # Errors
    /// As [`MySql::start`].
    pub async fn start_database(&self) -> anyhow::Result<MySql> {
        let temporary = MySqlOptions::temporary(self.engine, &self.folder, self.database_port);
        let buffer_pool_mib = self.buffer_pool_mib;
        if !self.is_kept {
            return MySql::start_temporary(&self.home, MySqlOptions { buffer_pool_mib, ..temporary }).await;
        }
        let options = MySqlOptions {
            data: self.folder.join("database"),
            password: self.passwords.of("root"),
            buffer_pool_mib,
            output: self.output(self.engine.name())?,
            on_launcher_death: Signal::SIGTERM,
            ..temporary
        };
        MySql::start(&self.home, options).await
    }

    /// Starts the nats-servers. Those of a cluster have a store of their own: a server that was alone takes no stream with it
    /// into one.
    ///
    /// # Errors
    /// As [`Nats::start`].
    pub async fn start_nats(&self) -> anyhow::Result<Vec<Nats>> {
        let (nodes, names) = (self.nats_ports.len(), Plan::nats_names(self.nats_ports.len()));
        let routes: Vec<u16> = self.nats_ports.iter().map(|[.., peers]| *peers).collect();
        let user = |user: &NatsUser| (*user, self.passwords.of_nats(user.name));
        let accounts = if self.has_accounts { NATS_USERS.iter().map(user).collect() } else { Vec::new() };
        let starting = names.zip(&self.nats_ports).map(async |(name, [port, monitor_port, peers])| {
            let folder = if nodes == 1 { self.folder.clone() } else { self.folder.join("nats-cluster") };
            let options = NatsOptions {
                data: folder.join(&name),
                port: *port,
                monitor_port: *monitor_port,
                sync_always: self.sync_always,
                output: self.output(&name)?,
                on_launcher_death: if self.is_kept { Signal::SIGTERM } else { Signal::SIGKILL },
            };
            let cluster = (nodes > 1).then(|| NatsPeer { name, port: *peers, routes: routes.clone() });
            let setup = NatsSetup { accounts: accounts.clone(), cluster, ..NatsSetup::default() };
            Nats::start(&self.home, options, &setup).await
        });
        try_join_all(starting).await
    }

    /// Creates the database of a service, has the service migrate it, as it does in production, and creates its users.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub async fn set_up_database(&self, service: Program) -> anyhow::Result<()> {
        let definition = service.database();
        let server_url = self.database_url("root", "");
        let mut connection = account::connect(&server_url).await.context("cannot connect to the database server")?;
        let created = account::create_database(&mut connection, definition.name).await;
        created.with_context(|| format!("cannot create the database {}", definition.name))?;
        connection.close().await.context("cannot disconnect from the database server")?;
        let url = self.database_url("root", definition.name);
        self.migrate(service, &url).await?;
        let mut connection = account::connect(&url).await.context("cannot connect to the database server")?;
        account::grant(&mut connection, definition, |user| self.passwords.of(user)).await?;
        connection.close().await.context("cannot disconnect from the database server")
    }

    /// Runs a service's verb `migrate` to its end.
    async fn migrate(&self, service: Program, admin_url: &str) -> anyhow::Result<()> {
        let name = service.name();
        let output = self.output(&format!("{name}-migrate"))?;
        let launch = Launch::new(name, Plan::program(service)?).arg("migrate").env("DATABASE_URL", admin_url);
        let mut process = launch.output(output).spawn()?;
        let status = timeout(MIGRATE_WITHIN, process.wait()).await;
        let status = status.with_context(|| format!("{name} took too long to migrate"))??;
        if !status.success() {
            bail!("{name} could not migrate its database ({}): {}", describe(status), process.last_words());
        }
        Ok(())
    }

    /// How to run a service, under a name for logs and messages, on a port for its API and one for `/readyz`.
    ///
    /// # Errors
    /// If it is not built, or the log of an earlier run can't be moved aside.
    pub fn launch(&self, name: &str, service: Program, ports: [u16; 2]) -> anyhow::Result<Launch> {
        let launch = service::launch(name, &Plan::program(service)?, ports)
            .env("DATABASE_URL", self.database_url(service.user(), service.database().name))
            .env("NATS_URL", self.nats_url())
            .output(self.output(name)?);
        if !self.has_accounts {
            return Ok(launch);
        }
        Ok(launch.env("NATS_USER", service.name()).env("NATS_PASSWORD", self.passwords.of_nats(service.name())))
    }
}
