//! `docs/build-a-service.md` shows what it says: its SQL is run, its code is the example's, and the example counts.

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use schema::ids::OrderId;
use sqlx::{AssertSqlSafe, raw_sql};
use stack::both_engines;
use stack::testing::{Engine, Nats, Service as Process, binary, eventually};

use crate::sales::{Service, cancelled, created};

const GUIDE: &str = include_str!("../../../../docs/build-a-service.md");
const EXAMPLE: &str = include_str!("../../examples/count_sales.rs");

/// The code of a language in the guide.
fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let parts = GUIDE.split(&opening).skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_guide_shows_the_code_of_the_example() {
    let blocks = blocks("rust");
    assert!(blocks.len() >= 6, "{} blocks", blocks.len());
    for block in blocks {
        assert!(EXAMPLE.contains(&block), "not in the example:\n{block}");
    }
}

both_engines! {
    async fn the_service_of_the_guide_counts_what_is_sold(engine: Engine) {
        let service = Service::start(engine).await;
        let own = blocks("sql").concat();
        raw_sql(AssertSqlSafe(format!("DROP TABLE sales; {own}"))).execute(&service.admin).await.unwrap();
        let nats = Nats::start().await;
        let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        let subjects = vec!["order.>".to_owned()];
        let config = stream::Config { name: "ORDERS".to_owned(), subjects, ..stream::Config::default() };
        jetstream.create_stream(config).await.unwrap();
        let mut process = Process::new(binary("examples/count_sales"))
            .env("DATABASE_URL", service.database.url("notify_svc"))
            .env("NATS_URL", nats.url())
            .start()
            .await;
        let order = OrderId::generate();
        let events = [created(order, "tea", 3), cancelled(order, "tea", 3), created(OrderId::generate(), "tea", 4)];
        for number in [1, 0, 2, 0] {
            let (envelope, payload) = &events[number];
            let mut headers = HeaderMap::new();
            envelope.headers().into_iter().for_each(|(name, value)| headers.insert(name, value));
            let subject = envelope.event_type.clone();
            jetstream.publish_with_headers(subject, headers, payload.clone()).await.unwrap().await.unwrap();
        }
        eventually("all are counted", async || service.count("inbox").await == 3).await;
        assert_eq!(service.sold().await, [("tea".to_owned(), 4)]);
        process.kill().await;
        process.restart().await;
        assert_eq!(service.sold().await, [("tea".to_owned(), 4)]);
    }
}
