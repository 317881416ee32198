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
use sqlx::{AssertSqlSafe, MySqlConnection};
use stack::proof::{Asked, Customers, Evidence, check};
use stack::testing::{Nats, eventually};
use stack::{Engine, account, both_engines};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::pipeline::Pipeline;
use crate::verdict::until_drained;

both_engines! {
    /// The schedule of this seed holds what the first relay has under way for longer than the dedup window, and delivers it then.
    async fn a_short_proof_holds_and_tells_each_fault(engine: Engine) {
        let mut prove = Command::new(env!("CARGO_BIN_EXE_stack"));
        prove.args(["prove", "--json", "--seed", "52", "--duration", "25s", "--db", engine.name()]);
        let proof = prove.kill_on_drop(true).output().await.unwrap();
        let told = String::from_utf8_lossy(&proof.stderr);
        assert!(proof.status.success(), "{told}{}", String::from_utf8_lossy(&proof.stdout));

        let verdict: Value = serde_json::from_slice(&proof.stdout).unwrap();
        assert_eq!((&verdict["holds"], &verdict["seed"]), (&true.into(), &52.into()));
        let claims = verdict["claims"].as_array().unwrap();
        let unchecked = claims.iter().find(|claim| claim["checked"] == 0);
        assert_eq!(unchecked, None, "{told}");
        let faults = verdict["faults"].as_array().unwrap();
        assert!(faults.iter().all(|fault| told.contains(fault["victim"].as_str().unwrap())), "{told}");
        let is_late = |fault: &Value| fault["kind"] == "hold" && fault["victim"] == "outbox-relay-1 to nats";
        assert!(faults.iter().any(|fault| is_late(fault) && fault["lasts_ms"].as_u64() > Some(10_000)), "{told}");
    }

    async fn the_checker_names_what_is_broken_on_purpose(engine: Engine) {
        let mut scene = Scene::start(engine).await;
        assert_eq!(scene.violated().await, []);

        let first = "SELECT event_id FROM outbox_text ORDER BY seq LIMIT 1";
        let cancelled = "SELECT aggregate_id FROM outbox_text WHERE aggregate_version = 2 ORDER BY seq LIMIT 1";
        let (first, cancelled) = (scene.id(first).await, scene.id(cancelled).await);
        let (event, order) = (first.replace('-', ""), cancelled.replace('-', ""));
        let missing: &[&str] = &["appended", "stored", "received", "notified"];
        for (is_in_orders, statement, id, claims) in [
            (true, format!("DELETE FROM outbox WHERE event_id = x'{event}'"), &first, missing),
            (true, format!("UPDATE outbox SET state = 'dead' WHERE event_id = x'{event}'"), &first, &["settled"]),
            (true, format!("UPDATE outbox SET attempts = 1 WHERE event_id = x'{event}'"), &first, &["unspent"]),
            (true, format!("UPDATE outbox SET aggregate_version = aggregate_version + 1 \
                            WHERE aggregate_id = '{cancelled}' ORDER BY aggregate_version DESC"), &cancelled, &["appended", "stored"]),
            (true, format!("UPDATE orders SET status = 'placed' WHERE id = x'{order}'"), &cancelled, &["cancelled", "appended"]),
            (true, format!("UPDATE orders SET quantity = quantity + 1 WHERE id = x'{order}'"), &cancelled,
             &["placed", "cancelled", "truthful", "notified"]),
            (true, format!("UPDATE orders SET email = 'eve@example.com' WHERE id = x'{order}'"), &cancelled,
             &["placed", "cancelled", "truthful", "notified"]),
            (true, format!("UPDATE orders SET updated_at = updated_at + INTERVAL 1 SECOND WHERE id = x'{order}'"), &cancelled,
             &["cancelled", "truthful"]),
            (true, format!("UPDATE outbox SET payload = JSON_SET(payload, '$.quantity', 1001) WHERE event_id = x'{event}'"), &first,
             &["truthful", "stored"]),
            (true, format!("DELETE FROM orders WHERE id = x'{order}'"), &cancelled, &["placed", "placed_once", "cancelled", "appended"]),
            (false, format!("DELETE FROM inbox WHERE event_id = x'{event}'"), &first, &["received"]),
            (false, format!("DELETE FROM notifications WHERE event_id = x'{event}'"), &first, &["notified"]),
            (false, format!("UPDATE notifications SET recipient = 'eve@example.com' WHERE event_id = x'{event}'"), &first, &["notified"]),
            (false, format!("UPDATE notifications SET created_at = created_at - INTERVAL 1 DAY \
                             WHERE order_id = x'{order}' AND event_type = 'order.cancelled'"), &cancelled, &["notified_in_order"]),
        ] {
            let violated = scene.violated_after(is_in_orders, &statement).await;
            let names: Vec<_> = violated.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, claims, "{statement}: {violated:?}");
            assert!(violated.iter().any(|(_, text)| text.contains(id)), "{statement}: {id} is not in {violated:?}");
        }
    }

    async fn the_checker_names_a_message_that_is_stored_twice_or_before_an_earlier_one(engine: Engine) {
        let mut scene = Scene::start(engine).await;
        let cancelled = "SELECT event_id FROM outbox_text WHERE aggregate_version = 2 ORDER BY seq LIMIT 1";
        let order = "SELECT aggregate_id FROM outbox_text WHERE aggregate_version = 2 ORDER BY seq LIMIT 1";
        let (event, order) = (scene.id(cancelled).await, scene.id(order).await);
        let messages = scene.messages().await;
        let younger = messages.iter().position(|(_, id, _)| *id == event).unwrap();
        let earlier = messages.iter().position(|(_, _, of)| *of == order).unwrap();

        scene.publish([&messages[younger]], "again").await;
        let violated = scene.violated().await;
        assert_eq!(violated.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["stored", "stored_in_order"]);
        assert!(violated[0].1.contains(&event) && violated[1].1.contains(&order), "{violated:?}");

        let mut swapped: Vec<_> = messages.iter().collect();
        swapped.swap(younger, earlier);
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
    let victim = child_of(prove.id().unwrap(), "outbox-relay");
    kill(victim, Signal::SIGKILL).unwrap();

    let rest = tokio::spawn(async move { while let Ok(Some(_)) = told.next_line().await {} });
    let proof = prove.wait_with_output().await.unwrap();
    rest.await.unwrap();
    let verdict: Value = serde_json::from_slice(&proof.stdout).unwrap();
    let claims = verdict["claims"].as_array().unwrap();
    let violated: Vec<_> = claims.iter().filter(|claim| claim["violations"] != json!([])).collect();
    assert!(violated.len() == 1 && violated[0]["name"] == "stopped", "{violated:?}");
    let violation = violated[0]["violations"][0].as_str().unwrap();
    assert!(
        violation.starts_with("outbox-relay-") && violation.contains("ended by itself with SIGKILL"),
        "{violation}"
    );
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
    orders: MySqlConnection,
    notifications: MySqlConnection,
    operator: Client,
}

/// A message, its event and its order.
type Stored = (jetstream::message::StreamMessage, String, String);

impl Scene {
    async fn start(engine: Engine) -> Self {
        let mut pipeline = Pipeline::start(engine).await;
        let customers = Customers::start(&pipeline.services.order_svc.url(""), 2, Duration::from_millis(5), 1);
        eventually("some orders are taken", async || customers.taken() >= 30).await;
        let asked = customers.stop(Duration::from_secs(20)).await;
        until_drained(&pipeline.orders.admin_pool().await, &pipeline.notifications.admin_pool().await).await;
        for service in pipeline.services.each() {
            service.terminate().await;
        }
        let orders = account::connect(&pipeline.orders.admin_url()).await.unwrap();
        let notifications = account::connect(&pipeline.notifications.admin_url()).await.unwrap();
        let operator = Nats::operator(&pipeline.nats.url()).await;
        Self { pipeline, asked, orders, notifications, operator }
    }

    async fn id(&mut self, query: &'static str) -> String {
        sqlx::query_scalar(query).fetch_one(&mut self.orders).await.unwrap()
    }

    async fn violated(&mut self) -> Vec<(&'static str, String)> {
        let evidence = Evidence::read(&mut self.orders, &mut self.notifications, &self.operator).await.unwrap();
        let violated = check(&self.asked, &evidence).into_iter().filter(|claim| !claim.holds());
        violated.map(|claim| (claim.name, claim.violations.join("; "))).collect()
    }

    /// What is violated once the statement has broken something, which is undone after the check.
    async fn violated_after(&mut self, is_in_orders: bool, statement: &str) -> Vec<(&'static str, String)> {
        let broken = if is_in_orders { &mut self.orders } else { &mut self.notifications };
        sqlx::raw_sql("BEGIN").execute(&mut *broken).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *broken).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement} breaks nothing");
        let violated = self.violated().await;
        let broken = if is_in_orders { &mut self.orders } else { &mut self.notifications };
        sqlx::raw_sql("ROLLBACK").execute(broken).await.unwrap();
        violated
    }

    async fn messages(&self) -> Vec<Stored> {
        let mut stream = jetstream::new(self.operator.clone()).get_stream(STREAM).await.unwrap();
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
        let jetstream = jetstream::new(self.operator.clone());
        let config: Config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
        jetstream.delete_stream(STREAM).await.unwrap();
        jetstream.create_stream(config).await.unwrap();
    }
}
