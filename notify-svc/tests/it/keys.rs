//! Aggregates that are named by numbers and text. An order is a UUID, so what is published here are tombstones: they say
//! nothing of an order, and go through the same gates.

use std::num::NonZeroU32;
use std::sync::Arc;

use inbox::Inbox;
use inbox::process::Unskippable;
use notify_svc::handler::{self, Notifications};
use runtime::operator::decision::By;
use schema::aggregate::AggregateId;
use stack::service::Program;
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting};

fn event(aggregate: &str, version: u32) -> Published {
    let mut event = Published::created().tombstone();
    event.envelope.aggregate_id = aggregate.parse().unwrap();
    event.envelope.aggregate_version = NonZeroU32::new(version);
    event
}

async fn gates(setting: &Setting) -> Vec<(String, u32)> {
    let gates = "SELECT aggregate_id, version FROM inbox_gate ORDER BY aggregate_id";
    sqlx::query_as(gates).fetch_all(&setting.pool).await.unwrap()
}

both_engines! {
    async fn events_of_numbers_and_of_text_have_their_effect_in_order(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let longest = "x".repeat(64);
        // As bytes are sorted.
        let aggregates = ["4711", "A", "a", r#"it's/"5%_\o/;*>"#, &longest];
        for version in [3, 2] {
            let ahead = aggregates.map(|aggregate| event(aggregate, version));
            setting.publish(&ahead.iter().collect::<Vec<_>>()).await;
        }
        setting.until_count("inbox_parked", 10).await;
        assert_eq!(gates(&setting).await, aggregates.map(|aggregate| (aggregate.to_owned(), 0)));
        for (done, aggregate) in (1..).zip(aggregates) {
            setting.publish(&[&event(aggregate, 1)]).await;
            setting.until_count("inbox", 3 * done).await;
            let expected = aggregates.iter().zip(1..).map(|(aggregate, n)| ((*aggregate).to_owned(), if n <= done { 3 } else { 0 }));
            assert_eq!(gates(&setting).await, expected.collect::<Vec<_>>());
        }
        setting.until_all_answered().await;
        assert_eq!((setting.count("inbox_parked").await, setting.count("inbox_dead").await), (0, 0));
    }

    async fn a_dead_message_stands_in_the_way_of_no_aggregate_whose_id_it_has_in_another_header(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let spoilt = Published { is_tombstone: false, body: "no json".to_owned(), ..event("another", 1) };
        let wild = Published { is_tombstone: false, body: "no json".to_owned(), ..event("10_", 1) };
        setting.publish(&[&spoilt, &wild, &event("1", 2), &event("10%", 2), &event("10_", 2)]).await;
        setting.until_count("inbox_dead", 2).await;
        setting.until_count("inbox_parked", 3).await;
        let inbox = Inbox {
            pool: setting.database.service_pool(Program::NotifySvc.operator(), 2),
            source: Arc::new(handler::source()),
            handler: Notifications::default(),
        };
        let one = NonZeroU32::MIN;
        let by = By { actor: "ada", reason: "a test" };
        for free in ["1", "10%"] {
            inbox.skip(free.parse::<AggregateId>().unwrap(), one, by).await.unwrap();
        }
        let refused = inbox.skip("10_".parse().unwrap(), one, by).await.unwrap_err();
        assert!(matches!(refused, Unskippable::IsDead(_)), "{refused:?}");
        eventually("the others went on", async || setting.count("inbox_parked").await == 1).await;
    }
}
