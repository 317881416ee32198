use std::time::Instant;

use futures::StreamExt;
use runtime::http::layers::REQUEST_TIMEOUT;
use runtime::mysql::UNCHECKED_IDLE;
use schema::names::ORDERS_WAKE_SUBJECT;
use stack::both_engines;
use stack::testing::{Database, Engine, MySql, Nats, TcpProxy, eventually};

use crate::api::{ACQUIRE_TIMEOUT, Api, NO_NATS, USER};

/// An API whose database is behind a proxy that can be cut.
async fn behind_proxy(engine: Engine) -> (Api, TcpProxy) {
    let database = Database::create(engine, &schema::database::ORDERS).await;
    let proxy = TcpProxy::start(database.port()).await;
    let api = Api::over(database, |database| database.url_through(USER, proxy.port()), NO_NATS).await;
    (api, proxy)
}

both_engines! {
    async fn a_database_that_is_away_is_503_within_the_bound_and_forgiven(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        let id = api.placed().await;
        proxy.cut().await;
        let began = Instant::now();
        api.place().await.unavailable("database-unavailable");
        assert!(began.elapsed() < ACQUIRE_TIMEOUT * 3, "{:?}", began.elapsed());
        api.get(&format!("/api/orders/{id}")).await.unavailable("database-unavailable");
        api.post(&format!("/api/orders/{id}/cancel")).await.unavailable("database-unavailable");
        api.get("/api/orders/events/status").await.unavailable("database-unavailable");
        api.get("/health").await.unavailable("database-unavailable");
        assert!(api.shows(r#"orders_place_total{outcome="unavailable"} 1"#));
        proxy.heal().await;
        api.placed().await;
        assert_eq!(api.rows().await, (2, 2));
    }

    async fn orders_survive_that_their_connections_died(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        let placed = futures::future::join_all((0..8).map(|_| api.place())).await;
        assert!(placed.iter().all(|answer| answer.status == 201));
        proxy.cut().await;
        proxy.heal().await;
        for _ in 0..8 {
            api.placed().await;
        }
        assert_eq!(api.rows().await, (16, 16));
    }

    async fn connections_that_died_idle_fail_no_request(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        let placed = futures::future::join_all((0..8).map(|_| api.place())).await;
        let path = placed[0].header("location");
        proxy.cut().await;
        proxy.heal().await;
        let began = Instant::now();
        eventually("the connections were idle", async || began.elapsed() > UNCHECKED_IDLE).await;
        for _ in 0..8 {
            assert_eq!(api.get(path).await.status, 200);
        }
        assert!(api.shows("outbox_transaction_retries_total 0"));
    }

    async fn a_database_that_does_not_answer_is_503_within_the_bound(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        api.placed().await;
        proxy.pause().await;
        let began = Instant::now();
        let (placed, health) = tokio::join!(api.place(), api.get("/health"));
        assert!(began.elapsed() < REQUEST_TIMEOUT * 2, "{:?}", began.elapsed());
        assert_eq!((placed.status, health.status), (503, 503), "{} {}", placed.text, health.text);
        proxy.heal().await;
        api.placed().await;
        // What the pause held back may have committed afterwards, but then both or neither.
        let (orders, events) = api.rows().await;
        assert_eq!(orders, events);
    }

    async fn a_health_check_that_is_given_up_shifts_no_answers(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        let ids = [api.placed().await, api.placed().await, api.placed().await];
        proxy.pause().await;
        api.get("/health").await.unavailable("database-unavailable");
        // The answer that nobody waits for any more arrives.
        proxy.heal().await;
        for id in ids.iter().cycle().take(12) {
            let order = api.get(&format!("/api/orders/{id}")).await;
            assert!(order.status == 200 && order.text.contains(id), "{id}: {} {}", order.status, order.text);
        }
        api.placed().await;
        assert_eq!(api.rows().await, (4, 4));
    }

    async fn connections_that_fell_silent_are_given_up(engine: Engine) {
        let (api, mut proxy) = behind_proxy(engine).await;
        let place = async || futures::future::join_all((0..8).map(|_| api.place())).await;
        assert!(place().await.iter().all(|placed| placed.status == 201));
        // More than the pool has connections: all of them are in use.
        let list = async || futures::future::join_all((0..8).map(|_| api.get("/api/orders?email=ada@example.com"))).await;
        assert!(list().await.iter().all(|listed| listed.status == 200));
        proxy.lose().await;
        // A group that is given up sends its orders alone, and those may find a new connection.
        assert!(place().await.iter().all(|placed| [201, 503].contains(&placed.status)));
        eventually("orders are placed again", async || {
            place().await.iter().all(|placed| placed.status == 201)
        })
        .await;
    }

    async fn a_read_only_database_is_503_and_writes_nothing(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let api = Api::over(database, |database| database.url(USER), NO_NATS).await;
        api.placed().await;
        api.execute("SET GLOBAL read_only = ON").await;
        api.place().await.unavailable("database-unavailable");
        api.execute("SET GLOBAL read_only = OFF").await;
        api.placed().await;
        assert_eq!(api.rows().await, (2, 2));
    }

    async fn a_user_whose_connections_are_used_up_elsewhere_is_503_and_forgiven(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let limit = "ALTER USER 'order_svc'@'%' WITH MAX_USER_CONNECTIONS 1";
        sqlx::query(limit).execute(&database.admin_pool().await).await.unwrap();
        let elsewhere = database.pool(USER).await;
        let api = Api::over(database, |database| database.url(USER), NO_NATS).await;
        api.place().await.unavailable("database-unavailable");
        elsewhere.close().await;
        api.placed().await;
    }

    async fn orders_are_accepted_while_nats_is_away(engine: Engine) {
        let mut nats = Nats::start().await;
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let api = Api::over(database, |database| database.url(USER), &nats.url()).await;
        let listener = async_nats::connect(nats.url()).await.unwrap();
        let mut hints = listener.subscribe(ORDERS_WAKE_SUBJECT).await.unwrap();
        listener.flush().await.unwrap();
        eventually("a commit wakes the relay", async || {
            api.placed().await;
            api.shows_hint("sent")
        })
        .await;
        assert!(hints.next().await.unwrap().payload.is_empty());

        nats.kill().await;
        eventually("hints are dropped", async || {
            api.placed().await;
            api.shows_hint("dropped")
        })
        .await;
        for _ in 0..10 {
            api.placed().await;
        }
        let (orders, events) = api.rows().await;
        assert_eq!(orders, events);

        nats.restart().await;
        let listener = async_nats::connect(nats.url()).await.unwrap();
        let mut hints = listener.subscribe(ORDERS_WAKE_SUBJECT).await.unwrap();
        listener.flush().await.unwrap();
        eventually("a commit wakes the relay again", async || {
            api.placed().await;
            futures::FutureExt::now_or_never(hints.next()).is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_is_taken_offline_is_503_and_forgiven() {
    let (api, _server) = Api::alone(Engine::MySql).await;
    api.placed().await;
    api.execute("SET GLOBAL offline_mode = ON").await;
    api.place().await.unavailable("database-unavailable");
    api.execute("SET GLOBAL offline_mode = OFF").await;
    api.placed().await;
}
