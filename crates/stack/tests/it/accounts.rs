//! `k8s/base/nats/accounts.conf`: each service can do its work at NATS, and nothing else.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, ConnectOptions, Event};
use futures::{StreamExt, TryStreamExt};
use schema::names::{NOTIFY_DURABLE, PAYMENT_DURABLE, STREAM};
use serde_json::{Value, json};
use stack::Engine;
use stack::server::{NATS_USERS, NatsSetup};
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

    // The admin takes the consumer away, and then the stream.
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

const OPERATOR: [Right; 32] = [
    Publish("order.created"),
    Publish("outbox.wake.orders"),
    Publish("$JS.API.STREAM.CREATE.EVIL"),
    Publish("$JS.API.STREAM.UPDATE.ORDERS"),
    Publish("$JS.API.STREAM.DELETE.ORDERS"),
    Publish("$JS.API.STREAM.PURGE.ORDERS"),
    Publish("$JS.API.STREAM.SNAPSHOT.ORDERS"),
    Publish("$JS.API.STREAM.RESTORE.EVIL"),
    Publish("$JS.API.STREAM.MSG.DELETE.ORDERS"),
    Publish("$JS.API.DIRECT.GET.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.take"),
    Publish("$JS.API.CONSUMER.CREATE.ORDERS.take.order.created"),
    Publish("$JS.API.CONSUMER.CREATE.PAYMENTS.order-svc"),
    Publish("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.take"),
    Publish("$JS.API.CONSUMER.DELETE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.PAUSE.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.RESET.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.notify-svc"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.take"),
    Publish("$JS.API.CONSUMER.MSG.NEXT.PAYMENTS.notify-svc-payments"),
    Publish("$JS.ACK.ORDERS.notify-svc.1.1.1.1.0"),
    Publish("$JS.ACK._.hash.ORDERS.notify-svc.1.1.1.1.0"),
    Publish("$JS.FC.ORDERS.notify-svc.1"),
    Publish("$JS.hub.API.STREAM.CREATE.EVIL"),
    Publish("$JS.hub.API.STREAM.SNAPSHOT.ORDERS"),
    Publish("$JS.hub.API.CONSUMER.CREATE.ORDERS.take"),
    Publish("$JS.hub.API.CONSUMER.MSG.NEXT.ORDERS.notify-svc"),
    Publish("$JS.hub.API.STREAM.INFO.ORDERS"),
    Subscribe("order.>"),
    Subscribe("$JS.ACK.>"),
    Subscribe("_INBOX.outbox-relay.>"),
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
        let mut client = Listening::connect(&nats.url(), user).await;
        for right in rights {
            let refused = match right {
                Publish(subject) => {
                    client.client.publish(*subject, "".into()).await.unwrap();
                    format!("publish to \"{subject}\"")
                }
                Subscribe(subject) => {
                    client.client.subscribe(*subject).await.unwrap();
                    format!("subscription to \"{subject}\"")
                }
            };
            client.is_refused(&refused).await;
        }
    }
}

/// A user who hears what the server refuses.
struct Listening {
    user: &'static str,
    client: Client,
    events: mpsc::Receiver<Event>,
}

impl Listening {
    async fn connect(url: &str, user: &'static str) -> Self {
        let (heard, mut events) = mpsc::channel(64);
        let client = ConnectOptions::with_user_and_password(user.to_owned(), Nats::PASSWORD.to_owned())
            .custom_inbox_prefix(format!("_INBOX.{user}"))
            .event_callback(move |event| {
                let heard = heard.clone();
                async move { heard.send(event).await.unwrap() }
            })
            .connect(url)
            .await
            .unwrap();
        assert!(matches!(events.recv().await, Some(Event::Connected)));
        Self { user, client, events }
    }

    /// The next thing that the server says is that it refuses this.
    async fn is_refused(&mut self, what: &str) {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{} may: {what}", self.user)).unwrap().to_string();
        let refused = format!("permissions violation for {what}").to_lowercase();
        assert!(event.to_lowercase().contains(&refused), "{}: {what}: {event}", self.user);
    }
}

#[tokio::test]
async fn a_consumer_can_not_be_changed_under_another_name() {
    let pipeline = Pipeline::start(Engine::MySql).await;
    let payment_svc = Nats::client(&pipeline.nats.url(), PAYMENT_DURABLE).await;
    let body = json!({ "stream_name": STREAM, "config": { "name": NOTIFY_DURABLE, "max_deliver": 1 } });
    let subject = format!("$JS.API.CONSUMER.CREATE.{STREAM}.{PAYMENT_DURABLE}");
    let answer = payment_svc.request(subject, body.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["name"], PAYMENT_DURABLE, "{answer}");
    let stream = pipeline.jetstream().await.get_stream(STREAM).await.unwrap();
    assert_eq!(stream.consumer_info(NOTIFY_DURABLE).await.unwrap().config.max_deliver, -1);
}

/// Requests that have the server itself acknowledge under `ack`, or pull for a consumer at `pull`.
fn through_the_server(ack: &str, pull: &str) -> [(&'static str, Value); 5] {
    let transform = json!([{ "src": "order.created", "dest": "evil.created" }]);
    let evil = json!({
        "name": "EVIL", "subjects": ["evil.>"], "storage": "memory",
        "sources": [{ "name": STREAM, "subject_transforms": transform }],
        "republish": { "src": "evil.created", "dest": ack, "headers_only": true },
    });
    let push = |config: Value| json!({ "stream_name": STREAM, "config": config });
    let take = json!({
        "name": "take", "deliver_subject": pull, "headers_only": true, "ack_policy": "explicit", "deliver_policy": "all",
    });
    let durable = json!({ "durable_name": "take", "deliver_subject": pull, "ack_policy": "explicit" });
    [
        ("STREAM.CREATE.EVIL", evil),
        ("CONSUMER.CREATE.ORDERS.take", push(take)),
        ("CONSUMER.DURABLE.CREATE.ORDERS.take", push(durable)),
        ("STREAM.SNAPSHOT.ORDERS", json!({ "deliver_subject": ack })),
        ("STREAM.SNAPSHOT.ORDERS", json!({ "deliver_subject": pull })),
    ]
}

/// Nor has it the server do so. It sees what it needs.
#[tokio::test]
async fn an_operator_reads_the_stream_and_takes_no_message_from_another_consumer() {
    let further = "feature_flags { js_ack_fc_v2: true }".to_owned();
    for further in [String::new(), further] {
        let nats = NatsSetup { accounts: Nats::accounts(), further, ..NatsSetup::default() };
        let mut pipeline = Pipeline::start_on(Engine::MySql, Nats::start_with(nats).await).await;
        pipeline.services.notify_svc.terminate().await;
        let orders = [pipeline.services.place().await, pipeline.services.place().await];
        pipeline.until_published().await;
        let url = pipeline.nats.url();
        let stream = jetstream::new(Nats::client(&url, NOTIFY_DURABLE).await).get_stream_no_info(STREAM).await.unwrap();
        let theirs: PullConsumer = stream.get_consumer(NOTIFY_DURABLE).await.unwrap();
        let mut batch = theirs.fetch().max_messages(1).messages().await.unwrap();
        let unanswered = batch.next().await.unwrap().unwrap();

        let mut operator = Listening::connect(&url, "operator").await;
        let (ack, pull) = (unanswered.reply.clone().unwrap(), "$JS.API.CONSUMER.MSG.NEXT.ORDERS.notify-svc");
        for (request, body) in through_the_server(&ack, pull) {
            for api in ["$JS.API", "$JS.hub.API"] {
                let subject = format!("{api}.{request}");
                operator.client.publish(subject.clone(), body.to_string().into()).await.unwrap();
                operator.is_refused(&format!("publish to \"{subject}\"")).await;
            }
        }
        for subject in [&ack, pull] {
            operator.client.publish(subject.to_owned(), "".into()).await.unwrap();
            operator.is_refused(&format!("publish to \"{subject}\"")).await;
        }
        let ask = "$JS.API.STREAM.INFO.ORDERS";
        operator.client.publish_with_reply(ask, ack.clone(), "".into()).await.unwrap();
        operator.is_refused(&format!("publish with reply of \"{ack}\"")).await;
        operator.client.publish_with_reply(ask, pull, "".into()).await.unwrap();
        looks_around(&operator.client).await;
        let left = jetstream::new(operator.client.clone()).get_stream(STREAM).await.unwrap();
        let left = left.consumer_info(NOTIFY_DURABLE).await.unwrap();
        let (given, answered) = (left.delivered.stream_sequence, left.ack_floor.stream_sequence);
        assert_eq!((given, answered, left.num_ack_pending, left.num_waiting), (1, 0, 1, 0));

        unanswered.ack_with(AckKind::Nak(None)).await.unwrap();
        pipeline.services.notify_svc.restart().await;
        for order in orders {
            pipeline.services.until_notified(&order).await;
        }
    }
}

/// All that a person looks at.
async fn looks_around(operator: &Client) {
    let jetstream = jetstream::new(operator.clone());
    assert_eq!(jetstream.query_account().await.unwrap().streams, 1);
    assert_eq!(jetstream.stream_names().try_collect::<Vec<_>>().await.unwrap(), [STREAM]);
    assert_eq!(jetstream.streams().try_collect::<Vec<_>>().await.unwrap()[0].state.messages, 2);
    let stream = jetstream.get_stream(STREAM).await.unwrap();
    assert_eq!(stream.get_raw_message(1).await.unwrap().subject.as_str(), "order.created");
    assert_eq!(stream.get_last_raw_message_by_subject("order.created").await.unwrap().sequence, 2);
    assert_eq!(stream.consumer_names().try_collect::<Vec<_>>().await.unwrap(), [NOTIFY_DURABLE]);
    assert_eq!(stream.consumers().try_collect::<Vec<_>>().await.unwrap()[0].name, NOTIFY_DURABLE);
}

#[tokio::test]
async fn nobody_opens_a_user_who_is_locked() {
    let nats = Nats::start_with_accounts().await;
    let admin = NATS_USERS.iter().find(|user| user.name == "admin").unwrap();
    let connect = |password: &str| {
        ConnectOptions::with_user_and_password("admin".to_owned(), password.to_owned()).connect(nats.url())
    };
    connect(Nats::PASSWORD).await.unwrap();
    nats.set_passwords(&[(*admin, "$2a$11$locked")]);
    eventually("it is locked", async || connect(Nats::PASSWORD).await.is_err()).await;
    for password in ["", "locked", "$2a$11$locked"] {
        connect(password).await.unwrap_err();
    }
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
