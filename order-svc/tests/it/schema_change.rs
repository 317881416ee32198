//! Somebody changes our tables while somebody else's transaction is open on them: the ALTER waits for that one, and every
//! order waits for the ALTER.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Client;
use runtime::http::layers::REQUEST_TIMEOUT;
use schema::database::ORDERS;
use serde_json::{Value, json};
use sqlx::{MySql as Db, MySqlPool, Transaction};
use stack::both_engines;
use stack::testing::{Database, Engine, MySql, Service};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{NO_NATS, USER};

/// Our limits are waits for a lock (5 s), a request (9 s) and a free connection (3 s): each is crossed three times.
const UNDER_WAY: Duration = Duration::from_secs(30);

/// 20 orders a second.
const PACE: Duration = Duration::from_millis(50);

/// The default of DATABASE_CONNECTIONS_MAX, and the one that ends what was given up.
const THREADS_MAX: i64 = 16 + 1;

/// The first stops orders that have written a row already, the second those that have written nothing.
const ALTERS: [&str; 2] =
    ["ALTER TABLE outbox ADD COLUMN note INT NULL", "ALTER TABLE orders ADD COLUMN note INT NULL"];

/// What became of an order, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Placed,
    Refused,
    Unknown,
}

/// A customer who places orders under keys.
#[derive(Clone)]
struct Customer {
    client: Client,
    url: String,
}

impl Customer {
    /// Places order `number`; the answer came within the bound and says when to come back if it is no success.
    async fn place(self, number: usize) -> (usize, Fate) {
        let order = json!({ "product": product(number), "quantity": 1, "email": "ada@example.com" });
        let began = Instant::now();
        let request = self.client.post(&self.url).header("idempotency-key", format!("key-{number}")).json(&order);
        let answer = request.send().await.unwrap();
        let (status, says_when) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await.unwrap();
        assert!(began.elapsed() < REQUEST_TIMEOUT * 2, "{:?}", began.elapsed());
        assert!(status == 201 || (status, says_when) == (503, true), "{status}: {body}");
        let fate = match body["code"].as_str() {
            None => Fate::Placed,
            Some("outcome-unknown" | "timeout") => Fate::Unknown,
            Some(_) => Fate::Refused,
        };
        (number, fate)
    }
}

fn product(number: usize) -> String {
    format!("order {number}")
}

/// The ALTERs that wait for somebody's transaction.
struct Change {
    admin: MySqlPool,
    began: Instant,
    other: Option<Transaction<'static, Db>>,
    alters: JoinSet<()>,
}

impl Change {
    async fn begin(admin: MySqlPool) -> Self {
        let mut other = admin.begin().await.unwrap();
        for read in ["SELECT COUNT(*) FROM orders", "SELECT COUNT(*) FROM outbox"] {
            sqlx::query(read).execute(&mut *other).await.unwrap();
        }
        Self { admin, began: Instant::now(), other: Some(other), alters: JoinSet::new() }
    }

    /// Does what its time has come for; whether the other transaction has ended.
    async fn go_on(&mut self) -> bool {
        let started = self.alters.len();
        if started < ALTERS.len() && self.began.elapsed() >= UNDER_WAY / 2 * u32::try_from(started).unwrap() {
            let (admin, alter) = (self.admin.clone(), ALTERS[started]);
            self.alters.spawn(async move {
                sqlx::query(alter).execute(&admin).await.unwrap();
            });
        }
        if self.began.elapsed() >= UNDER_WAY
            && let Some(other) = self.other.take()
        {
            other.rollback().await.unwrap();
        }
        self.other.is_none()
    }
}

/// The threads of our user at the server; 0 if it can't tell now, as MySQL while a statement has binary text.
async fn threads(admin: &MySqlPool) -> i64 {
    let threads = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?";
    sqlx::query_scalar(threads).bind(USER).fetch_one(admin).await.unwrap_or_default()
}

/// How many rows there are for each product.
async fn rows(admin: &MySqlPool, query: &'static str) -> HashMap<String, i64> {
    sqlx::query_as(query).fetch_all(admin).await.unwrap().into_iter().collect()
}

/// Every order that was placed is there once with its event, none that was refused is, and repeating the others finds out.
async fn audit(admin: &MySqlPool, customer: &Customer, fates: Vec<(usize, Fate)>) {
    let mut settled = HashMap::new();
    for (number, fate) in fates {
        let again = if fate == Fate::Unknown { customer.clone().place(number).await } else { (number, fate) };
        settled.insert(product(number), again.1);
    }
    let orders = rows(admin, "SELECT product, COUNT(*) FROM orders GROUP BY product").await;
    let events = "SELECT CAST(JSON_UNQUOTE(JSON_EXTRACT(payload, '$.product')) AS CHAR) AS product, COUNT(*)
                  FROM outbox GROUP BY product";
    let events = rows(admin, events).await;
    let placed: HashMap<String, i64> =
        settled.into_iter().filter(|(_, fate)| *fate == Fate::Placed).map(|(product, _)| (product, 1)).collect();
    assert!(
        orders == placed && events == placed,
        "{} placed, {} orders, {} events",
        placed.len(),
        orders.len(),
        events.len()
    );
}

both_engines! {
    async fn an_alter_behind_an_open_transaction_loses_no_order_and_takes_no_more_threads(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &ORDERS).await;
        let admin = database.admin_pool().await;
        let service = Service::new(env!("CARGO_BIN_EXE_order-svc"));
        let service = service.env("DATABASE_URL", database.url(USER)).env("NATS_URL", NO_NATS).start().await;
        let customer = Customer { client: Client::new(), url: service.url("/api/orders") };

        let mut change = Change::begin(admin.clone()).await;
        let (mut asked, mut fates, mut pace) = (JoinSet::new(), Vec::new(), interval(PACE));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut most, mut placed_since) = (0, 0);
        for number in 0.. {
            pace.tick().await;
            let has_ended = change.go_on().await;
            asked.spawn(customer.clone().place(number));
            while let Some(answered) = asked.try_join_next() {
                let (number, fate) = answered.unwrap();
                placed_since += u32::from(has_ended && fate == Fate::Placed);
                fates.push((number, fate));
            }
            most = most.max(threads(&admin).await);
            if placed_since >= 20 {
                break;
            }
            assert!(change.began.elapsed() < UNDER_WAY * 2, "no orders are placed after its end");
        }
        fates.extend(asked.join_all().await);
        change.alters.join_all().await;
        let of = |wanted| fates.iter().filter(|(_, fate)| *fate == wanted).count();
        println!("{engine:?}: at most {most} threads; {} placed, {} refused, {} unknown", of(Fate::Placed), of(Fate::Refused), of(Fate::Unknown));
        assert!(of(Fate::Refused) > 0 && (1..=THREADS_MAX).contains(&most), "{most} threads");
        audit(&admin, &customer, fates).await;
    }
}
