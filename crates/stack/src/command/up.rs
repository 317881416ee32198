//! `stack up`: the whole pipeline, in the foreground.
//!
//! Guarantees that nothing is started before everything that can be checked has been, that a service that dies later is
//! started again and the end of a server ends the stack, that children stop in the reverse of the order in which they started, and that data is found again.

mod passwords;
mod services;
mod settings;
mod supervisor;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use nix::sys::signal::Signal;
use schema::database::{Definition, NOTIFICATIONS, ORDERS};
use sqlx::Connection;
use stack::home::{Home, create_folder};
use stack::process::{Output, rotate};
use stack::server::{Gateway, MySql, MySqlOptions, NATS_USERS, Nats, NatsOptions, NatsPeer, NatsSetup, Nginx};
use stack::{account, port};

use passwords::Passwords;
use services::{Service, migration, services};
pub(crate) use settings::{Settings, nats_nodes};
use supervisor::{Ending, Supervisor};

/// Brings it up, waits for its end, and stops what is left.
pub(crate) async fn run(home: &Home, settings: &Settings) -> anyhow::Result<ExitCode> {
    let _lock = home.lock()?;
    let mut supervisor = Supervisor::new()?;
    let ending = match Box::pin(bring_up(home, settings, &mut supervisor)).await {
        Ok(()) => supervisor.watch(!settings.no_restart).await,
        Err(ending) => ending,
    };
    supervisor.stop().await;
    match ending {
        Ending::Asked => Ok(ExitCode::SUCCESS),
        Ending::Failed(error) => Err(error),
    }
}

/// What the steps share.
struct Up<'a> {
    home: &'a Home,
    settings: &'a Settings,
    passwords: Passwords,
    /// Where this engine's data is kept.
    data: PathBuf,
    /// Where the services' programs are.
    programs: PathBuf,
}

async fn bring_up(home: &Home, settings: &Settings, supervisor: &mut Supervisor) -> Result<(), Ending> {
    let up = prepare(home, settings)?;
    let database = supervisor.during(announced(settings.db.name(), Box::pin(start_database(&up)))).await?;
    let server_url = database.admin_url("");
    supervisor.adopt(database.into_running().into_process());
    let servers = (0..settings.nats_nodes).map(|index| start_nats(&up, index));
    for nats in supervisor.during(announced("nats", Box::pin(try_join_all(servers)))).await? {
        supervisor.adopt(nats.into_running().into_process());
    }
    for (service, definition) in [("order-svc", &ORDERS), ("notify-svc", &NOTIFICATIONS)] {
        let step = Box::pin(set_up_database(&up, &server_url, service, definition));
        supervisor.during(announced(&format!("database {}", definition.name), step)).await?;
    }
    let services = services(&up);
    for service in &services {
        supervisor.start(service.launch(&up)?)?;
    }
    for service in &services {
        supervisor.during(announced(service.name, service.until_ready())).await?;
    }
    let nginx = supervisor.during(announced("nginx", start_gateway(&up))).await?;
    supervisor.adopt(nginx.into_process());
    print_table(&up).context("cannot write to the terminal")?;
    Ok(())
}

/// Everything that can go wrong before anything runs.
fn prepare<'a>(home: &'a Home, settings: &'a Settings) -> anyhow::Result<Up<'a>> {
    for program in [settings.db.program(), "nats-server", "nginx"] {
        home.program(program)?;
    }
    let programs = std::env::current_exe().context("cannot tell where this program is")?;
    let programs = programs.parent().context("a program lies in a folder")?.to_owned();
    Service::check_programs(&programs)?;
    port::check(&settings.ports())?;
    let data = home.data(settings.db);
    for folder in [&data, &data.join("mail")] {
        create_folder(folder)?;
    }
    let users = ORDERS.users.iter().chain(NOTIFICATIONS.users).map(|user| (*user).to_owned());
    let users = users.chain(NATS_USERS.iter().map(|user| nats_password(user.name)));
    let passwords = Passwords::open(&data.join("passwords"), data.join("database").exists(), users)?;
    Ok(Up { home, settings, passwords, data, programs })
}

impl Up<'_> {
    /// To the terminal and to a log that holds this run.
    fn output(&self, name: &str) -> anyhow::Result<Output> {
        let log = self.home.log(name);
        rotate(&log)?;
        Ok(Output::Prefixed(log))
    }
}

/// The name under which a NATS user's password is kept, apart from that of a database user.
fn nats_password(user: &str) -> String {
    format!("nats:{user}")
}

/// Says what is being waited for, and for how long it was.
async fn announced<T>(what: &str, step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let started = Instant::now();
    println!("{:<12} | starting {what}", "stack");
    let result = step.await?;
    println!("{:<12} | {what} is ready after {:.1} s", "stack", started.elapsed().as_secs_f64());
    Ok(result)
}

async fn start_database(up: &Up<'_>) -> anyhow::Result<MySql> {
    let engine = up.settings.db;
    let options = MySqlOptions {
        engine,
        data: up.data.join("database"),
        port: up.settings.mysql_port,
        password: up.passwords.of("root"),
        buffer_pool_mib: 128,
        output: up.output(engine.name())?,
        on_launcher_death: Signal::SIGTERM,
    };
    MySql::start(up.home, options).await
}

/// One of them. Those of a cluster have a store of their own: a server that was alone takes no stream with it into one.
async fn start_nats(up: &Up<'_>, index: u16) -> anyhow::Result<Nats> {
    let Settings { nats_nodes, nats_port, nats_monitor_port, nats_cluster_port, .. } = *up.settings;
    let (name, data, cluster) = if nats_nodes == 1 {
        ("nats".to_owned(), up.data.join("nats"), None)
    } else {
        let name = format!("nats-{}", index + 1);
        let routes = up.settings.of_each_node(nats_cluster_port).collect();
        let peer = NatsPeer { name: name.clone(), port: nats_cluster_port.saturating_add(index), routes };
        (name.clone(), up.data.join("nats-cluster").join(name), Some(peer))
    };
    let options = NatsOptions {
        data,
        port: nats_port.saturating_add(index),
        monitor_port: nats_monitor_port.saturating_add(index),
        sync_always: true,
        output: up.output(&name)?,
        on_launcher_death: Signal::SIGTERM,
    };
    let accounts = NATS_USERS.iter().map(|user| (*user, up.passwords.of(&nats_password(user.name)))).collect();
    Nats::start_with(up.home, options, &NatsSetup { accounts, cluster, ..NatsSetup::default() }).await
}

/// The service migrates its database itself, as it does in production, with the administrator's URL.
async fn set_up_database(
    up: &Up<'_>,
    server_url: &str,
    service: &'static str,
    definition: &Definition,
) -> anyhow::Result<()> {
    let mut connection = account::connect(server_url).await.context("cannot connect to the database server")?;
    let created = account::create_database(&mut connection, definition.name).await;
    created.with_context(|| format!("cannot create the database {}", definition.name))?;
    connection.close().await.context("cannot disconnect from the database server")?;
    let url = format!("{server_url}{}", definition.name);
    migration(up, service, &url).await?;
    let mut connection = account::connect(&url).await.context("cannot connect to the database server")?;
    account::grant(&mut connection, definition, |user| up.passwords.of(user)).await?;
    connection.close().await.context("cannot disconnect from the database server")
}

async fn start_gateway(up: &Up<'_>) -> anyhow::Result<Nginx> {
    let gateway = Gateway {
        listen: Settings::address(up.settings.gateway_port),
        tls: None,
        order_svc: Settings::address(up.settings.order_svc_port),
        notify_svc: Settings::address(up.settings.notify_svc_port),
        folder: up.data.join("nginx"),
        output: up.output("nginx")?,
    };
    let starting = tokio::time::timeout(Duration::from_secs(30), Nginx::start(up.home, &gateway));
    starting.await.context("nginx took too long to start")?
}

fn print_table(up: &Up<'_>) -> io::Result<()> {
    let Settings { db, gateway_port, mysql_port, nats_monitor_port, .. } = up.settings;
    let nats_url = up.settings.nats_url();
    let Settings { order_svc_admin_port, outbox_relay_admin_port, notify_svc_admin_port, .. } = up.settings;
    let gateway = format!("http://127.0.0.1:{gateway_port}");
    let data = up.data.display();
    let logs = up.home.log("*");
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\nThe stack is up. Ctrl-C stops it.\n\n\
         \x20 gateway              {gateway}/\n\
         \x20 order API            {gateway}/docs/order-service/\n\
         \x20 notification API     {gateway}/docs/notification-service/\n\
         \x20 NATS                 {nats_url}, monitor http://127.0.0.1:{nats_monitor_port}/\n\
         \x20 {db:<20} 127.0.0.1:{mysql_port}, passwords in {data}/passwords\n\
         \x20 metrics              http://127.0.0.1:{order_svc_admin_port}/metrics (order-svc), \
         :{outbox_relay_admin_port} (outbox-relay), :{notify_svc_admin_port} (notify-svc)\n\
         \x20 mails                {data}/mail\n\
         \x20 logs                 {}\n\n\
         Place an order, then look for its notification:\n\n\
         \x20 curl -i {gateway}/api/orders -H 'content-type: application/json' \
         -d '{{\"product\":\"book\",\"quantity\":1,\"email\":\"reader@example.com\"}}'\n\
         \x20 curl '{gateway}/api/notifications?order_id=THE-ID'\n",
        logs.display(),
    )?;
    out.flush()
}
