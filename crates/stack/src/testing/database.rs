//! A fresh database for a test, on a server that tests share.

use std::env;
use std::thread;
use std::time::Duration;

use runtime::config::Secret;
use runtime::mysql::{self, DatabaseConfig, DatabaseTls, Pool};
use schema::database::Definition;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Connection, MySqlPool};
use tokio::runtime::Builder;
use tokio::time::timeout;
use uuid::Uuid;

use super::{HOW, MySql};
use crate::{Engine, account};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A database of its own, migrated, with the users and grants of its definition. Dropped with this value.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: Server,
}

#[derive(Clone, Debug)]
struct Server {
    /// `user:password` and `host:port`.
    admin: String,
    address: String,
}

impl Database {
    /// Creates one on the shared server.
    ///
    /// # Panics
    /// If `stack test` did not start the server, or the definition does not apply.
    pub async fn create(engine: Engine, definition: &Definition) -> Database {
        let variable = engine.test_url_variable();
        let url = env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: {HOW}"));
        Database::create_at(&url, definition).await
    }

    /// Creates one on a server of the test's own.
    ///
    /// # Panics
    /// If the definition does not apply.
    pub async fn create_on(server: &MySql, definition: &Definition) -> Database {
        Database::create_at(&server.admin_url(""), definition).await
    }

    async fn create_at(admin_url: &str, definition: &Definition) -> Database {
        let server = Server::parse(admin_url);
        // The id's random end: what it starts with is the time, which two tests may share.
        let random = Uuid::now_v7().simple().to_string().split_off(16);
        let database = Database { name: format!("{}_{random}", definition.name), server };
        let made = account::set_up(admin_url, &database.name, definition, |_| Database::PASSWORD.to_owned()).await;
        made.unwrap_or_else(|error| panic!("{error:#}"));
        database
    }

    /// Every user's password on test servers.
    pub const PASSWORD: &str = "test";

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `mysql://` URL for one of the definition's users, who has the grants of production.
    #[must_use]
    pub fn url(&self, user: &str) -> String {
        format!("mysql://{user}:{}@{}/{}", Database::PASSWORD, self.server.address, self.name)
    }

    /// As [`Database::url`], by way of another port of this machine, such as a [`super::TcpProxy`]'s.
    #[must_use]
    pub fn url_through(&self, user: &str, port: u16) -> String {
        format!("mysql://{user}:{}@127.0.0.1:{port}/{}", Database::PASSWORD, self.name)
    }

    /// `mysql://` URL for the administrator, who may do everything.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("mysql://{}@{}/{}", self.server.admin, self.server.address, self.name)
    }

    /// The port of its server.
    #[must_use]
    pub fn port(&self) -> u16 {
        let (_, port) = self.server.address.rsplit_once(':').expect("the address has a port");
        port.parse().expect("a port is a number")
    }

    /// A pool for one of the definition's users, with the server's default session.
    ///
    /// # Panics
    /// If the user can't connect.
    pub async fn pool(&self, user: &str) -> MySqlPool {
        open(&self.url(user)).await
    }

    /// The pool that a service has, for one of the definition's users. With one connection, all run in one session.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn service_pool(&self, user: &str, connections_max: u32) -> Pool {
        self.service_pool_through(user, connections_max, self.port())
    }

    /// As [`Database::service_pool`], by way of another port of this machine.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn service_pool_through(&self, user: &str, connections_max: u32, port: u16) -> Pool {
        let config = DatabaseConfig {
            database_url: Secret::from(self.url_through(user, port)),
            database_tls: DatabaseTls::default(),
            database_connections_max: connections_max,
            database_acquire_timeout: ACQUIRE_TIMEOUT,
        };
        mysql::pool(&config).expect("the URL is ours")
    }

    /// A pool for the administrator.
    ///
    /// # Panics
    /// If the administrator can't connect.
    pub async fn admin_pool(&self) -> MySqlPool {
        open(&self.admin_url()).await
    }
}

impl Server {
    fn parse(url: &str) -> Server {
        let parts = url.strip_prefix("mysql://").and_then(|rest| rest.split_once('@'));
        let (admin, address) = parts.expect("a URL such as mysql://root:password@127.0.0.1:3306/");
        let address = address.split('/').next().unwrap_or(address);
        Server { admin: admin.to_owned(), address: address.to_owned() }
    }
}

async fn open(url: &str) -> MySqlPool {
    let pool = MySqlPoolOptions::new().max_connections(8).acquire_timeout(ACQUIRE_TIMEOUT).connect(url).await;
    pool.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

impl Drop for Database {
    /// Best effort, to keep the shared server small: it goes away with the test run anyway.
    fn drop(&mut self) {
        let (url, name) = (self.admin_url(), self.name.clone());
        // The test's own runtime can't be waited on from here.
        let dropping = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { timeout(Duration::from_secs(5), forget(&url, &name)).await })?
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("the database {} was left behind: {error:#}", self.name);
        }
    }
}

async fn forget(url: &str, name: &str) -> anyhow::Result<()> {
    let mut admin = account::connect(url).await?;
    // A connection that a test forgot may still hold a lock on a table.
    sqlx::raw_sql("SET SESSION lock_wait_timeout = 1").execute(&mut admin).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut admin).await?;
    admin.close().await?;
    Ok(())
}
