//! A database that is replicated semi-synchronously: its primary dies under load and the replica takes its place. A proxy
//! stands for the virtual address that moves.

use schema::database::{NOTIFICATIONS, ORDERS};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Executor, MySqlPool, Row};
use stack::testing::{Database, MySql, Nats, TcpProxy, eventually};
use stack::{Engine, both_engines};

use crate::load::Load;
use crate::services::Services;
use crate::verdict::every_event_once_and_in_order;

/// A commit is acknowledged, and seen by others, when the replica has it. The wait for the replica outlasts the test.
fn arguments(engine: Engine, server_id: u8) -> Vec<String> {
    let own: &[&str] = match engine {
        Engine::MySql => &[
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--plugin-load-add=semisync_source.so",
            "--plugin-load-add=semisync_replica.so",
            "--loose-rpl-semi-sync-source-timeout=600000",
            "--loose-rpl-semi-sync-replica-enabled=ON",
        ],
        Engine::MariaDb => &[
            "--log-slave-updates=ON",
            "--gtid-strict-mode=ON",
            "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
            "--rpl-semi-sync-master-timeout=600000",
            "--rpl-semi-sync-slave-enabled=ON",
        ],
    };
    let own = own.iter().map(|argument| (*argument).to_owned());
    own.chain([format!("--server-id={server_id}")]).collect()
}

struct Words {
    forget: &'static str,
    follow: &'static str,
    start: &'static str,
    protect: &'static str,
    wait_for_replica: &'static str,
    replica_is_there: &'static str,
    stop_receiving: &'static str,
    status: &'static str,
    received: &'static str,
    applied: &'static str,
    promote: [&'static str; 3],
}

/// MariaDB and MySQL have no word of replication in common.
fn words(engine: Engine) -> Words {
    match engine {
        Engine::MySql => Words {
            forget: "RESET BINARY LOGS AND GTIDS",
            follow: "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_USER='root', SOURCE_PASSWORD='test', \
                     GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=1, SOURCE_PORT=",
            start: "START REPLICA",
            protect: "SET GLOBAL super_read_only = ON",
            wait_for_replica: "SET GLOBAL rpl_semi_sync_source_enabled = ON",
            replica_is_there: "SHOW STATUS LIKE 'Rpl_semi_sync_source_clients'",
            stop_receiving: "STOP REPLICA IO_THREAD",
            status: "SHOW REPLICA STATUS",
            received: "Retrieved_Gtid_Set",
            applied: "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 30)",
            promote: ["STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = OFF"],
        },
        Engine::MariaDb => Words {
            forget: "RESET MASTER",
            follow: "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='root', MASTER_PASSWORD='test', \
                     MASTER_USE_GTID=slave_pos, MASTER_PORT=",
            start: "START SLAVE",
            protect: "SET GLOBAL read_only = ON",
            wait_for_replica: "SET GLOBAL rpl_semi_sync_master_enabled = ON",
            replica_is_there: "SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'",
            stop_receiving: "STOP SLAVE IO_THREAD",
            status: "SHOW SLAVE STATUS",
            received: "Gtid_IO_Pos",
            applied: "SELECT MASTER_GTID_WAIT(?, 30)",
            promote: ["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"],
        },
    }
}

struct Pair {
    words: Words,
    primary: MySql,
    replica: MySql,
    replica_admin: MySqlPool,
}

impl Pair {
    async fn start(engine: Engine) -> Self {
        let words = words(engine);
        let primary = MySql::start_with(engine, &arguments(engine, 1)).await;
        let replica = MySql::start_with(engine, &arguments(engine, 2)).await;
        let primary_admin = MySqlPool::connect(&primary.admin_url("")).await.unwrap();
        let replica_admin = MySqlPool::connect(&replica.admin_url("")).await.unwrap();
        let follow = format!("{}{}", words.follow, primary.port());
        for (admin, statement) in [
            // Both servers made `root` by themselves.
            (&primary_admin, words.forget),
            (&replica_admin, words.forget),
            (&replica_admin, &follow),
            (&replica_admin, words.start),
            (&replica_admin, words.protect),
        ] {
            run(admin, statement).await;
        }
        run(&primary_admin, words.wait_for_replica).await;
        let pair = Self { words, primary, replica, replica_admin };
        eventually("the replica is there", async || {
            let status = row(&primary_admin, pair.words.replica_is_there).await;
            status.get::<String, _>(1) == "1"
        })
        .await;
        pair
    }

    /// What a failover manager does: the replica applies what it has received, and becomes the primary.
    async fn promote(&mut self) {
        let admin = &self.replica_admin;
        run(admin, self.words.stop_receiving).await;
        let received: String = row(admin, self.words.status).await.get(self.words.received);
        let applied: i64 =
            sqlx::query_scalar(AssertSqlSafe(self.words.applied)).bind(received).fetch_one(admin).await.unwrap();
        assert_eq!(applied, 0, "the replica does not apply what it has received");
        for statement in self.words.promote {
            run(admin, statement).await;
        }
    }
}

async fn run(admin: &MySqlPool, statement: &str) {
    let done = admin.execute(AssertSqlSafe(statement.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn row(admin: &MySqlPool, statement: &'static str) -> MySqlRow {
    sqlx::raw_sql(statement).fetch_one(admin).await.unwrap()
}

both_engines! {
    async fn a_replica_that_is_promoted_under_load_has_all_that_was_committed_and_it_is_published_once(engine: Engine) {
        let mut pair = Pair::start(engine).await;
        let orders = Database::create_on(&pair.primary, &ORDERS).await;
        let notifications = Database::create_on(&pair.primary, &NOTIFICATIONS).await;
        let nats = Nats::start_with_accounts().await;
        let mut address = TcpProxy::start(pair.primary.port()).await;
        let port = address.port();
        let services =
            Services::new(|user| orders.url_through(user, port), |user| notifications.url_through(user, port), &nats.url());
        let services = services.start().await;
        let load = Load::start(&services);
        load.until_more(50).await;

        pair.primary.kill().await;
        pair.promote().await;
        address.redirect(pair.replica.port()).await;
        load.until_more(50).await;
        let asked = load.stop().await;

        let database = |database: &Database| pair.replica.admin_url(database.name());
        let orders = MySqlPool::connect(&database(&orders)).await.unwrap();
        let notifications = MySqlPool::connect(&database(&notifications)).await.unwrap();
        every_event_once_and_in_order(&orders, &notifications, &nats.url(), &asked).await;
    }
}
