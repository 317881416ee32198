//! A pipeline for a measurement or a demonstration, gone with its value.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::MySqlPool;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};

use super::Plan;
use crate::Engine;
use crate::home::Home;
use crate::port::Port;
use crate::process::Running;
use crate::scratch::Scratch;
use crate::server::{MySql, Nats};
use crate::service::{Program, readiness};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Longer than a machine is suspended for: a long measurement outlasts that.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(600);

/// The servers, and who starts services on them. The database server has memory for all that a measurement writes, and
/// everybody may do everything at NATS.
pub struct Pipeline {
    /// The database server.
    pub mysql: MySql,
    /// The broker.
    pub nats: Nats,
    plan: Plan,
    /// Of the API of order-svc, whether it runs or not; of the first one, if several do.
    orders: Arc<Port>,
    _scratch: Scratch,
}

impl Pipeline {
    /// Starts both servers, empty. `sync_always`: the broker flushes before it acknowledges a message.
    ///
    /// # Errors
    /// As the servers.
    pub async fn start(home: &Home, engine: Engine, sync_always: bool) -> anyhow::Result<Self> {
        let scratch = Scratch::new(home)?;
        let plan = Plan::temporary(home, scratch.path(), engine, 1);
        let plan = Plan { buffer_pool_mib: 1024, sync_always, has_accounts: false, ..plan };
        let mysql = plan.start_database().await?;
        let nats = plan.start_nats().await?.remove(0);
        Ok(Self { mysql, nats, plan, orders: Arc::new(Port::reserve()), _scratch: scratch })
    }

    /// Creates the database of a service with its schema and users, for a pool of its administrator.
    ///
    /// # Errors
    /// As [`Plan::set_up_database`].
    pub async fn database(&self, service: Program) -> anyhow::Result<MySqlPool> {
        self.plan.set_up_database(service).await?;
        let url = self.plan.database_url("root", service.database().name);
        let options: MySqlConnectOptions = url.parse().context("the URL is ours")?;
        // As the services connect: what is measured by this pool is not to be encryption.
        let options = options.ssl_mode(MySqlSslMode::Disabled);
        let pool = MySqlPoolOptions::new().max_connections(4).acquire_timeout(ACQUIRE_WITHIN);
        pool.connect_with(options).await.context("cannot connect")
    }

    /// URL of a database for one of its users.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        self.plan.database_url(user, database)
    }

    /// Starts a service, with further settings, and waits until it is ready.
    ///
    /// # Errors
    /// If it is not built, or does not become ready.
    pub async fn service(&self, service: Program, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let mut service = self.launch(service, settings)?;
        let admin = service.admin.number();
        service.running.process.until_ready(READY_WITHIN, async || readiness(admin).await).await?;
        Ok(service)
    }

    /// Starts a service, with further settings.
    ///
    /// # Errors
    /// If it is not built.
    pub fn launch(&self, service: Program, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let is_first = service == Program::OrderSvc && Arc::strong_count(&self.orders) == 1;
        let http = if is_first { Arc::clone(&self.orders) } else { Arc::new(Port::reserve()) };
        let admin = Port::reserve();
        let mut launch = self.plan.launch(service.name(), service, [http.number(), admin.number()])?;
        if service == Program::NotifySvc {
            launch = launch.env("ORDERS_URL", format!("http://127.0.0.1:{}", self.orders.number()));
        }
        let launch = settings.iter().fold(launch, |launch, (variable, value)| launch.env(*variable, value));
        Ok(Service { running: Running::start(launch, STOP_WITHIN)?, http, admin })
    }
}

/// A service that runs.
pub struct Service {
    /// Its process.
    pub running: Running,
    http: Arc<Port>,
    admin: Port,
}

impl Service {
    /// HOST:PORT of its API.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http.number())
    }

    /// HOST:PORT of its `/readyz` and `/metrics`.
    #[must_use]
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin.number())
    }

    /// The most memory that it has held, as the kernel says it, in megabytes.
    ///
    /// # Errors
    /// If the kernel does not say it: it has ended.
    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.process.pid()));
        let status = status.context("cannot read how much memory a service has held")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse().context("VmHWM is a number")?;
        Ok(kib * 1024.0 / 1e6)
    }
}
