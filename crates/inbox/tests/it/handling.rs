//! What a handler may rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use inbox::kit::Kit;
use inbox::{Applied, Decision, Handler, Outcome, Source};
use runtime::mysql::{Receipt, Transaction};
use schema::envelope::Envelope;
use schema::ids::OrderId;
use stack::both_engines;
use stack::testing::{Engine, eventually};

use crate::sales::{Sales, Service, cancelled, created, source};

const FIRST: Outcome = Outcome::Applied(Receipt::First);
const DUPLICATE: Outcome = Outcome::Applied(Receipt::Duplicate);

/// As [`Sales`], once it is told to.
#[derive(Clone, Debug, Default)]
struct Hesitant {
    may_write: Arc<AtomicBool>,
}

impl Handler for Hesitant {
    type Effect = <Sales as Handler>::Effect;

    fn decide(&self, envelope: &Envelope, payload: &[u8]) -> Decision<Self::Effect> {
        Sales.decide(envelope, payload)
    }

    async fn apply(&self, tx: &mut Transaction, effects: &[&Self::Effect]) -> sqlx::Result<Applied> {
        Sales.apply(tx, effects).await?;
        Ok(if self.may_write.load(Ordering::Relaxed) { Applied::Done } else { Applied::Later })
    }
}

both_engines! {
    async fn events_delivered_twice_late_and_out_of_order_have_one_effect_each(engine: Engine) {
        let service = Service::start(engine).await;
        let mut expected = 0;
        for seed in 0..8 {
            let mut events = Vec::new();
            for quantity in 1..=10 {
                let order = OrderId::generate();
                events.push(created(order, "tea", quantity));
                expected += i64::from(quantity);
                if quantity % 2 == 0 {
                    events.push(cancelled(order, "tea", quantity));
                    expected -= i64::from(quantity);
                }
            }
            Kit::new(service.inbox(source(), Sales)).deliver_badly(&events, seed).await.unwrap();
            assert_eq!(service.sold().await, [("tea".to_owned(), expected)], "seed {seed}");
        }
        assert_eq!((service.count("inbox_parked").await, service.count("inbox_dead").await), (0, 0));
    }

    async fn an_effect_that_can_not_be_written_yet_waits_without_spending_an_attempt(engine: Engine) {
        let service = Service::start(engine).await;
        let handler = Hesitant::default();
        let mut kit = Kit::new(service.inbox(source(), handler.clone()));
        let order = OrderId::generate();
        let events = [created(order, "tea", 3), cancelled(order, "tea", 3), created(OrderId::generate(), "tea", 5)];
        assert_eq!(kit.deliver(&events).await.unwrap(), [Outcome::Later, Outcome::Early, Outcome::Later]);
        assert_eq!(service.sold().await, [], "what was written is rolled back");
        eventually("they are tried again", async || kit.resume().await.unwrap()).await;
        assert_eq!(service.count("inbox_parked WHERE attempts = 0").await, 3);
        assert_eq!(kit.deliver(&events).await.unwrap(), [DUPLICATE; 3], "a repeat changes nothing");
        handler.may_write.store(true, Ordering::Relaxed);
        eventually("all are done", async || {
            kit.resume().await.unwrap();
            service.count("inbox_parked").await == 0
        })
        .await;
        assert_eq!(service.sold().await, [("tea".to_owned(), 5)]);
        assert_eq!(service.count("inbox_dead").await, 0);
    }

    async fn several_inboxes_in_one_database_keep_apart(engine: Engine) {
        let service = Service::start(engine).await;
        let other = Source::new("ORDERS", "sales-again", "order");
        let [mut one, mut two] = [source(), other].map(|source| Kit::new(service.inbox(source, Sales)));
        let order = OrderId::generate();
        let events = [created(order, "tea", 3), cancelled(order, "tea", 2)];
        assert_eq!(one.deliver(&events).await.unwrap(), [FIRST; 2]);
        assert_eq!(two.deliver(&events[1..]).await.unwrap(), [Outcome::Early], "its own gate");
        assert_eq!(two.deliver(&events[..1]).await.unwrap(), [FIRST]);
        while two.resume().await.unwrap() {}
        assert_eq!(service.sold().await, [("tea".to_owned(), 2)], "each has had its effect in both");
        assert_eq!((one.deliver(&events).await.unwrap(), two.deliver(&events).await.unwrap()), (vec![DUPLICATE; 2], vec![DUPLICATE; 2]));
        let spoilt = (created(OrderId::generate(), "tea", 1).0, Bytes::from_static(b"no json"));
        assert_eq!(one.deliver(&[spoilt]).await.unwrap(), [Outcome::Dead]);
        assert_eq!(service.count("inbox_dead WHERE consumer = 'sales'").await, 1);
    }
}
