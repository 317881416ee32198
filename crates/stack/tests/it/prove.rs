//! `stack prove`: a short run on each engine, and a checker that names what was broken on purpose.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use async_nats::{Client, ConnectOptions, HeaderMap};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use schema::names::{MSG_ID_HEADER, STREAM};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};
use stack::proof::{Asked, Cancel, Customers, Evidence, check};
use stack::testing::{Database, Nats, eventually, eventually_within};
use stack::{Engine, account, both_engines};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use uuid::Uuid;

use crate::pipeline::Pipeline;
use crate::services::{Services, paying};

both_engines! {
    /// The schedule of this seed holds what the first relay has under way for longer than the dedup window, and delivers it then,
    /// kills a payment-svc and the relay of the payments, and breaks a line from notify-svc to order-svc.
    async fn a_short_proof_holds_and_tells_each_fault(engine: Engine) {
        let mut prove = Command::new(env!("CARGO_BIN_EXE_stack"));
        prove.args(["prove", "--json", "--seed", "901", "--duration", "25s", "--db", engine.name()]);
        let proof = prove.kill_on_drop(true).output().await.unwrap();
        let told = String::from_utf8_lossy(&proof.stderr);
        assert!(proof.status.success(), "{told}{}", String::from_utf8_lossy(&proof.stdout));

        let verdict: Value = serde_json::from_slice(&proof.stdout).unwrap();
        assert_eq!((&verdict["holds"], &verdict["seed"]), (&true.into(), &901.into()));
        let claims = verdict["claims"].as_array().unwrap();
        let unchecked = claims.iter().find(|claim| claim["checked"] == 0);
        assert_eq!(unchecked, None, "{told}");
        let faults = verdict["faults"].as_array().unwrap();
        assert!(faults.iter().all(|fault| told.contains(fault["victim"].as_str().unwrap())), "{told}");
        let is_late = |fault: &Value| fault["kind"] == "hold" && fault["victim"] == "outbox-relay-1 to nats";
        assert!(faults.iter().any(|fault| is_late(fault) && fault["lasts_ms"].as_u64() > Some(10_000)), "{told}");
        let is_killed = |name: &str| {
            let is_kill = |fault: &Value| fault["kind"] == "kill" && fault["victim"].as_str().unwrap().starts_with(name);
            faults.iter().any(is_kill)
        };
        assert!(is_killed("payment-svc-") && is_killed("payment-relay"), "{told}");
        assert!(faults.iter().any(|fault| fault["victim"].as_str().unwrap().ends_with(" to order-svc")), "{told}");
    }

    async fn the_checker_names_what_is_broken_on_purpose(engine: Engine) {
        let mut scene = Scene::start(engine).await;
        assert_eq!(scene.violated().await, []);

        let first = "SELECT event_id FROM outbox_text ORDER BY seq LIMIT 1";
        let (first, cancelled) = (scene.id(first).await, scene.refunded.clone());
        let (event, order) = (first.replace('-', ""), cancelled.replace('-', ""));
        let missing: &[&str] = &["appended", "stored", "received", "notified"];
        let refund = format!("SELECT LOWER(HEX(event_id)) FROM notifications WHERE event_type = 'payment.refunded' AND order_id = x'{order}'");
        let refund: String = sqlx::query_scalar(AssertSqlSafe(refund)).fetch_one(&mut scene.notifications).await.unwrap();
        let refund = Uuid::parse_str(&refund).unwrap().to_string();
        for (database, statement, id, claims) in [
            (ORDERS, format!("DELETE FROM outbox WHERE event_id = x'{event}'"), &first, missing),
            (ORDERS, format!("UPDATE outbox SET state = 'dead' WHERE event_id = x'{event}'"), &first, &["settled"]),
            (ORDERS, format!("UPDATE outbox SET attempts = 1 WHERE event_id = x'{event}'"), &first, &["unspent"]),
            (ORDERS, format!("UPDATE outbox SET aggregate_version = aggregate_version + 1 \
                              WHERE aggregate_id = '{cancelled}' ORDER BY aggregate_version DESC"), &cancelled, &["appended", "stored"]),
            (ORDERS, format!("UPDATE orders SET status = 'placed' WHERE id = x'{order}'"), &cancelled,
             &["cancelled", "appended", "paid", "agreed"]),
            (ORDERS, format!("UPDATE orders SET quantity = quantity + 1 WHERE id = x'{order}'"), &cancelled,
             &["placed", "cancelled", "truthful", "notified", "paid_once", "agreed"]),
            (ORDERS, format!("UPDATE orders SET email = 'eve@example.com' WHERE id = x'{order}'"), &cancelled,
             &["placed", "placed_once", "cancelled"]),
            (ORDERS, format!("UPDATE orders SET updated_at = updated_at + INTERVAL 1 SECOND WHERE id = x'{order}'"), &cancelled,
             &["cancelled", "truthful"]),
            (ORDERS, format!("UPDATE outbox SET payload = JSON_SET(payload, '$.quantity', 1001) WHERE event_id = x'{event}'"), &first,
             &["truthful", "stored"]),
            (ORDERS, format!("DELETE FROM orders WHERE id = x'{order}'"), &cancelled,
             &["placed", "placed_once", "cancelled", "appended", "agreed"]),
            (NOTIFICATIONS, format!("DELETE FROM inbox WHERE event_id = x'{event}'"), &first, &["received"]),
            (NOTIFICATIONS, format!("DELETE FROM inbox WHERE aggregate_type = 'payment' AND event_id IN \
                                     (SELECT event_id FROM notifications WHERE order_id = x'{order}')"), &refund, &["received"]),
            (NOTIFICATIONS, format!("DELETE FROM notifications WHERE event_type = 'payment.refunded' AND order_id = x'{order}'"), &refund,
             &["notified"]),
            (NOTIFICATIONS, format!("DELETE FROM notifications WHERE event_id = x'{event}'"), &first, &["notified"]),
            (NOTIFICATIONS, format!("UPDATE notifications SET quantity = quantity + 1 WHERE event_id = x'{event}'"), &first, &["notified"]),
            (NOTIFICATIONS, format!("UPDATE notifications SET created_at = created_at - INTERVAL 1 DAY \
                                     WHERE order_id = x'{order}' AND event_type = 'order.cancelled'"), &cancelled, &["notified_in_order"]),
            (PAYMENTS, format!("DELETE FROM inbox WHERE event_id = x'{event}'"), &first, &["received"]),
            (PAYMENTS, format!("UPDATE payments SET state = 'refunding' WHERE order_id = x'{order}'"), &cancelled, &["concluded"]),
            (PAYMENTS, format!("UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_id = x'{order}'"), &cancelled, &["agreed"]),
        ] {
            let violated = scene.violated_after(database, &statement).await;
            let names: Vec<_> = violated.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, claims, "{statement}: {violated:?}");
            assert!(violated.iter().any(|(_, text)| text.contains(id)), "{statement}: {id} is not in {violated:?}");
        }
    }

    /// By the books alone: the tables say that all is well.
    async fn the_checker_names_money_that_was_taken_twice_or_kept(engine: Engine) {
        let mut scene = Scene::start(engine).await;
        assert_eq!(scene.violated().await, []);
        let (refunded, authorized) = (scene.refunded.clone(), authorized(&mut scene.payments).await);

        let refund = scene.take_out(&refunded, "refund");
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["paid", "agreed"]);
        assert!(violated.iter().all(|(_, text)| text.contains(&refunded)), "{violated:?}");
        scene.put_back(refund);

        let charge = scene.take_out(&authorized, "outcome");
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["paid", "agreed"]);
        assert!(violated.iter().all(|(_, text)| text.contains(&authorized)), "{violated:?}");
        scene.put_back(charge);

        for (file, content) in ["intent", "outcome"].map(|kind| scene.page(&authorized, kind)) {
            let name = file.file_name().unwrap().to_str().unwrap();
            std::fs::write(file.with_file_name(format!("again_{name}")), content).unwrap();
        }
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["paid_once"]);
        assert!(violated[0].1.contains(&authorized), "{violated:?}");
    }

    async fn the_checker_names_a_message_that_is_stored_twice_or_before_an_earlier_one(engine: Engine) {
        let mut scene = Scene::start(engine).await;
        let cancelled = "SELECT event_id FROM outbox_text WHERE aggregate_version = 2 ORDER BY seq LIMIT 1";
        let order = "SELECT aggregate_id FROM outbox_text WHERE aggregate_version = 2 ORDER BY seq LIMIT 1";
        let (event, order) = (scene.id(cancelled).await, scene.id(order).await);
        let messages = scene.messages().await;
        let later = messages.iter().position(|(_, id, _)| *id == event).unwrap();
        let earlier = messages.iter().position(|(_, _, of)| *of == order).unwrap();

        scene.publish([&messages[later]], "again").await;
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["stored", "stored_in_order"]);
        assert!(violated[0].1.contains(&event) && violated[1].1.contains(&order), "{violated:?}");

        let mut swapped: Vec<_> = messages.iter().collect();
        swapped.swap(later, earlier);
        scene.forget_stream().await;
        scene.publish(swapped, "swapped").await;
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["stored", "stored_in_order"]);
        assert!(violated[0].1.contains(&event) && violated[1].1.contains(&order), "{violated:?}");
    }
}

/// The servers and the services are this process's children until it ends them.
#[tokio::test]
async fn a_program_that_ends_while_all_drains_is_named() {
    let mut prove = Command::new(env!("CARGO_BIN_EXE_stack"));
    prove.args(["prove", "--json", "--seed", "5", "--duration", "5s", "--db", Engine::MariaDb.name()]);
    let mut prove = prove.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(prove.stderr.take().unwrap()).lines();
    while let Some(line) = told.next_line().await.unwrap()
        && !line.contains("no more faults")
    {}
    let victim = child_of(prove.id().unwrap(), "outbox-relay"); // of the orders or of the payments
    kill(victim, Signal::SIGKILL).unwrap();

    let rest = tokio::spawn(async move { while let Ok(Some(_)) = told.next_line().await {} });
    let proof = prove.wait_with_output().await.unwrap();
    rest.await.unwrap();
    let verdict: Value = serde_json::from_slice(&proof.stdout).unwrap();
    let claims = verdict["claims"].as_array().unwrap();
    let violated: Vec<_> = claims.iter().filter(|claim| claim["violations"] != json!([])).collect();
    assert!(violated.len() == 1 && violated[0]["name"] == "stopped", "{violated:?}");
    let violation = violated[0]["violations"][0].as_str().unwrap();
    assert!(violation.contains("-relay") && violation.contains("ended by itself with SIGKILL"), "{violation}");
    assert_eq!(proof.status.code(), Some(1));
    let kept = verdict["kept"].as_str().unwrap();
    std::fs::remove_dir_all(kept).unwrap();
}

/// A process by its parent and its program's name.
fn child_of(parent: u32, name: &str) -> Pid {
    let folders = std::fs::read_dir("/proc").unwrap().map(|folder| folder.unwrap().path());
    let is_it = |folder: &PathBuf| {
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default(); // it may have ended
        let has = |line: String| status.lines().any(|other| other == line);
        has(format!("Name:\t{name}")) && has(format!("PPid:\t{parent}"))
    };
    let found = folders.into_iter().find(is_it).unwrap_or_else(|| panic!("{parent} runs no {name}"));
    Pid::from_raw(found.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

/// A pipeline that has done its work and stands still, and what customers were answered.
struct Scene {
    pipeline: Pipeline,
    asked: Vec<Asked>,
    /// An order that was cancelled when it was paid.
    refunded: String,
    orders: MySqlConnection,
    notifications: MySqlConnection,
    payments: MySqlConnection,
    admin: Client,
    books: TempDir,
    _payments: Database,
}

/// A message, its event and its order.
type Stored = (jetstream::message::StreamMessage, String, String);

/// A database of a scene.
type Which = fn(&mut Scene) -> &mut MySqlConnection;
const ORDERS: Which = |scene| &mut scene.orders;
const NOTIFICATIONS: Which = |scene| &mut scene.notifications;
const PAYMENTS: Which = |scene| &mut scene.payments;

impl Scene {
    async fn start(engine: Engine) -> Self {
        let mut pipeline = Pipeline::start_with(engine, |mut services: Services| {
            let stream = schema::names::PAYMENTS_STREAM;
            services.order_svc = services.order_svc.env("PAYMENTS_STREAM", stream);
            services.notify_svc = services.notify_svc.env("PAYMENTS_STREAM", stream);
            services
        })
        .await;
        let (books, payments) =
            (tempfile::tempdir().unwrap(), Database::create(engine, &schema::database::PAYMENTS).await);
        let mut paying = paying(&payments, &pipeline.nats, books.path());
        for service in &mut paying {
            service.spawn();
        }
        let customers = Customers::start(&pipeline.services.order_svc.url(""), 2, Duration::from_millis(5), 1);
        eventually("some orders are taken", async || customers.taken() >= 30).await;
        let mut asked = customers.stop(Duration::from_secs(20)).await;
        until_paid(&pipeline.orders.admin_pool().await, &payments.admin_pool().await).await;
        let mut paid = account::connect(&payments.admin_url()).await.unwrap();
        let refunded = authorized(&mut paid).await;
        let cancel = pipeline.services.order_svc.url(&format!("/api/orders/{refunded}/cancel"));
        let answer = reqwest::Client::new().post(cancel).send().await.unwrap();
        let is_it = |asked: &&mut Asked| asked.orders.first().is_some_and(|order| order.id.to_string() == refunded);
        asked.iter_mut().find(is_it).unwrap().cancel = Cancel::Done(answer.json().await.unwrap());
        until_paid(&pipeline.orders.admin_pool().await, &payments.admin_pool().await).await;
        until_notified(&pipeline, &payments).await;
        for service in pipeline.services.each().into_iter().chain(&mut paying) {
            service.terminate().await;
        }
        let orders = account::connect(&pipeline.orders.admin_url()).await.unwrap();
        let notifications = account::connect(&pipeline.notifications.admin_url()).await.unwrap();
        let admin = Nats::admin(&pipeline.nats.url()).await;
        let (_payments, payments) = (payments, paid);
        Self { pipeline, asked, refunded, orders, notifications, payments, admin, books, _payments }
    }

    async fn id(&mut self, query: &'static str) -> String {
        sqlx::query_scalar(query).fetch_one(&mut self.orders).await.unwrap()
    }

    /// What the provider's books say of an order.
    fn page(&self, order: &str, kind: &str) -> (PathBuf, Vec<u8>) {
        let files = std::fs::read_dir(self.books.path()).unwrap().map(|file| file.unwrap().path());
        let is_its_intent = |file: &PathBuf| {
            let is_intent = file.to_str().unwrap().ends_with(".intent.json");
            is_intent && std::fs::read_to_string(file).unwrap().contains(order)
        };
        let intent = files.into_iter().find(is_its_intent).unwrap();
        let page = PathBuf::from(intent.to_str().unwrap().replace(".intent.json", &format!(".{kind}.json")));
        let content = std::fs::read(&page).unwrap();
        (page, content)
    }

    fn take_out(&self, order: &str, kind: &str) -> (PathBuf, Vec<u8>) {
        let page = self.page(order, kind);
        std::fs::remove_file(&page.0).unwrap();
        page
    }

    fn put_back(&self, (file, content): (PathBuf, Vec<u8>)) {
        std::fs::write(file, content).unwrap();
    }

    async fn violated(&mut self) -> Vec<(&'static str, String)> {
        let evidence = Evidence::read(&mut self.orders, &mut self.notifications, &self.admin).await.unwrap();
        let books = self.books.path();
        let evidence = evidence
            .with_payments((&mut self.orders, &mut self.notifications, &mut self.payments), &self.admin, books)
            .await
            .unwrap();
        let violated = check(&self.asked, &evidence).into_iter().filter(|claim| !claim.holds());
        violated.map(|claim| (claim.name, claim.violations.join("; "))).collect()
    }

    /// What is violated once the statement has broken something, which is undone after the check.
    async fn violated_after(&mut self, which: Which, statement: &str) -> Vec<(&'static str, String)> {
        sqlx::raw_sql("BEGIN").execute(which(self)).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(which(self)).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement} breaks nothing");
        let violated = self.violated().await;
        sqlx::raw_sql("ROLLBACK").execute(which(self)).await.unwrap();
        violated
    }

    async fn messages(&self) -> Vec<Stored> {
        let mut stream = jetstream::new(self.admin.clone()).get_stream(STREAM).await.unwrap();
        let mut messages = Vec::new();
        for sequence in 1..=stream.info().await.unwrap().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let header = |name: &str| message.headers.get(name).unwrap().to_string();
            let (event, order) = (header("ce-id"), header("ce-subject"));
            messages.push((message, event, order));
        }
        messages
    }

    /// As the user of the relay: nobody else may.
    async fn publish<'a>(&self, messages: impl IntoIterator<Item = &'a Stored>, why: &str) {
        let user = ConnectOptions::with_user_and_password("outbox-relay".to_owned(), Nats::PASSWORD.to_owned());
        let relay = user.custom_inbox_prefix("_INBOX.outbox-relay").connect(self.pipeline.nats.url()).await.unwrap();
        let relay = jetstream::new(relay);
        for (message, event, _) in messages {
            // Without what the relay told the broker about the place of the message: it is another now.
            let of_the_event = message.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-"));
            let mut headers = HeaderMap::new();
            for (name, values) in of_the_event {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
            headers.insert(MSG_ID_HEADER, format!("{event} {why}"));
            let published = relay.publish_with_headers(message.subject.clone(), headers, message.payload.clone()).await;
            published.unwrap().await.unwrap();
        }
    }

    /// Puts an empty one in its place.
    async fn forget_stream(&self) {
        let jetstream = jetstream::new(self.admin.clone());
        let config: Config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
        jetstream.delete_stream(STREAM).await.unwrap();
        jetstream.create_stream(config).await.unwrap();
    }
}

/// Waits until each order's money is where it belongs, and order-svc knows it.
async fn until_paid(orders: &MySqlPool, payments: &MySqlPool) {
    let mut before = None;
    eventually_within(Duration::from_secs(150), "all is paid, or given back, and known", async || {
        let appended = count(orders, "SELECT COUNT(*) FROM outbox").await;
        let heard = count(payments, "SELECT COUNT(*) FROM inbox").await;
        let pending = count(payments, "SELECT COUNT(*) FROM effect WHERE state = 'pending'").await;
        let told = count(payments, "SELECT COUNT(*) FROM outbox").await;
        let known = count(orders, "SELECT COUNT(*) FROM inbox").await;
        // What a declined payment cancels is appended in the transaction that makes it known.
        let since = count(orders, "SELECT COUNT(*) FROM outbox").await;
        let counts = (appended, heard, pending, told, known, since);
        if before.replace(counts) != Some(counts) {
            eprintln!("appended, heard, pending, told, known, since: {counts:?}");
        }
        (pending, heard, known, since) == (0, appended, told, appended)
    })
    .await;
}

/// Waits until customers were told of everything.
async fn until_notified(pipeline: &Pipeline, payments: &Database) {
    let (orders, notifications) = (pipeline.orders.admin_pool().await, pipeline.notifications.admin_pool().await);
    let payments = payments.admin_pool().await;
    eventually_within(Duration::from_secs(60), "every event is heard of, and every email sent", async || {
        let events =
            count(&orders, "SELECT COUNT(*) FROM outbox").await + count(&payments, "SELECT COUNT(*) FROM outbox").await;
        let settled = "SELECT COUNT(*) FROM outbox WHERE state = 'published'";
        let settled = count(&orders, settled).await + count(&payments, settled).await;
        let heard = count(&notifications, "SELECT COUNT(*) FROM inbox").await;
        let unsent = count(&notifications, "SELECT COUNT(*) FROM notifications WHERE sent_at IS NULL").await;
        (settled, heard, unsent) == (events, events, 0)
    })
    .await;
}

async fn count(pool: &MySqlPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// The first order whose money was taken and kept.
async fn authorized(payments: &mut MySqlConnection) -> String {
    let query = "SELECT order_id FROM payments_text WHERE state = 'authorized' ORDER BY id LIMIT 1";
    sqlx::query_scalar(query).fetch_one(payments).await.unwrap()
}
