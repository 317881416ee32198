//! `k8s/base/nats/accounts.conf`: each service can do its work at NATS, and nothing else.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::{ConnectOptions, Event};
use futures::StreamExt;
use schema::names::{NOTIFY_DURABLE, STREAM};
use serde_json::{Value, json};
use stack::Engine;
use stack::server::NatsSetup;
use stack::service::Program;
use stack::testing::{Nats, eventually};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::pipeline::Pipeline;
use crate::services::{metric, run};

impl Pipeline {
    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.orders.admin_pool().await).await.unwrap();
    }

    async fn until_published(&self) {
        let pool = self.orders.admin_pool().await;
        eventually("everything is published", async || {
            let waiting = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox WHERE state = 'pending'");
            waiting.fetch_one(&pool).await.unwrap() == 0
        })
        .await;
    }

    /// A verb of the relay, as the relay's user of NATS.
    fn relay_verb(&self, arguments: &[&str]) -> String {
        let (database, nats) = (self.orders.url(Program::OutboxRelay.user_of(arguments)), self.nats.url());
        let users = [("NATS_USER", "outbox-relay"), ("NATS_PASSWORD", Nats::PASSWORD)];
        let servers = [("DATABASE_URL", database.as_str()), ("NATS_URL", nats.as_str())];
        let output = run("outbox-relay", arguments, &[servers, users].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

const FORGET: &str = "UPDATE outbox SET state = 'pending', stream_seq = 0 WHERE state = 'published'";

#[tokio::test]
async fn each_service_does_all_its_work_as_its_nats_user() {
    let mut pipeline = Pipeline::start(Engine::MySql).await;
    let order = pipeline.services.place().await;
    pipeline.services.until_notified(&order).await;

    // The relay looks up single messages after a duplicate, and the last ones when it takes over.
    pipeline.execute(FORGET).await;
    pipeline.until_published().await;
    pipeline.services.relay.kill().await;
    pipeline.execute(FORGET).await;
    pipeline.services.relay.restart().await;
    pipeline.until_published().await;
    assert_eq!(metric(&pipeline.services.relay, "relay_recovered_events_total").await, 1.0);
    assert_eq!(pipeline.msg_ids().await.len(), 1);

    let found = pipeline.relay_verb(&["stream", "check", "--json"]);
    assert!(found.contains(r#""is_complete":true"#), "{found}");
    pipeline.relay_verb(&["event", "replay", "--aggregate", &format!("order/{order}"), "--actor", "ada"]);
    assert_eq!(pipeline.msg_ids().await.len(), 2);
    a_tombstone_is_published(&pipeline).await;

    let status = [
        ("DATABASE_URL", pipeline.notifications.url(Program::NotifySvc.operator())),
        ("NATS_URL", pipeline.nats.url()),
        ("NATS_USER", "notify-svc".to_owned()),
        ("NATS_PASSWORD", Nats::PASSWORD.to_owned()),
    ];
    let status = status.each_ref().map(|(name, value)| (*name, value.as_str()));
    let status = run("notify-svc", &["status", "--json"], &status);
    assert!(String::from_utf8_lossy(&status.stdout).contains(r#""ack_floor":"#), "{status:?}");

    // The operator takes the consumer away, and then the stream.
    let jetstream = pipeline.jetstream().await;
    let stream = jetstream.get_stream(STREAM).await.unwrap();
    stream.delete_consumer(NOTIFY_DURABLE).await.unwrap();
    eventually("the consumer is there again", async || stream.consumer_info(NOTIFY_DURABLE).await.is_ok()).await;
    jetstream.delete_stream(STREAM).await.unwrap();
    let later = pipeline.services.place().await;
    pipeline.services.until_notified(&later).await;
    let logs = pipeline.services.logs();
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}

/// An event that can't be published is given up.
async fn a_tombstone_is_published(pipeline: &Pipeline) {
    let event_id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (?, 'order', ?, 1, 'order.created', 'order.*', '{}')",
    )
    .bind(event_id)
    .bind(Uuid::now_v7().to_string())
    .execute(&pipeline.orders.admin_pool().await)
    .await
    .unwrap();
    let before = pipeline.msg_ids().await.len();
    pipeline.until_published().await; // or dead
    let event = event_id.to_string();
    pipeline.relay_verb(&[
        "event",
        "discard",
        &event,
        "--subject",
        "order.created",
        "--reason",
        "a test",
        "--actor",
        "ada",
    ]);
    eventually("the tombstone is in the stream", async || pipeline.msg_ids().await.len() > before).await;
}

enum Right {
    Publish(&'static str),
    Subscribe(&'static str),
}

use Right::{Publish, Subscribe};

const ORDER_SVC: [Right; 11] = [
    Publish("order.created"),
    Publish("outbox.wake.invoices"),
    Publish("$JS.API.INFO"),
    Publish("$JS.API.STREAM.INFO.ORDERS"),
    Publish("payment.authorized"),
    Publish("$JS.API.STREAM.CREATE.PAYMENTS"),
    Publish("$JS.API.CONSUMER.CREATE.PAYMENTS.other"),
    Publish("$JS.ACK.PAYMENTS.other.1.1.1.1.0"),
    Subscribe("outbox.wake.orders"),
    Subscribe("order.>"),
    Subscribe("_INBOX.notify-svc.>"),
];

const PAYMENT_SVC: [Right; 8] = [
    Publish("order.created"),
    Publish("payment.authorized"),
    Publish("outbox.wake.orders"),
    Publish("$JS.API.STREAM.INFO.PAYMENTS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.notify-svc"),
    Publish("$JS.ACK.ORDERS.notify-svc.1.1.1.1.0"),
    Subscribe("order.>"),
    Subscribe("_INBOX.order-svc.>"),
];

const PAYMENT_RELAY: [Right; 7] = [
    Publish("order.created"),
    Publish("outbox.wake.payments"),
    Publish("$JS.API.STREAM.DELETE.PAYMENTS"),
    Publish("$JS.API.CONSUMER.CREATE.PAYMENTS.order-svc"),
    Publish("$JS.ACK.PAYMENTS.order-svc.1.1.1.1.0"),
    Subscribe("payment.>"),
    Subscribe("_INBOX.outbox-relay.>"),
];

const RELAY: [Right; 19] = [
    Publish("outbox.wake.orders"),
    Publish("$JS.API.STREAM.CREATE.INVOICES"),
    Publish("$JS.API.STREAM.UPDATE.ORDERS"),
    Publish("$JS.API.STREAM.DELETE.ORDERS"),
    Publish("$JS.API.STREAM.PURGE.ORDERS"),
    Publish("$JS.API.STREAM.MSG.DELETE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.mine"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.notify-svc.order.created"),
    Publish("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.mine"),
    Publish("$JS.API.CONSUMER.DELETE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.notify-svc"),
    Publish("$JS.ACK.ORDERS.notify-svc.1.1.1.1.0"),
    Publish("$JS.ACK._.hash.ORDERS.notify-svc.1.1.1.1.0"),
    Subscribe("order.>"),
    Subscribe("_INBOX.notify-svc.>"),
    Subscribe("_INBOX.>"),
];

const NOTIFY_SVC: [Right; 14] = [
    Publish("$JS.API.CONSUMER.CREATE.PAYMENTS.order-svc"),
    Publish("$JS.ACK.PAYMENTS.order-svc.1.1.1.1.0"),
    Publish("order.created"),
    Publish("outbox.wake.orders"),
    Publish("$JS.API.STREAM.CREATE.ORDERS"),
    Publish("$JS.API.STREAM.DELETE.ORDERS"),
    Publish("$JS.API.STREAM.PURGE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.other"),
    Publish("$JS.API.CONSUMER.DELETE.ORDERS.other"),
    Publish("$JS.ACK.ORDERS.other.1.1.1.1.0"),
    Publish("$JS.ACK._.hash.ORDERS.other.1.1.1.1.0"),
    Subscribe("order.>"),
    Subscribe("_INBOX.outbox-relay.>"),
];

const OPERATOR: [Right; 16] = [
    Publish("$JS.API.CONSUMER.MSG.NEXT.PAYMENTS.notify-svc-payments"),
    Publish("order.created"),
    Publish("outbox.wake.orders"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.notify-svc"),
    Publish("$JS.ACK.ORDERS.notify-svc.1.1.1.1.0"),
    Publish("$JS.ACK._.hash.ORDERS.notify-svc.1.1.1.1.0"),
    Publish("$JS.API.CONSUMER.RESET.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.notify-svc.order.created"),
    Publish("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.PAYMENTS.order-svc"),
    Publish("$JS.API.CONSUMER.CREATE.PAYMENTS"),
    Publish("$JS.ACK.ORDERS.payment-svc.1.1.1.1.0"),
    Subscribe("order.>"),
    Subscribe("_INBOX.notify-svc.>"),
];

#[tokio::test]
async fn nats_refuses_each_user_what_it_does_not_need() {
    let nats = Nats::start_with_accounts().await;
    let users: [(&str, &[Right]); 6] = [
        ("order-svc", &ORDER_SVC),
        ("outbox-relay", &RELAY),
        ("notify-svc", &NOTIFY_SVC),
        ("payment-svc", &PAYMENT_SVC),
        ("payment-relay", &PAYMENT_RELAY),
        ("operator", &OPERATOR),
    ];
    for (user, rights) in users {
        let (heard, mut events) = mpsc::channel(64);
        let client = ConnectOptions::with_user_and_password(user.to_owned(), Nats::PASSWORD.to_owned())
            .event_callback(move |event| {
                let heard = heard.clone();
                async move { heard.send(event).await.unwrap() }
            })
            .connect(nats.url())
            .await
            .unwrap();
        assert!(matches!(events.recv().await, Some(Event::Connected)));
        for right in rights {
            let refused = match right {
                Publish(subject) => {
                    client.publish(*subject, "".into()).await.unwrap();
                    format!("permissions violation for publish to \"{subject}\"")
                }
                Subscribe(subject) => {
                    client.subscribe(*subject).await.unwrap();
                    format!("permissions violation for subscription to \"{subject}\"")
                }
            };
            let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{user} may: {refused}")).unwrap().to_string();
            assert!(event.to_lowercase().contains(&refused.to_lowercase()), "{user}: {refused}: {event}");
        }
    }
}

#[tokio::test]
async fn a_consumer_can_not_be_changed_under_another_name() {
    let pipeline = Pipeline::start(Engine::MySql).await;
    let options = ConnectOptions::with_user_and_password("operator".to_owned(), Nats::PASSWORD.to_owned());
    let operator = options.custom_inbox_prefix("_INBOX.operator").connect(pipeline.nats.url()).await.unwrap();
    let body = json!({ "stream_name": STREAM, "config": { "name": NOTIFY_DURABLE, "max_deliver": 1 } });
    let answer = operator.request("$JS.API.CONSUMER.CREATE.ORDERS.mine", body.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["name"], "mine", "{answer}");
    let stream = pipeline.jetstream().await.get_stream(STREAM).await.unwrap();
    assert_eq!(stream.consumer_info(NOTIFY_DURABLE).await.unwrap().config.max_deliver, -1);
}

#[tokio::test]
async fn an_operator_reads_the_stream_and_takes_no_message_from_another_consumer() {
    let mut pipeline = Pipeline::start(Engine::MySql).await;
    pipeline.services.notify_svc.terminate().await;
    let order = pipeline.services.place().await;
    pipeline.until_published().await;
    let stream = pipeline.jetstream().await.get_stream(STREAM).await.unwrap();
    let first = async |consumer: PullConsumer| {
        let mut batch = consumer.fetch().max_messages(1).expires(Duration::from_secs(1)).messages().await.unwrap();
        batch.next().await.map(Result::unwrap)
    };
    let theirs: PullConsumer = stream.get_consumer(NOTIFY_DURABLE).await.unwrap();
    assert!(first(theirs).await.is_none(), "the operator has taken what was notify-svc's");
    let config = pull::Config { name: Some("operator-reads".to_owned()), ..pull::Config::default() };
    let seen = first(stream.create_consumer(config).await.unwrap()).await.unwrap();
    seen.ack().await.unwrap();
    pipeline.services.notify_svc.restart().await;
    pipeline.services.until_notified(&order).await;
}

#[tokio::test]
async fn notify_svc_is_heard_by_a_server_that_names_acknowledgements_by_domain_and_account() {
    let further = "feature_flags { js_ack_fc_v2: true }".to_owned();
    let nats = NatsSetup { accounts: Nats::accounts(), further, ..NatsSetup::default() };
    let pipeline = Pipeline::start_on(Engine::MySql, Nats::start_with(nats).await).await;
    let stream = pipeline.jetstream().await.get_stream(STREAM).await.unwrap();
    for _ in 0..3 {
        let order = pipeline.services.place().await;
        pipeline.services.until_notified(&order).await;
    }
    eventually("all is acknowledged", async || {
        let consumer = stream.consumer_info(NOTIFY_DURABLE).await.unwrap();
        (consumer.ack_floor.stream_sequence, consumer.num_ack_pending) == (3, 0)
    })
    .await;
    let logs = pipeline.services.logs();
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}

#[tokio::test]
async fn nats_knows_nobody_without_a_password() {
    let nats = Nats::start_with_accounts().await;
    async_nats::connect(nats.url()).await.unwrap_err();
    for (user, password) in [("operator", "wrong"), ("operator", ""), ("nobody", Nats::PASSWORD), ("", "")] {
        let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
        let refused = options.connect(nats.url()).await.unwrap_err();
        assert!(refused.to_string().contains("authorization violation"), "{user}: {refused}");
    }
}
