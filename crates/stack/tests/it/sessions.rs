//! A server whose defaults are set to what would break us: sessions don't take them over.

use std::collections::BTreeMap;

use runtime::mysql::Pool;
use schema::database::{NOTIFICATIONS, ORDERS};
use sqlx::{AssertSqlSafe, MySqlConnection};
use stack::testing::{Database, MySql, Nats, eventually};
use stack::{Engine, both_engines};

use crate::services::Services;

/// What each engine takes, beside `init_connect`.
fn hostile(engine: Engine) -> Vec<&'static str> {
    let both = [
        "autocommit = 0",
        "completion_type = 2",
        "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE'",
        "time_zone = '+09:00'",
        "foreign_key_checks = 0",
        "unique_checks = 0",
        "sql_safe_updates = 1",
        "sql_auto_is_null = 1",
        "sql_select_limit = 1",
        "max_join_size = 1",
        "sql_big_selects = 0",
        "max_sort_length = 64",
        "div_precision_increment = 0",
        "lock_wait_timeout = 1",
        "innodb_lock_wait_timeout = 1",
        "character_set_client = 'latin1'",
        "character_set_results = 'latin1'",
        "character_set_connection = 'latin1'",
        "collation_connection = 'latin1_german1_ci'",
        "init_connect = 'SET autocommit = 0'",
    ];
    let own: &[&str] = match engine {
        Engine::MySql => {
            &["max_execution_time = 1", "transaction_isolation = 'SERIALIZABLE'", "transaction_read_only = 1"]
        }
        Engine::MariaDb => &[
            // Long enough for the statements that set a session: `variables` tells whether it is taken over.
            "max_statement_time = 1",
            "check_constraint_checks = 0",
            "tx_isolation = 'SERIALIZABLE'",
            "tx_read_only = 1",
        ],
    };
    both.into_iter().chain(own.iter().copied()).collect()
}

async fn spoil(admin: &mut MySqlConnection, engine: Engine) {
    for setting in hostile(engine) {
        let spoiling = sqlx::raw_sql(AssertSqlSafe(format!("SET GLOBAL {setting}"))).execute(&mut *admin).await;
        spoiling.unwrap_or_else(|error| panic!("{setting}: {error}"));
    }
}

/// How a session of this pool is set.
async fn variables(pool: &Pool, engine: Engine) -> BTreeMap<String, String> {
    let all: Vec<(String, String)> = sqlx::query_as("SHOW SESSION VARIABLES").fetch_all(pool).await.unwrap();
    let is_spoilt = |name: &str| hostile(engine).iter().any(|setting| setting.split(' ').next() == Some(name));
    all.into_iter().filter(|(name, _)| is_spoilt(name) && name != "init_connect").collect()
}

const INSERT: &str = "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
     VALUES (REPEAT('o', 16), 'tea', 1, 'ada@example.com', 'placed', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))";

both_engines! {
    async fn no_default_of_the_server_changes_what_a_session_does(engine: Engine) {
        let server = MySql::start(engine).await;
        let orders = Database::create_on(&server, &ORDERS).await;
        // One session, from before: another would have what is set next.
        let mut admin = orders.admin_pool().await.acquire().await.unwrap();
        let sound = variables(&orders.service_pool("order_svc", 1), engine).await;
        assert_eq!(sound.len(), hostile(engine).len() - 1, "{sound:?}");
        spoil(&mut admin, engine).await;
        let pool = orders.service_pool("order_svc", 1);
        assert_eq!(variables(&pool, engine).await, sound);
        sqlx::query(INSERT).execute(&pool).await.unwrap();
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&mut *admin).await.unwrap();
        assert_eq!(there, 1, "it is committed");
    }

    async fn the_services_do_their_work_whatever_the_servers_defaults(engine: Engine) {
        let server = MySql::start(engine).await;
        let orders = Database::create_on(&server, &ORDERS).await;
        let notifications = Database::create_on(&server, &NOTIFICATIONS).await;
        let nats = Nats::start_with_accounts().await;
        let mut admin = orders.admin_pool().await.acquire().await.unwrap();
        spoil(&mut admin, engine).await;
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &nats.url());
        let services = services.start().await;
        let ids = [services.place().await, services.place().await];
        for id in &ids {
            services.until_notified(id).await;
        }
        let settled = "SELECT COUNT(*) FROM outbox WHERE state = 'published'";
        eventually("the settles are committed", async || {
            sqlx::query_scalar::<_, i64>(settled).fetch_one(&mut *admin).await.unwrap() == 2
        })
        .await;
    }
}
