//! The pipeline that is put to the proof: real servers, the services as processes under their least-privilege users, a proxy
//! in each line between a service and whom it asks, a mail server for each notify-svc and the folder that stands for the payment
//! provider, which nothing is done to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use async_nats::ConnectOptions;
use futures::future::join_all;
use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use schema::names;
use sqlx::MySqlConnection;
use stack::home::Home;
use stack::pipeline::Plan;
use stack::port::Port;
use stack::process::{Probe, Running};
use stack::proof::Evidence;
use stack::proxy::TcpProxy;
use stack::server::mysql_url;
use stack::service::{Program, readiness};
use stack::smtp::SmtpServer;
use stack::{Engine, account};
use tokio::sync::Mutex;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than a service's own grace: what takes longer has not stopped as it promises.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Whom notify-svc asks to whom an email goes.
const ORDER_SVC: &str = "order-svc";

/// The services, by their names here, in the order in which events pass them.
const SERVICES: [(&str, Program); 8] = [
    (ORDER_SVC, Program::OrderSvc),
    ("outbox-relay-1", Program::OutboxRelay),
    ("outbox-relay-2", Program::OutboxRelay),
    ("payment-svc-1", Program::PaymentSvc),
    ("payment-svc-2", Program::PaymentSvc),
    ("payment-relay", Program::PaymentRelay),
    ("notify-svc-1", Program::NotifySvc),
    ("notify-svc-2", Program::NotifySvc),
];

/// Told to each of them that knows it.
const SETTINGS: [(&str, &str); 9] = [
    ("PROOF_HORIZON", "5s"), // so that events are proven while it goes on
    ("PUBLISH_TIMEOUT", "2s"),
    ("LEASE_TIME", "3s"),
    ("DEDUP_WINDOW", "10s"), // the shortest that these two allow: faults outlast it
    ("ACK_WAIT", "20s"),     // the shortest that it takes: what a kill left unanswered comes again after this
    ("EMAIL_TRANSPORT", "smtp"),
    ("EMAIL_FROM", "shop@example.com"),
    ("PAYMENT_PROVIDER", "simulated"),
    ("PAYMENTS_STREAM", names::PAYMENTS_STREAM),
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
    /// By service: a mail server of its own for each that sends emails.
    pub(super) mail_servers: BTreeMap<&'static str, SmtpServer>,
    plan: Plan,
    ports: BTreeMap<&'static str, [Port; 2]>,
    /// Of the payment provider.
    books: PathBuf,
}

/// Connections of the administrator to each database.
pub(super) struct Databases {
    pub(super) orders: MySqlConnection,
    pub(super) notifications: MySqlConnection,
    pub(super) payments: MySqlConnection,
}

/// The names of the processes and of the lines between them, by which faults are drawn.
pub(super) fn names(engine: Engine, nats_nodes: u16) -> (Vec<String>, Vec<String>) {
    let services = || SERVICES.iter().map(|(name, ..)| (*name).to_owned());
    let servers = std::iter::once(engine.name().to_owned()).chain(Plan::nats_names(nats_nodes.into()));
    let lines = SERVICES.iter().flat_map(|(name, service)| {
        let asked = (*service == Program::NotifySvc).then_some(ORDER_SVC);
        [engine.name(), "nats"].into_iter().chain(asked).map(|server| line(name, server))
    });
    (services().chain(servers).collect(), lines.collect())
}

fn line(service: &str, server: &str) -> String {
    format!("{service} to {server}")
}

impl Pipeline {
    /// Starts all of it in `folder`; when this returns, each service is ready.
    pub(super) async fn start(home: &Home, folder: &Path, engine: Engine, nats_nodes: u16) -> anyhow::Result<Pipeline> {
        let plan = Plan::temporary(home, folder, engine, nats_nodes);
        let (mysql, nats) = (plan.start_database().await?, plan.start_nats().await?);
        for service in [Program::OrderSvc, Program::NotifySvc, Program::PaymentSvc] {
            plan.set_up_database(service).await?;
        }
        let ports = SERVICES.map(|(name, _)| (name, [Port::reserve(), Port::reserve()])).into();
        let (victims, mail_servers, books) = (BTreeMap::new(), BTreeMap::new(), folder.join("provider"));
        let mut pipeline = Pipeline { victims, mail_servers, plan, ports, books };
        pipeline.add(engine.name().to_owned(), Victim::Process(Box::new(mysql.running)));
        for server in nats {
            pipeline.add(server.running.process.name().to_owned(), Victim::Process(Box::new(server.running)));
        }
        for (name, service) in SERVICES {
            pipeline.add_service(name, service).await?;
        }
        pipeline.until_ready().await?;
        Ok(pipeline)
    }

    fn add(&mut self, name: String, victim: Victim) {
        self.victims.insert(name, Mutex::new(victim));
    }

    async fn add_service(&mut self, name: &'static str, service: Program) -> anyhow::Result<()> {
        let Plan { engine, database_port, .. } = self.plan;
        let database = TcpProxy::start(database_port).await;
        let mut nats = Vec::new();
        for [port, ..] in &self.plan.nats_ports {
            nats.push(TcpProxy::start(*port).await);
        }
        let password = self.plan.passwords.of(service.user());
        let nats_urls: Vec<String> = nats.iter().map(|proxy| format!("nats://127.0.0.1:{}", proxy.port())).collect();
        let mut launch = self
            .plan
            .launch(name, service, self.ports[name].each_ref().map(Port::number))?
            .env("DATABASE_URL", mysql_url(database.port(), service.user(), &password, service.database().name))
            .env("NATS_URL", nats_urls.join(","))
            .env("STREAM_REPLICAS", nats.len().to_string())
            .env("PAYMENT_SIMULATOR_DIR", &self.books);
        for (variable, value) in SETTINGS {
            launch = launch.env(variable, value);
        }
        if service == Program::NotifySvc {
            let mut mail_server = SmtpServer::new();
            mail_server.start().await.context("cannot start a mail server")?;
            let order_svc = TcpProxy::start(self.ports[ORDER_SVC][0].number()).await;
            let orders_url = format!("http://127.0.0.1:{}", order_svc.port());
            launch = launch.env("SMTP_URL", mail_server.url()).env("ORDERS_URL", orders_url);
            self.mail_servers.insert(name, mail_server);
            self.add(line(name, ORDER_SVC), Victim::Line(vec![order_svc]));
        }
        self.add(line(name, engine.name()), Victim::Line(vec![database]));
        self.add(line(name, "nats"), Victim::Line(nats));
        self.add(name.to_owned(), Victim::Process(Box::new(Running::start(launch, STOP_WITHIN)?)));
        Ok(())
    }

    /// order-svc's `http://` URL.
    pub(super) fn order_svc(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[ORDER_SVC][0].number())
    }

    /// Waits until each service says that it is ready.
    async fn until_ready(&self) -> anyhow::Result<()> {
        for (name, [_, admin]) in &self.ports {
            if let Victim::Process(running) = &mut *self.victims[*name].lock().await {
                running.process.until_ready(READY_WITHIN, async || readiness(admin.number()).await).await?;
            }
        }
        Ok(())
    }

    /// The services that are not ready now.
    pub(super) async fn unready(&self) -> Vec<String> {
        let asked = self.ports.iter().map(async |(service, [_, admin])| match readiness(admin.number()).await {
            Probe::Ready => None,
            Probe::NotYet(reason) | Probe::Never(reason) => Some(format!("{service} is not ready: {reason}")),
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The processes of the services, in the order in which events pass them.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'static str, &Mutex<Victim>)> {
        SERVICES.iter().map(|(name, ..)| (*name, &self.victims[*name]))
    }

    /// Reads what is there.
    pub(super) async fn evidence(&self) -> anyhow::Result<Evidence> {
        let Databases { mut orders, mut notifications, mut payments } = self.databases().await?;
        let nats = self.admin().await?;
        let evidence = Evidence::read(&mut orders, &mut notifications, &nats).await?;
        evidence.with_payments((&mut orders, &mut notifications, &mut payments), &nats, &self.books).await
    }

    /// Connects to each of them.
    pub(super) async fn databases(&self) -> anyhow::Result<Databases> {
        let connect = async |name| {
            let connected = account::connect(&self.plan.database_url("root", name)).await;
            connected.with_context(|| format!("cannot connect to the database {name}"))
        };
        let (orders, notifications) = (connect(ORDERS.name).await?, connect(NOTIFICATIONS.name).await?);
        let payments = connect(PAYMENTS.name).await?;
        Ok(Databases { orders, notifications, payments })
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

    /// A connection to NATS of the user who may read the streams through consumers of its own.
    pub(super) async fn admin(&self) -> anyhow::Result<async_nats::Client> {
        let options = ConnectOptions::with_user_and_password("admin".to_owned(), self.plan.passwords.of_nats("admin"));
        let urls = self.plan.nats_url();
        let urls: Vec<&str> = urls.split(',').collect();
        let connecting = options.custom_inbox_prefix("_INBOX.admin").connect(urls);
        connecting.await.context("cannot connect to NATS")
    }
}
