//! The program itself: settings, verbs and exit statuses.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use schema::names::ORDERS_WAKE_SUBJECT;
use sqlx::AssertSqlSafe;
use stack::both_engines;
use stack::testing::{Database, Engine, MySql, Nats, Port, Service, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{Answer, NO_NATS, USER, good_order};

const PROGRAM: &str = env!("CARGO_BIN_EXE_order-svc");

fn order_svc(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

/// The one line on standard error of a run that failed with this status.
fn complaint(output: &Output, status: i32) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}");
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    line
}

#[tokio::test]
async fn connections_on_which_nothing_is_asked_hold_up_no_stop() {
    let database = Database::create(Engine::MySql, &schema::database::ORDERS).await;
    let service = Service::new(PROGRAM).env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS);
    let mut service = service.start().await;
    let address = service.url("").trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    // As many as are served at once; the last ones have asked half a question, or one that was answered.
    for number in 0..1024 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let asked: &[u8] = match number {
            ..1000 => b"",
            1000..1010 => b"GET /health HTT",
            _ => b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        stream.write_all(asked).await.unwrap();
        idle.push(stream);
    }
    for answered in &mut idle[1010..] {
        let mut start = [0; 12];
        answered.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    let began = Instant::now();
    assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

both_engines! {
    async fn the_program_serves_until_asked_to_stop(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let service = Service::new(PROGRAM).env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS);
        let mut service = service.start().await;
        let client = reqwest::Client::new();
        assert_eq!(Answer::to(client.post(service.url("/api/orders")).json(&good_order())).await.status, 201);
        let metrics = Answer::to(client.get(service.admin_url("/metrics"))).await.text;
        assert!(metrics.contains(r#"http_requests_total{method="POST",route="/api/orders",status="201"} 1"#), "{metrics}");
        assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
        assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
    }

    async fn an_order_that_is_committed_in_a_stop_still_wakes_the_relay(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let nats = Nats::start().await;
        let listener = async_nats::connect(nats.url()).await.unwrap();
        let mut hints = listener.subscribe(ORDERS_WAKE_SUBJECT).await.unwrap();
        listener.flush().await.unwrap();
        let service = Service::new(PROGRAM).env("DATABASE_URL", database.url(USER)).env("NATS_URL", nats.url());
        let mut service = service.start().await;
        eventually("it has found NATS", async || service.log().contains("connected to NATS")).await;

        let pool = database.admin_pool().await;
        let mut other = pool.begin().await.unwrap();
        let taken = "INSERT INTO idempotency_keys VALUES ('key', UNHEX(REPEAT('0', 32)), UTC_TIMESTAMP(6))";
        sqlx::query(taken).execute(&mut *other).await.unwrap();
        let order = reqwest::Client::new().post(service.url("/api/orders")).header("Idempotency-Key", "key");
        let placing = tokio::spawn(Answer::to(order.json(&good_order())));
        let waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
        eventually("the order waits for its key", async || {
            let (_, waits): (String, String) = sqlx::query_as(waits).fetch_one(&pool).await.unwrap();
            waits == "1"
        })
        .await;
        let readyz = service.admin_url("/readyz");
        let commit = async {
            eventually("the stop has begun", async || reqwest::get(&readyz).await.unwrap().status() == 503).await;
            other.rollback().await.unwrap();
        };
        let (status, ()) = tokio::join!(service.terminate(), commit);
        assert_eq!((placing.await.unwrap().status, status.code()), (201, Some(0)), "{}", service.log());
        eventually("the relay is woken", async || hints.next().now_or_never().is_some()).await;
    }

    async fn a_wrong_password_ends_the_program_with_its_reason(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let url = database.url(USER).replace(&format!(":{}@", Database::PASSWORD), ":wrong@");
        let mut service = Service::new(PROGRAM).env("DATABASE_URL", url).env("NATS_URL", NO_NATS);
        service.spawn();
        assert_eq!(service.exited().await.code(), Some(1));
        assert!(service.log().contains("Access denied"), "{}", service.log());
        assert!(!service.log().contains("wrong"), "{}", service.log());
    }

    async fn migrating_twice_is_migrating_once(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let mut connection = database.admin_pool().await.acquire().await.unwrap();
        for verb in ["DROP", "CREATE"] {
            let statement = [verb, "DATABASE", database.name()].join(" ");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
        }
        for _ in 0..2 {
            let done = order_svc(&["migrate"], &[("DATABASE_URL", &database.admin_url())]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let pool = database.admin_pool().await;
        let orders: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&pool).await.unwrap();
        assert_eq!(orders, 0);
        let refused = order_svc(&["migrate"], &[("DATABASE_URL", &database.url(USER))]);
        complaint(&refused, 1);
    }
}

#[tokio::test]
async fn a_broker_whose_name_nobody_knows_is_told_of() {
    let service = Service::new(PROGRAM).env("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing");
    let mut service = service.env("NATS_URL", "nats://nats.invalid:4222");
    service.spawn();
    eventually("it says so", async || service.log().contains("a host of NATS_URL has no address")).await;
}

#[test]
fn migrating_a_server_that_is_not_there_says_so_in_one_line() {
    let nobody = Port::reserve();
    let url = format!("mysql://root:hunter2@127.0.0.1:{}/orders", nobody.number());
    let line = complaint(&order_svc(&["migrate"], &[("DATABASE_URL", &url)]), 1);
    assert!(line.contains(&nobody.number().to_string()) && !line.contains("hunter2"), "{line}");
    complaint(&order_svc(&["migrate"], &[("DATABASE_URL", "nonsense")]), 64);
}

#[test]
fn settings_that_can_not_work_are_refused_before_anything_starts() {
    let mut environment = vec![
        ("HTTP_ADDR", "127.0.0.1:1"),
        ("ADMIN_ADDR", "127.0.0.1:1"),
        ("DATABASE_URL", "mysql://h/d"),
        ("NATS_URL", "nats://h"),
    ];
    assert!(complaint(&order_svc(&["run"], &environment), 64).contains("ADMIN_ADDR"));
    environment.push(("LOG_FILTER", "order_svc=nonsense"));
    environment[1].1 = "127.0.0.1:2";
    assert!(complaint(&order_svc(&["run"], &environment), 64).contains("LOG_FILTER"));
    environment.pop();
    for (setting, malformed) in
        [(2, "mysql://u:hunter2@h:port/d"), (2, "postgres://u:hunter2@h/d"), (3, "http://u:hunter2@h")]
    {
        let mut environment = environment.clone();
        environment[setting].1 = malformed;
        let line = complaint(&order_svc(&["run"], &environment), 64);
        assert!(line.contains(environment[setting].0) && !line.contains("hunter2"), "{line}");
    }
    assert_eq!(order_svc(&["run"], &[]).status.code(), Some(64));
}
