//! The pipeline that is put to the proof: real servers, the services as processes under their least-privilege users, a proxy
//! in each line between a service and a server, and a mail server for each notify-svc, which nothing is done to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::ConnectOptions;
use futures::future::{join_all, try_join_all};
use nix::sys::signal::Signal;
use schema::database::{NOTIFICATIONS, ORDERS};
use sqlx::MySqlConnection;
use stack::Engine;
use stack::account;
use stack::home::Home;
use stack::port::Port;
use stack::process::{Launch, Output, Probe, Running};
use stack::proof::Evidence;
use stack::proxy::TcpProxy;
use stack::server::{MySql, NATS_USERS, Nats, NatsOptions, NatsPeer, NatsSetup, mysql_url};
use stack::smtp::SmtpServer;
use tokio::sync::Mutex;

const PASSWORD: &str = "prove";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than a service's own grace: what takes longer has not stopped as it promises.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Each service: its name here, its program and its database user.
const SERVICES: [(&str, &str, &str); 5] = [
    ("order-svc", "order-svc", "order_svc"),
    ("outbox-relay-1", "outbox-relay", "outbox_relay"),
    ("outbox-relay-2", "outbox-relay", "outbox_relay"),
    ("notify-svc-1", "notify-svc", "notify_svc"),
    ("notify-svc-2", "notify-svc", "notify_svc"),
];

/// Whom a fault can hit.
pub(super) enum Victim {
    Process(Box<Running>),
    /// It was asked to stop for good, and has ended.
    Ended,
    /// A proxy for each server at the other end.
    Line(Vec<TcpProxy>),
}

/// All that runs.
pub(super) struct Pipeline {
    /// By name. Services are started and ended by whoever holds theirs.
    pub(super) victims: BTreeMap<String, Mutex<Victim>>,
    /// order-svc's `http://` URL.
    pub(super) order_svc: String,
    /// By service: a mail server of its own for each that sends emails.
    pub(super) mail_servers: BTreeMap<&'static str, SmtpServer>,
    database_url: String,
    nats_urls: Vec<String>,
    admin_ports: BTreeMap<&'static str, u16>,
    _ports: Vec<Port>,
}

/// The names of the processes and of the lines between them, by which faults are drawn.
pub(super) fn names(engine: Engine, nats_nodes: u16) -> (Vec<String>, Vec<String>) {
    let services = || SERVICES.iter().map(|(name, ..)| (*name).to_owned());
    let servers = std::iter::once(engine.name().to_owned()).chain((1..=nats_nodes).map(nats_name));
    let lines = services().flat_map(|service| [line(&service, engine.name()), line(&service, "nats")]);
    (services().chain(servers).collect(), lines.collect())
}

fn nats_name(number: u16) -> String {
    format!("nats-{number}")
}

fn line(service: &str, server: &str) -> String {
    format!("{service} to {server}")
}

impl Pipeline {
    /// Starts all of it in `folder`; when this returns, each service is ready.
    pub(super) async fn start(home: &Home, folder: &Path, engine: Engine, nats_nodes: u16) -> anyhow::Result<Pipeline> {
        let programs = programs()?;
        let port = Port::reserve();
        let mysql = MySql::start_from_template(home, engine, folder, port.number()).await?;
        let (database_url, database_port) = (mysql.admin_url(""), port.number());
        for definition in [&ORDERS, &NOTIFICATIONS] {
            account::set_up(&database_url, definition.name, definition, |_| PASSWORD.to_owned()).await?;
        }
        let (nats, nats_ports) = start_nats(home, folder, nats_nodes).await?;
        let mut pipeline = Pipeline {
            victims: BTreeMap::new(),
            order_svc: String::new(),
            mail_servers: BTreeMap::new(),
            database_url,
            nats_urls: nats.iter().map(Nats::url).collect(),
            admin_ports: BTreeMap::new(),
            _ports: vec![port],
        };
        let client_ports: Vec<u16> = nats_ports.iter().map(|[client, ..]| client.number()).collect();
        pipeline._ports.extend(nats_ports.into_iter().flatten());
        pipeline.add(engine.name().to_owned(), Victim::Process(Box::new(mysql.into_running())));
        for (number, server) in (1..).zip(nats) {
            pipeline.add(nats_name(number), Victim::Process(Box::new(server.into_running())));
        }
        for service in SERVICES {
            let database = TcpProxy::start(database_port).await;
            let mut nats = Vec::new();
            for port in &client_ports {
                nats.push(TcpProxy::start(*port).await);
            }
            if service.1 == "notify-svc" {
                let mut mail_server = SmtpServer::new();
                mail_server.start().await.context("cannot start a mail server")?;
                pipeline.mail_servers.insert(service.0, mail_server);
            }
            let launch = pipeline.launch(&programs, folder, service, (&database, &nats))?;
            pipeline.add(line(service.0, engine.name()), Victim::Line(vec![database]));
            pipeline.add(line(service.0, "nats"), Victim::Line(nats));
            let running = Running::start(launch, STOP_WITHIN)?;
            pipeline.add(service.0.to_owned(), Victim::Process(Box::new(running)));
        }
        pipeline.until_ready().await?;
        Ok(pipeline)
    }

    fn add(&mut self, name: String, victim: Victim) {
        self.victims.insert(name, Mutex::new(victim));
    }

    fn launch(
        &mut self,
        programs: &Path,
        folder: &Path,
        (name, program, user): (&'static str, &str, &str),
        (database, nats): (&TcpProxy, &[TcpProxy]),
    ) -> anyhow::Result<Launch> {
        let path = programs.join(program);
        if !path.is_file() {
            bail!("{program} is not built: it belongs beside {}", programs.join("stack").display());
        }
        let (http, admin) = (Port::reserve(), Port::reserve());
        if program == "order-svc" {
            self.order_svc = format!("http://127.0.0.1:{}", http.number());
        }
        self.admin_ports.insert(name, admin.number());
        let schema = if program == "notify-svc" { NOTIFICATIONS.name } else { ORDERS.name };
        let nats: Vec<String> = nats.iter().map(|proxy| format!("nats://127.0.0.1:{}", proxy.port())).collect();
        let launch = Launch::new(name, path)
            .arg("run")
            .env("HTTP_ADDR", format!("127.0.0.1:{}", http.number()))
            .env("ADMIN_ADDR", format!("127.0.0.1:{}", admin.number()))
            .env("DATABASE_URL", mysql_url(database.port(), user, PASSWORD, schema))
            .env("NATS_URL", nats.join(","))
            .env("NATS_USER", program)
            .env("NATS_PASSWORD", PASSWORD)
            .env("LOG_FORMAT", "text")
            .env("STREAM_REPLICAS", nats.len().to_string())
            .env("PROOF_HORIZON", "5s") // so that events are proven while it goes on
            .env("PUBLISH_TIMEOUT", "2s")
            .env("LEASE_TIME", "3s")
            .env("DEDUP_WINDOW", "10s") // the shortest that these two allow: faults outlast it
            .env("ACK_WAIT", "20s") // the shortest that it takes: what a kill left unanswered comes again after this
            .env("EMAIL_TRANSPORT", "smtp")
            .env("SMTP_URL", self.mail_servers.get(name).map(SmtpServer::url).unwrap_or_default())
            .env("EMAIL_FROM", "shop@example.com")
            .output(Output::File(folder.join(format!("{name}.log"))))
            .on_launcher_death(Signal::SIGKILL);
        self._ports.extend([http, admin]);
        Ok(launch)
    }

    /// Waits until the database takes connections and each service says that it is ready.
    async fn until_ready(&self) -> anyhow::Result<()> {
        for (service, port) in &self.admin_ports {
            if let Victim::Process(running) = &mut *self.victims[*service].lock().await {
                running.until_ready(READY_WITHIN, async || readiness(*port).await).await?;
            }
        }
        Ok(())
    }

    /// The services that are not ready now.
    pub(super) async fn unready(&self) -> Vec<String> {
        let asked = self.admin_ports.iter().map(async |(service, port)| match readiness(*port).await {
            Probe::Ready => None,
            Probe::NotYet(why) | Probe::Never(why) => Some(format!("{service} is not ready: {why}")),
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The processes of the services, in the order in which events pass them.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'static str, &Mutex<Victim>)> {
        SERVICES.iter().map(|(name, ..)| (*name, &self.victims[*name]))
    }

    /// Reads what is there.
    pub(super) async fn evidence(&self) -> anyhow::Result<Evidence> {
        let (mut orders, mut notifications) = self.databases().await?;
        Evidence::read(&mut orders, &mut notifications, &self.operator().await?).await
    }

    /// Connections of the administrator to the databases of the orders and of the notifications.
    pub(super) async fn databases(&self) -> anyhow::Result<(MySqlConnection, MySqlConnection)> {
        let connect = async |name| account::connect(&format!("{}{name}", self.database_url)).await;
        let connected = futures::try_join!(connect(ORDERS.name), connect(NOTIFICATIONS.name));
        connected.context("cannot connect to the database")
    }

    /// Kills what still runs, and waits for its end: the folder is not written to any more.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        for victim in self.victims.into_values() {
            if let Victim::Process(mut running) = victim.into_inner() {
                running.kill().await?;
            }
        }
        Ok(())
    }

    /// A connection to NATS of the user who may read everything.
    pub(super) async fn operator(&self) -> anyhow::Result<async_nats::Client> {
        let options = ConnectOptions::with_user_and_password("operator".to_owned(), PASSWORD.to_owned());
        let connecting = options.custom_inbox_prefix("_INBOX.operator").connect(&self.nats_urls);
        connecting.await.context("cannot connect to NATS")
    }
}

async fn readiness(admin_port: u16) -> Probe {
    match reqwest::get(format!("http://127.0.0.1:{admin_port}/readyz")).await {
        Ok(answer) if answer.status().is_success() => Probe::Ready,
        Ok(answer) => Probe::NotYet(format!("/readyz answered {}", answer.status())),
        Err(error) => Probe::NotYet(error.to_string()),
    }
}

fn programs() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(program.parent().context("a program lies in a folder")?.to_owned())
}

/// One server, or those of a cluster, and their ports: for clients, for the monitor and for each other.
async fn start_nats(home: &Home, folder: &Path, nodes: u16) -> anyhow::Result<(Vec<Nats>, Vec<[Port; 3]>)> {
    let ports: Vec<_> = (0..nodes).map(|_| [Port::reserve(), Port::reserve(), Port::reserve()]).collect();
    let routes: Vec<u16> = ports.iter().map(|[.., peers]| peers.number()).collect();
    let starting = (1..).zip(&ports).map(async |(number, [client, monitor, peers])| {
        let name = nats_name(number);
        let options = NatsOptions {
            data: folder.join(&name),
            port: client.number(),
            monitor_port: monitor.number(),
            sync_always: true,
            output: Output::File(folder.join(format!("{name}.log"))),
            on_launcher_death: Signal::SIGKILL,
        };
        let peer = NatsPeer { name, port: peers.number(), routes: routes.clone() };
        let setup = NatsSetup {
            accounts: NATS_USERS.iter().map(|user| (*user, PASSWORD.to_owned())).collect(),
            cluster: (nodes > 1).then_some(peer),
            ..NatsSetup::default()
        };
        Nats::start_with(home, options, &setup).await
    });
    Ok((try_join_all(starting).await?, ports))
}
