//! The services' pool of database connections: what becomes of one that was left in the middle of something.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use runtime::mysql::{Pool, PooledConnection, Transaction, UNCHECKED_IDLE, is_transient};
use schema::database::ORDERS;
use sqlx::{Connection, MySqlPool};
use stack::both_engines;
use stack::testing::{Database, Engine, MySql, TcpProxy, eventually};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

const USER: &str = "order_svc";

const INSERT: &str = "INSERT INTO orders (id, product, quantity, email, status, version, created_at, updated_at)
     VALUES (REPEAT('o', 16), 'tea', 1, 'ada@example.com', 'placed', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))";

async fn session(pool: &Pool) -> u64 {
    sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(pool).await.unwrap()
}

/// A transaction that has inserted an order.
async fn insertion(pool: &Pool) -> Transaction {
    let mut tx = pool.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut tx).await.unwrap();
    tx
}

/// The threads of our user at the server.
async fn threads(admin: &MySqlPool) -> i64 {
    let threads = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?";
    sqlx::query_scalar(threads).bind(USER).fetch_one(admin).await.unwrap()
}

async fn orders(pool: &Pool) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(pool).await.unwrap()
}

both_engines! {
    async fn a_statement_that_is_refused_costs_no_connection(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let first = session(&pool).await;
        sqlx::query("SELECT nonsense").execute(&pool).await.unwrap_err();
        sqlx::query(INSERT).execute(&pool).await.unwrap();
        sqlx::query(INSERT).execute(&pool).await.unwrap_err();
        assert_eq!(session(&pool).await, first);
    }

    async fn a_transaction_that_came_to_its_end_costs_no_connection(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let first = session(&pool).await;
        let tx = insertion(&pool).await;
        tx.rollback().await.unwrap();
        assert_eq!((orders(&pool).await, session(&pool).await), (0, first));

        let tx = insertion(&pool).await;
        tx.commit().await.unwrap();
        assert_eq!((orders(&pool).await, session(&pool).await), (1, first));
    }

    async fn a_transaction_that_is_dropped_is_rolled_back(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let tx = insertion(&pool).await;
        drop(tx);
        // Waits for the row until it is rolled back.
        sqlx::query(INSERT).execute(&pool).await.unwrap();
        assert_eq!(orders(&pool).await, 1);
    }

    async fn a_statement_that_is_left_is_not_waited_for(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let first = session(&pool).await;
        let mut tx = insertion(&pool).await;
        let sleeping = sqlx::query("DO SLEEP(3600)").execute(&mut tx);
        timeout(Duration::from_millis(100), sleeping).await.expect_err("it sleeps");
        drop(tx);
        assert_ne!(session(&pool).await, first);
        eventually("the server gives up, too", async || {
            // This waits for the row while nobody knows what becomes of it.
            sqlx::query("DELETE FROM orders").execute(&database.admin_pool().await).await.is_ok()
        })
        .await;
        assert_eq!(orders(&pool).await, 0);
    }

    async fn a_transaction_whose_line_fell_silent_is_given_up(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let mut line = TcpProxy::start(database.port()).await;
        let pool = database.service_pool_through(USER, 2, line.port());
        let mut tx = insertion(&pool).await;
        line.lose().await;
        let late = sqlx::query("DO 1").execute(&mut tx).await.unwrap_err();
        assert!(is_transient(&late), "{late}");
        let after = sqlx::query("DO 1").execute(&mut tx).await.unwrap_err();
        assert!(after.to_string().contains("left before its end"), "{after}");
        tx.commit().await.unwrap_err();
        eventually("the server has rolled it back", async || sqlx::query(INSERT).execute(&pool).await.is_ok()).await;
        assert_eq!(orders(&pool).await, 1);
    }

    /// The answer of the first must not be taken for that of the second.
    async fn a_statement_that_is_left_ends_its_transaction(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let mut tx = pool.begin().await.unwrap();
        let sleeping = sqlx::query("DO SLEEP(0.3)").execute(&mut tx);
        timeout(Duration::from_millis(20), sleeping).await.expect_err("it sleeps");
        let two = sqlx::query_scalar::<_, i32>("SELECT 2").fetch_one(&mut tx).await;
        assert!(two.unwrap_err().to_string().contains("left before its end"));
        tx.commit().await.unwrap_err();
        assert_eq!(orders(&pool).await, 0);
    }

    async fn the_server_never_has_more_threads_than_the_pool_connections(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let admin = database.admin_pool().await;
        let pool = database.service_pool(USER, 4);
        let locks = [("FLUSH TABLES WITH READ LOCK", INSERT), ("LOCK TABLES orders WRITE", "SELECT COUNT(*) FROM orders")];
        for (lock, statement) in locks {
            // Unlocks when it is closed.
            let mut other = admin.acquire().await.unwrap();
            sqlx::raw_sql(lock).execute(&mut *other).await.unwrap();
            let (mut most, mut waiting, mut pace) = (0, JoinSet::new(), interval(Duration::from_millis(25)));
            for _ in 0..100 {
                pace.tick().await;
                let pool = pool.clone();
                // A client that hangs up: what waits for the lock is left in its middle.
                waiting.spawn(async move {
                    timeout(Duration::from_millis(200), sqlx::query(statement).execute(&pool)).await.is_err()
                });
                most = most.max(threads(&admin).await);
            }
            let left = waiting.join_all().await.into_iter().filter(|is_left| *is_left).count();
            assert!(left == 100 && most <= 5, "{lock}: {most} threads, {left} were left");
            other.detach().close().await.unwrap();
            eventually("the pool is as it was", async || pool.acquire().await.map(PooledConnection::release).is_ok()).await;
        }
    }

    async fn what_is_given_up_is_ended_and_nothing_else(engine: Engine) {
        let server = MySql::start_with(engine, &["--connect-timeout=600".to_owned()]).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let admin = database.admin_pool().await;
        // Sees the threads of everybody, also of those who are logging in and have no host yet.
        sqlx::raw_sql("GRANT PROCESS ON *.* TO order_svc").execute(&admin).await.unwrap();
        let mut strangers = Vec::new();
        for _ in 0..3 {
            let mut stranger = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).await.unwrap();
            stranger.read_u32().await.unwrap();
            strangers.push(stranger);
        }
        let (pool, replica) = (database.service_pool(USER, 2), database.service_pool(USER, 2));
        let (one, other) = (session(&pool).await, session(&replica).await);
        let mut lock = insertion(&replica).await;
        for _ in 0..4 {
            let waiting = sqlx::query(INSERT).execute(&pool);
            timeout(Duration::from_millis(100), waiting).await.expect_err("the replica has the row");
        }
        eventually("the threads have ended", async || threads(&admin).await == 1).await;
        let theirs: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&mut lock).await.unwrap();
        lock.commit().await.unwrap();
        assert_eq!((theirs, orders(&pool).await), (other, 1));
        assert_ne!(session(&pool).await, one);
        for stranger in &strangers {
            let mut rest = [0; 1024];
            let left = loop {
                match stranger.try_read(&mut rest) {
                    Ok(1..) => {}
                    ended => break ended.map_err(|error| error.kind()),
                }
            };
            assert_eq!(left, Err(ErrorKind::WouldBlock), "the server has hung up");
        }
    }

    async fn one_silent_connection_gives_away_the_others(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let mut proxy = TcpProxy::start(database.port()).await;
        // Asked one after the other, they would take longer than the acquire timeout.
        let pool = database.service_pool_through(USER, 16, proxy.port());
        let sessions = futures::future::try_join_all((0..16).map(|_| pool.begin())).await.unwrap();
        let used = Instant::now();
        for session in sessions {
            session.rollback().await.unwrap();
        }
        proxy.lose().await;
        eventually("they were idle", async || used.elapsed() > UNCHECKED_IDLE * 2).await;
        session(&pool).await;
    }

    async fn a_pool_tells_nobody_its_password(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        session(&pool).await;
        let told = format!("{pool:?}");
        assert!(!told.contains(Database::PASSWORD) && told.contains("Connector"), "{told}");
    }

    async fn rows_that_nobody_reads_are_not_taken_for_the_next_answer(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 1);
        let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n";
        for _ in 0..3 {
            let first: Option<i64> = sqlx::query_scalar(many).fetch_optional(&pool).await.unwrap();
            let all: Vec<i64> = sqlx::query_scalar(many).fetch_all(&pool).await.unwrap();
            assert_eq!((first, all.len()), (Some(1), 900));
        }
    }

    async fn every_session_reads_committed_rows_and_waits_five_seconds_for_a_lock(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 2);
        let (mut one, mut other) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        for session in [&mut one, &mut other] {
            let variables = "SHOW VARIABLES WHERE Variable_name IN
                             ('transaction_isolation', 'tx_isolation', 'innodb_lock_wait_timeout', 'time_zone')";
            let set: BTreeMap<String, String> =
                sqlx::query_as(variables).fetch_all(&mut *session).await.unwrap().into_iter().collect();
            assert_eq!(set.values().collect::<Vec<_>>(), ["5", "+00:00", "READ-COMMITTED"], "{set:?}");
        }
    }

    async fn more_than_there_are_connections_wait_their_turn(engine: Engine) {
        let database = Database::create(engine, &ORDERS).await;
        let pool = database.service_pool(USER, 2);
        let sessions = futures::future::join_all((0..20).map(|_| session(&pool))).await;
        let mut distinct = sessions.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(sessions.len() == 20 && distinct.len() <= 2, "{sessions:?}");
    }
}
