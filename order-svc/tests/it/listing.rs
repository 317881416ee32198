use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use order_svc::domain::{CustomerId, OrderFilter};
use order_svc::store::{order_counts, order_lists};
use runtime::mysql::Pool;
use runtime::page::Page;
use schema::ids::OrderId;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool, Row};
use stack::both_engines;
use stack::testing::{Database, Engine};
use uuid::Uuid;

use crate::api::{Answer, Api, USER};

async fn place(api: &Api, email: &str) -> Value {
    let order = json!({"product": "Mug", "quantity": 1, "email": email});
    let answer = Answer::to(api.client.post(api.url("/api/orders")).json(&order)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body
}

async fn list(api: &Api, query: &str) -> (Vec<String>, Option<String>) {
    let answer = api.get(&format!("/api/orders?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let ids = answer.body["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned());
    (ids.collect(), answer.body["next_cursor"].as_str().map(str::to_owned))
}

both_engines! {
    async fn pages_stay_right_while_orders_arrive(engine: Engine) {
        let api = Api::start(engine).await;
        let mut placed = Vec::new();
        for _ in 0..7 {
            placed.push(place(&api, "ada@example.com").await["id"].as_str().unwrap().to_owned());
        }
        placed.reverse();
        let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let (ids, next) = list(&api, &query).await;
            seen.extend(ids);
            place(&api, "eve@example.com").await;
            let Some(next) = next else { break };
            query = format!("limit=2&cursor={next}");
        }
        assert_eq!(seen, placed, "each order once, newest first, whatever arrived meanwhile");
        assert_eq!(list(&api, "limit=11").await.1, None, "a page that ends with the list has no next");
    }

    async fn filters_show_what_they_say(engine: Engine) {
        let api = Api::start(engine).await;
        let mut orders = Vec::new();
        for email in ["ada@example.com", "Ada@example.com", "bob@example.com", "ada@example.com"] {
            orders.push(place(&api, email).await);
        }
        let id = |n: usize| orders[n]["id"].as_str().unwrap().to_owned();
        api.post(&format!("/api/orders/{}/cancel", id(0))).await;
        assert_eq!(list(&api, "status=cancelled").await.0, [id(0)]);
        assert_eq!(list(&api, "status=placed").await.0, [id(3), id(2), id(1)]);
        assert_eq!(list(&api, "email=ada%40Example.com").await.0, [id(3), id(1), id(0)], "in either case");
        assert_eq!(list(&api, "email=ada@example.com&status=placed").await.0, [id(3), id(1)]);
        assert!(list(&api, "status=shipped").await.0.is_empty());
        let at = |n: usize| orders[n]["created_at"].as_str().unwrap();
        assert_eq!(list(&api, &format!("created_from={}", at(1))).await.0, [id(3), id(2), id(1)], "from is included");
        assert_eq!(list(&api, &format!("created_to={}", at(1))).await.0, [id(0)], "to is not");
        let between = format!("created_from={}&created_to={}&email=ada@example.com", at(0), at(3));
        assert_eq!(list(&api, &between).await.0, [id(1), id(0)]);
        assert!(list(&api, "created_to=2016-12-31T23:59:60Z").await.0.is_empty(), "a leap second");
        let answer = api.get("/api/orders?created_to=9999-12-31T23:59:59-01:00").await;
        assert_eq!(answer.problem(400, "invalid-query"), ["created_to"]);
        let answer = api.get("/api/orders?status=x&limit=0&page=3").await;
        assert_eq!(answer.problem(400, "invalid-query"), ["status", "limit", "page"]);
    }

    async fn a_search_is_a_list_with_its_parameters_in_the_body(engine: Engine) {
        let api = Api::start(engine).await;
        let mut ids = Vec::new();
        for email in ["ada+tea@example.com", "bob@example.com", "Ada+tea@example.com"] {
            ids.push(place(&api, email).await["id"].clone());
        }
        const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
        let post = || api.client.post(api.url("/api/orders/search"));
        let search = async |form: &str| Answer::to(post().header("content-type", FORM).body(form.to_owned())).await;
        let first = search("email=ada%2Btea@example.com&limit=1").await;
        assert_eq!((first.status, &first.body["orders"][0]["id"]), (200, &ids[2]), "{}", first.text);
        let next = first.body["next_cursor"].as_str().unwrap();
        let second = search(&format!("email=ada%2Btea%40example.com&limit=1&cursor={next}")).await;
        assert_eq!((&second.body["orders"][0]["id"], &second.body["next_cursor"]), (&ids[0], &Value::Null));
        assert_eq!(search("").await.body["orders"].as_array().unwrap().len(), 3, "nothing in it is the whole list");

        assert_eq!(search("email=x&limit=0&page=3").await.problem(400, "invalid-query"), ["email", "limit", "page"]);
        Answer::to(post().json(&json!({"email": "ada@example.com"}))).await.problem(415, "unsupported-media-type");
        Answer::to(post()).await.problem(415, "unsupported-media-type");
        let broken = post().header("content-type", FORM).body(b"email=\xff".to_vec());
        assert_eq!(Answer::to(broken).await.problem(400, "invalid-query"), ["email"]);
        search(&"a".repeat(17_000)).await.problem(413, "too-large");
        assert_eq!(api.get("/api/orders/search").await.status, 405);
    }

    async fn a_client_that_has_the_order_is_told_so(engine: Engine) {
        let api = Api::start(engine).await;
        let placed = api.place().await;
        let path = placed.header("location");
        let read = api.get(path).await;
        assert_eq!((read.header("etag"), placed.header("etag")), ("\"1-placed\"", "\"1-placed\""));
        let conditional = async |etag: &str| Answer::to(api.client.get(api.url(path)).header("if-none-match", etag)).await;
        let known = conditional(read.header("etag")).await;
        assert_eq!((known.status, known.text.as_str(), known.header("etag")), (304, "", "\"1-placed\""));
        let cancelled = api.post(&format!("{path}/cancel")).await;
        assert_eq!(cancelled.header("etag"), "\"2-cancelled\"");
        assert_eq!(conditional(read.header("etag")).await.body, cancelled.body);
        assert_eq!(conditional("W/\"0\", W/\"2-cancelled\"").await.status, 304);
    }

    async fn every_list_is_served_by_its_index(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        fill(&database.admin_pool().await).await;
        let pool = database.pool(USER).await;
        let mut connection = pool.acquire().await.unwrap();
        let mut seen = BTreeSet::new();
        for (query, bound) in described("FROM orders") {
            let explain = AssertSqlSafe(format!("EXPLAIN FORMAT=TRADITIONAL {query}"));
            let mut explain = sqlx::query(explain);
            for value in bound {
                explain = match value {
                    Bound::Text(text) => explain.bind(text),
                    Bound::Id(id) => explain.bind(id),
                    Bound::Time(at) => explain.bind(at),
                    Bound::Number(number) => explain.bind(number),
                };
            }
            let plan = explain.fetch_one(&mut *connection).await.unwrap();
            let (key, extra): (Option<String>, Option<String>) = (plan.get("key"), plan.get("Extra"));
            assert!(!extra.unwrap_or_default().contains("filesort"), "{query}");
            seen.insert(key.unwrap_or_else(|| panic!("no index: {query}")));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["PRIMARY", "by_customer", "by_email", "by_status"]);
    }

    async fn a_page_reads_a_pages_worth_of_100_000_orders(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        fill(&database.admin_pool().await).await;
        let pool = database.service_pool(USER, 1);
        let oldest = "2026-01-01T01:00:00Z";
        let filters: [&[(&str, &str)]; 7] = [
            &[],
            &[("status", "placed")],
            &[("status", "cancelled")],
            &[("email", "c7@example.com")],
            &[("created_to", oldest)],
            &[("status", "cancelled"), ("created_to", oldest)],
            &[("email", "c7@example.com"), ("created_from", oldest)],
        ];
        let first = Page { below: Uuid::max(), limit: 20 };
        let of_customer = |filter: &OrderFilter| OrderFilter { customer: Some(CustomerId::new("c7")), ..filter.clone() };
        let mut filters = filters.map(|query| {
            let mut filter = OrderFilter::default();
            query.iter().for_each(|(name, value)| filter.set(name, value).unwrap());
            filter
        }).to_vec();
        filters.extend([of_customer(&filters[0]), of_customer(&filters[1])]);
        for filter in &filters {
            let before = rows_read(&pool).await;
            let page = order_lists::page(&pool, filter, first).await.unwrap();
            let read = rows_read(&pool).await - before;
            assert_eq!(page.len(), 21, "{filter:?}");
            assert!(read < 40, "{read} rows for a page of 20: {filter:?}");
        }
        // What is counted for a bound: no more than the bound, of a hundred orders of the customer.
        let order = order_lists::page(&pool, &filters[3], first).await.unwrap().remove(0);
        let before = rows_read(&pool).await;
        let mut tx = pool.begin().await.unwrap();
        let since = OrderId(Uuid::nil());
        assert!(order_counts::at(&mut tx, &order, since, 20).await.unwrap().is_some());
        assert_eq!(order_counts::above(&mut tx, &[&order, &order], since, 20).await.unwrap(), [0, 1]);
        tx.rollback().await.unwrap();
        let read = rows_read(&pool).await - before;
        assert!(read < 140, "{read} rows to count to 20, six times");
    }
}

/// 100,000 orders, one a second from 2026 on, of a thousand customers; every hundredth cancelled.
async fn fill(admin: &MySqlPool) {
    let insert = "INSERT INTO orders (id, customer, product, quantity, email, status, version, created_at, updated_at)
                  WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 315), n (i) AS
                    (SELECT a.i * 317 + b.i FROM a JOIN (SELECT i FROM a UNION ALL SELECT 316) b)
                  SELECT UNHEX(CONCAT(LPAD(HEX((1767225600 + i) * 1000), 12, '0'), '7000', '8000', LPAD(HEX(i), 12, '0'))),
                         CONCAT('c', i % 1000), 'Mug', 1, CONCAT('c', i % 1000, '@example.com'), IF(i % 100 = 0, 'cancelled', 'placed'), 1,
                         '2026-01-01' + INTERVAL i SECOND, '2026-01-01' + INTERVAL i SECOND
                  FROM n WHERE i < 100000";
    let inserted = sqlx::query(insert).execute(admin).await.unwrap().rows_affected();
    assert_eq!(inserted, 100_000);
    sqlx::query("ANALYZE TABLE orders").execute(admin).await.unwrap();
}

/// Rows that this one session has read so far, by index or by position.
async fn rows_read(pool: &Pool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    let counted = status.iter().filter(|(name, _)| !name.ends_with("_rnd_next")); // SHOW STATUS reads a table, too
    counted.map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

/// The id of the first order that [`fill`] makes.
fn first_id() -> Vec<u8> {
    let millis = 1_767_225_600_000_u64.to_be_bytes();
    [&millis[2..], &[0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]].concat()
}

enum Bound {
    Text(&'static str),
    Id(Vec<u8>),
    Time(DateTime<Utc>),
    Number(u32),
}

/// The SELECTs of this workspace that have `part` in them, as `.sqlx` keeps them, with something to bind to each
/// parameter.
fn described(part: &str) -> Vec<(String, Vec<Bound>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let queries = files.map(|text| serde_json::from_str::<Value>(&text).unwrap()["query"].as_str().unwrap().to_owned());
    // What counts has an offset, and is no list.
    let is_list = |query: &String| query.starts_with("SELECT") && query.contains(part) && !query.contains("OFFSET");
    let queries: Vec<_> = queries.filter(is_list).collect();
    assert!(queries.len() >= 6, "find, lock and four lists");
    queries.into_iter().map(|query| (query.clone(), bound(&query))).collect()
}

fn bound(query: &str) -> Vec<Bound> {
    let at = "2026-01-01T12:00:00Z".parse().unwrap();
    let before_parameter = query.split('?').collect::<Vec<_>>();
    let (_, parameters) = before_parameter.split_last().unwrap();
    let parameter = |text: &&str| match text {
        text if text.contains("LIMIT ") => Bound::Number(21),
        text if text.contains("created_at") => Bound::Time(at),
        text if text.contains("customer =") => Bound::Text("c7"),
        text if text.contains("email_lower =") => Bound::Text("c7@example.com"),
        text if text.contains("status =") => Bound::Text("placed"),
        text if text.ends_with("id < ") => Bound::Id(vec![0xff; 16]),
        text if text.ends_with("id = ") => Bound::Id(first_id()),
        _ => Bound::Id(vec![0; 16]),
    };
    let tails = parameters.iter().map(|text| text.rsplit(['\n']).next().unwrap());
    tails.map(|tail| parameter(&tail)).collect()
}
