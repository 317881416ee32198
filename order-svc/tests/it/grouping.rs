//! A full group in which one order is at fault: the others are placed as if it were not there.
//!
//! All requests are polled before the lane is: they wait for it together.

use std::fmt::Debug;

use futures::future::join_all;
use order_svc::App;
use order_svc::domain::{IdempotencyKey, NewOrder};
use order_svc::group::{self, Lane};
use order_svc::metrics::Metrics;
use order_svc::place::{Placed, Request, place};
use outbox::{Outbox, OutboxConfig, TransactionError};
use prometheus::{Registry, TextEncoder};
use schema::event::EventType;
use serde_json::json;
use sqlx::MySqlPool;
use stack::both_engines;
use stack::testing::{Database, Engine};
use tokio_util::sync::CancellationToken;

use crate::api::USER;
use crate::commit_thief::{CommitThief, Theft};

const FULL: usize = 64;

/// order-svc without its HTTP, and with one lane that runs only while orders are placed.
struct Shop {
    app: App,
    lane: Lane,
    registry: Registry,
    admin: MySqlPool,
    _database: Database,
}

type Answers = Vec<Result<Placed, TransactionError>>;

impl Shop {
    async fn open(engine: Engine) -> Self {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let port = database.port();
        Self::behind(database, port).await
    }

    async fn behind(database: Database, port: u16) -> Self {
        let (pool, registry) = (database.service_pool_through(USER, 8, port), Registry::new());
        let config = OutboxConfig { event_bytes_max: "1600".parse().unwrap() };
        let outbox = Outbox::new(&config, &EventType::ALL.map(EventType::as_str), &registry).unwrap();
        let metrics = Metrics::register(&registry).unwrap();
        let (groups, mut lanes) = group::lanes(&pool, &outbox, &metrics, (FULL, None));
        let (app, lane) = (App { pool, outbox, metrics, groups, bound: None }, lanes.remove(0));
        Self { app, lane, registry, admin: database.admin_pool().await, _database: database }
    }

    /// Places all at once.
    async fn place(&self, requests: Vec<Request>) -> Answers {
        let placing = join_all(requests.into_iter().map(|request| place(&self.app, request)));
        self.served(placing).await
    }

    async fn served<T>(&self, placing: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            placed = placing => placed,
            ended = self.lane.clone().run(CancellationToken::new()) => panic!("the lane ended: {ended:?}"),
        }
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.admin).await.unwrap()
    }

    /// Each order has its event, and there are so many.
    async fn has(&self, orders: usize) {
        let expected = i64::try_from(orders).unwrap();
        assert_eq!(self.count("SELECT COUNT(*) FROM orders").await, expected);
        let joined = "SELECT COUNT(*) FROM orders JOIN outbox ON UNHEX(REPLACE(aggregate_id, '-', '')) = id WHERE aggregate_version = 1";
        assert_eq!(self.count(joined).await, expected);
        assert_eq!(self.count("SELECT COUNT(*) FROM outbox").await, expected);
        let counted = format!(r#"outbox_events_appended_total{{event_type="order.created"}} {orders}"#);
        assert!(self.metrics().contains(&counted), "{}", self.metrics());
    }

    /// So many orders committed in groups, of which there were so many.
    fn grouped(&self, orders: usize, groups: usize) {
        let metrics = self.metrics();
        assert!(metrics.contains(&format!("orders_group_size_sum {orders}\n")), "{metrics}");
        assert!(metrics.contains(&format!("orders_group_size_count {groups}\n")), "{metrics}");
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

fn request(product: &str, key: Option<&str>) -> Request {
    let body = json!({"product": product, "quantity": 2, "email": "ada@example.com"}).to_string();
    let key = key.map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
    Request { customer: None, new: NewOrder::parse(body.as_bytes()).unwrap(), key, traceparent: None }
}

/// A full group of which the first has a key.
fn full() -> Vec<Request> {
    std::iter::once(request("Mug", Some("first"))).chain((1..FULL).map(|_| request("Mug", None))).collect()
}

fn all_are_first(answers: &[impl Debug]) {
    for answer in answers {
        assert!(format!("{answer:?}").starts_with("Ok(First"), "{answer:?}");
    }
}

both_engines! {
    async fn orders_that_wait_together_commit_together(engine: Engine) {
        let shop = Shop::open(engine).await;
        all_are_first(&shop.place(full()).await);
        shop.has(FULL).await;
        shop.grouped(FULL, 1);
        assert_eq!(shop.count("SELECT CAST(MAX(seq) - MIN(seq) AS SIGNED) FROM outbox").await, 63, "no gap");
    }

    async fn an_order_whose_key_is_taken_leaves_the_group(engine: Engine) {
        let shop = Shop::open(engine).await;
        all_are_first(&shop.place(vec![request("Mug", Some("first"))]).await);
        let mut answers = shop.place(full()).await;
        let repeated = answers.remove(0).unwrap();
        assert!(matches!(repeated, Placed::Repeated(_)), "{repeated:?}");
        all_are_first(&answers);
        shop.has(FULL).await;
        shop.grouped(FULL, 2);
    }

    async fn a_group_of_which_each_key_is_taken_writes_nothing(engine: Engine) {
        let shop = Shop::open(engine).await;
        let keyed = || ["a", "b", "c"].map(|key| request("Mug", Some(key))).to_vec();
        all_are_first(&shop.place(keyed()).await);
        let answers = shop.place(keyed()).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Placed::Repeated(_)))), "{answers:?}");
        shop.has(3).await;
        shop.grouped(3, 1);
    }

    async fn of_a_key_s_requests_in_one_group_one_is_the_first(engine: Engine) {
        let shop = Shop::open(engine).await;
        let requests = (0..FULL).map(|number| request("Mug", Some(if number < 8 { "same" } else { "other" })));
        let answers = shop.place(requests.collect()).await;
        let first = answers.iter().filter(|answer| matches!(answer, Ok(Placed::First(_)))).count();
        let repeated = answers.iter().filter(|answer| matches!(answer, Ok(Placed::Repeated(_)))).count();
        assert_eq!((first, repeated), (2, FULL - 2));
        shop.has(2).await;
    }

    async fn a_key_that_another_process_holds_holds_up_its_own_order_only(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mut other = shop.admin.begin().await.unwrap();
        let held = "INSERT INTO idempotency_keys (idempotency_key, order_id, expires_at)
                    VALUES ('first', UNHEX(REPEAT('01', 16)), UTC_TIMESTAMP(6) + INTERVAL 1 DAY)";
        sqlx::query(held).execute(&mut *other).await.unwrap();
        let mut requests = full();
        let mut keyed = Box::pin(place(&shop.app, requests.remove(0)));
        let rest = join_all(requests.into_iter().map(|request| place(&shop.app, request)));
        let without_it = async {
            tokio::select! {
                biased;
                placed = &mut keyed => panic!("its key is held: {placed:?}"),
                answers = rest => answers,
            }
        };
        all_are_first(&shop.served(without_it).await);
        shop.has(FULL - 1).await;
        shop.grouped(FULL - 1, 1);
        other.rollback().await.unwrap();
        all_are_first(&[keyed.await]);
        shop.has(FULL).await;
    }

    async fn an_order_that_the_broker_would_refuse_takes_nobody_along(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mut requests = full();
        requests[7] = request(&"\u{1F375}".repeat(200), None);
        let mut answers = shop.place(requests).await;
        let refused = answers.remove(7).unwrap_err();
        assert!(matches!(refused, TransactionError::EventTooLarge { .. }), "{refused:?}");
        all_are_first(&answers);
        shop.has(FULL - 1).await;
    }

    async fn a_client_that_hangs_up_takes_nobody_along(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mut requests = full();
        let mut gone = Box::pin(place(&shop.app, requests.remove(0)));
        assert!(futures::poll!(&mut gone).is_pending());
        drop(gone);
        all_are_first(&shop.place(requests).await);
        shop.has(FULL - 1).await;
    }

    async fn a_lost_commit_is_found_out_by_each_order_of_the_group(engine: Engine) {
        for theft in [Theft::Answer, Theft::Commit] {
            let database = Database::create(engine, &schema::database::ORDERS).await;
            let thief = CommitThief::start(database.port(), theft).await;
            let shop = Shop::behind(database, thief.port).await;
            thief.arm();
            all_are_first(&shop.place(full()).await);
            assert!(!thief.is_armed(), "the commit was stolen");
            shop.has(FULL).await;
        }
    }

    async fn an_order_that_the_database_refuses_takes_nobody_along(engine: Engine) {
        let shop = Shop::open(engine).await;
        let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW
                      IF NEW.payload LIKE '%Poison%' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF";
        sqlx::raw_sql(refuse).execute(&shop.admin).await.unwrap();
        let mut requests = full();
        requests[7] = request("Poison", None);
        let mut answers = shop.place(requests).await;
        let refused = answers.remove(7).unwrap_err();
        assert!(matches!(refused, TransactionError::BeforeCommit(_)), "{refused:?}");
        all_are_first(&answers);
        shop.has(FULL - 1).await;
    }
}
