//! `stack up`: the whole pipeline, in the foreground.
//!
//! Guarantees that nothing is started before everything that can be checked has been, that a service that dies later is
//! started again and the end of a server ends the stack, that children stop in the reverse of the order in which they started, and that data is found again.

mod settings;
mod shell;
mod supervisor;
mod tokens;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use schema::names;
use stack::home::{Home, create_folder};
use stack::passwords::Passwords;
use stack::pipeline::Plan;
use stack::port;
use stack::process::{Launch, until_ready};
use stack::server::{Gateway, Nginx, PrometheusOptions, prometheus, prometheus_readiness};
use stack::service::{Program, readiness};

pub(crate) use settings::{Settings, nats_nodes};
use shell::Shell;
use supervisor::{Ending, Supervisor};
use tokens::Tokens;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// In the order in which they start. None is waited for before all run: who consumes is ready when the relay has made the
/// stream.
const SERVICES: [Program; 5] =
    [Program::NotifySvc, Program::PaymentRelay, Program::PaymentSvc, Program::OutboxRelay, Program::OrderSvc];

/// Brings it up, waits for its end, and stops what is left.
pub(crate) async fn run(home: &Home, settings: &Settings) -> anyhow::Result<ExitCode> {
    let _lock = home.lock()?;
    let shell = Shell::none(home)?;
    let mut supervisor = Supervisor::new()?;
    let ending = match Box::pin(bring_up(home, settings, &mut supervisor, &shell)).await {
        Ok(()) => supervisor.watch(!settings.no_restart).await,
        Err(ending) => ending,
    };
    drop(shell);
    supervisor.stop().await;
    match ending {
        Ending::Asked => Ok(ExitCode::SUCCESS),
        Ending::Failed(error) => Err(error),
    }
}

async fn bring_up(home: &Home, settings: &Settings, supervisor: &mut Supervisor, shell: &Shell) -> Result<(), Ending> {
    let plan = prepare(home, settings)?;
    let database = supervisor.during(announced(plan.engine.name(), Box::pin(plan.start_database()))).await?;
    supervisor.adopt(database.running);
    for nats in supervisor.during(announced("nats", Box::pin(plan.start_nats()))).await? {
        supervisor.adopt(nats.running);
    }
    for service in [Program::OrderSvc, Program::NotifySvc, Program::PaymentSvc] {
        let step = Box::pin(plan.set_up_database(service));
        supervisor.during(announced(&format!("database {}", service.database().name), step)).await?;
    }
    let tokens = settings.auth.then(|| Tokens::make(&plan.folder)).transpose()?;
    let launches = SERVICES.map(|service| Ok((service, launch(&plan, settings, service, tokens.as_ref())?)));
    let launches = launches.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for (_, launch) in &launches {
        supervisor.start(launch.clone())?;
    }
    for service in SERVICES {
        let [_, admin] = settings.ports_of(service);
        // That its process lives is the supervisor's concern.
        let step = until_ready(service.name(), READY_WITHIN, async || readiness(admin).await);
        supervisor.during(announced(service.name(), step)).await?;
    }
    let nginx = supervisor.during(announced("nginx", start_gateway(&plan, settings))).await?;
    supervisor.adopt(nginx.running);
    if settings.observe {
        supervisor.start(watcher(&plan, settings)?)?;
        let step =
            until_ready("prometheus", READY_WITHIN, async || prometheus_readiness(settings.prometheus_port).await);
        supervisor.during(announced("prometheus", step)).await?;
    }
    shell.make(&plan, &launches, settings, tokens.as_ref())?;
    print_table(&plan, settings, tokens.as_ref()).context("cannot write to the terminal")?;
    Ok(())
}

/// Everything that can go wrong before anything runs.
fn prepare(home: &Home, settings: &Settings) -> anyhow::Result<Plan> {
    let watcher = settings.observe.then_some("prometheus");
    for program in [settings.db.program(), "nats-server", "nginx"].into_iter().chain(watcher) {
        home.program(program)?;
    }
    for service in SERVICES {
        Plan::program(service)?;
    }
    port::check(&settings.ports())?;
    let folder = home.data(settings.db);
    create_folder(&folder.join("mail"))?;
    let passwords = Passwords::open(&folder.join("passwords"), folder.join("database").exists())?;
    Ok(Plan {
        home: home.clone(),
        engine: settings.db,
        folder,
        is_kept: true,
        buffer_pool_mib: 128,
        sync_always: true,
        has_accounts: true,
        passwords,
        database_port: settings.mysql_port,
        nats_ports: settings.nats_ports(),
        reserved: Vec::new(),
    })
}

/// How to run a service. What the caller of `stack up` has set otherwise goes before what is a default here.
fn launch(plan: &Plan, settings: &Settings, service: Program, tokens: Option<&Tokens>) -> anyhow::Result<Launch> {
    let launch = plan.launch(service.name(), service, settings.ports_of(service))?;
    let launch = match tokens {
        Some(tokens) => tokens.asked_by(launch, service),
        None => launch,
    };
    Ok(match service {
        Program::OrderSvc => consumer(launch).env_default("PAYMENTS_STREAM", names::PAYMENTS_STREAM),
        Program::OutboxRelay | Program::PaymentRelay => {
            launch.env_default("STREAM_REPLICAS", plan.nats_ports.len().to_string())
        }
        Program::NotifySvc => consumer(launch)
            .env_default("PAYMENTS_STREAM", names::PAYMENTS_STREAM)
            .env_default("EMAIL_TRANSPORT", "file")
            .env_default("EMAIL_DIR", plan.folder.join("mail"))
            .env_default("EMAIL_FROM", "orders@example.com")
            .env_default("ORDERS_URL", format!("http://{}", Settings::address(settings.order_svc_port))),
        Program::PaymentSvc => consumer(launch)
            .env_default("PAYMENT_PROVIDER", "simulated")
            .env_default("PAYMENT_SIMULATOR_DIR", plan.folder.join("provider")),
    })
}

/// Who consumes has to know how long the relay keeps an event.
fn consumer(launch: Launch) -> Launch {
    match env::var("RETENTION") {
        Ok(retention) => launch.env_default("OUTBOX_RETENTION", retention),
        Err(_) => launch,
    }
}

/// Says what is being waited for, and for how long it was.
async fn announced<T>(what: &str, step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let started = Instant::now();
    println!("{:<12} | starting {what}", "stack");
    let result = step.await?;
    println!("{:<12} | {what} is ready after {:.1} s", "stack", started.elapsed().as_secs_f64());
    Ok(result)
}

async fn start_gateway(plan: &Plan, settings: &Settings) -> anyhow::Result<Nginx> {
    let gateway = Gateway {
        operations: None,
        listen: Settings::address(settings.gateway_port),
        tls: None,
        order_svc: Settings::address(settings.order_svc_port),
        notify_svc: Settings::address(settings.notify_svc_port),
        payment_svc: Settings::address(settings.payment_svc_port),
        services_tls: None,
        folder: plan.folder.join("nginx"),
        output: plan.output("nginx")?,
    };
    let starting = tokio::time::timeout(Duration::from_secs(30), Nginx::start(&plan.home, &gateway));
    starting.await.context("nginx took too long to start")?
}

/// Prometheus, which is no server of the pipeline: when it dies it is started again, as a service is.
fn watcher(plan: &Plan, settings: &Settings) -> anyhow::Result<Launch> {
    let target = |service: Program| {
        let [_, admin] = settings.ports_of(service);
        (service.name(), admin)
    };
    let options = PrometheusOptions {
        folder: plan.folder.join("prometheus"),
        port: settings.prometheus_port,
        targets: SERVICES.map(target).to_vec(),
        interval_seconds: 5,
        hasten: 1,
        output: plan.output("prometheus")?,
    };
    prometheus(&plan.home, &options)
}

fn print_table(plan: &Plan, settings: &Settings, tokens: Option<&Tokens>) -> io::Result<()> {
    let Settings { db, gateway_port, mysql_port, nats_monitor_port, .. } = settings;
    let Settings { order_svc_admin_port, outbox_relay_admin_port, notify_svc_admin_port, .. } = settings;
    let Settings { payment_svc_admin_port, payment_relay_admin_port, .. } = settings;
    let gateway = format!("http://127.0.0.1:{gateway_port}");
    let (nats_url, data, logs) = (plan.nats_url(), plan.folder.display(), plan.home.log("*"));
    let alerts = match settings.observe {
        true => format!("  Prometheus           http://127.0.0.1:{}/, with the alerts\n", settings.prometheus_port),
        false => String::new(),
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\nThe stack is up. Ctrl-C stops it.\n\n\
         \x20 console              {gateway}/\n\
         \x20 order API            {gateway}/docs/order-service/\n\
         \x20 notification API     {gateway}/docs/notification-service/\n\
         \x20 payment API          {gateway}/docs/payment-service/\n\
         \x20 NATS                 {nats_url}, monitor http://127.0.0.1:{nats_monitor_port}/\n\
         \x20 {db:<20} 127.0.0.1:{mysql_port}, passwords in {data}/passwords\n\
         \x20 metrics              http://127.0.0.1:{order_svc_admin_port}/metrics (order-svc), \
         :{outbox_relay_admin_port} (outbox-relay), :{notify_svc_admin_port} (notify-svc), :{payment_svc_admin_port} (payment-svc), \
         :{payment_relay_admin_port} (payment-relay)\n\
         {alerts}\x20 mails                {data}/mail\n\
         \x20 logs                 {}\n\
         \x20 verbs and SQL        eval \"$(make -s env)\", then outbox-relay status, notify-svc status, orders-sql\n\n\
         Place an order, then read its notification and its payment:\n\n\
         \x20 curl -i {gateway}/api/orders -H 'content-type: application/json' \
         -d '{{\"product\":\"book\",\"quantity\":1,\"email\":\"reader@example.com\"}}'\n\
         \x20 curl '{gateway}/api/notifications?order_id=THE-ID'\n\
         \x20 curl '{gateway}/api/payments?order_id=THE-ID'\n",
        logs.display(),
    )?;
    match tokens {
        Some(tokens) => tokens.print(&mut out, &gateway)?,
        None => writeln!(out, "\nNobody is asked for a token; --auth has the APIs ask for one.")?,
    }
    out.flush()
}
