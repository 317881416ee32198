//! Relays, their database and their broker at odds with each other: each such trouble fires its alert.

use schema::database::ORDERS;
use serde_json::json;
use stack::service::Program;
use stack::testing::{Database, Nats, Port, Service, binary, eventually};
use uuid::Uuid;

use super::exporter;
use super::watched::{Event, Watched};

/// Bytes that JetStream may store, and those of an event; seventeen are more than four fifths and less than all.
const STORE: usize = 1_000_000;
const LARGE: usize = 50_000;

#[tokio::test]
async fn each_trouble_between_relay_database_and_broker_fires_its_alert() {
    let (second, exporter) = (Service::new(binary("outbox-relay")), Port::reserve());
    let beside = vec![("outbox-relay", second.admin_port()), ("nats", exporter.number())];
    let mut watched = Watched::start_beside(beside).await;
    let _exporter = exporter::start(&exporter, &watched.nats).await;
    watched.place("ada@example.com").await.unwrap();

    // As after a failover whose old primary is still writable.
    let other = Database::create_on(&watched.mysql, &ORDERS).await;
    let second = second.env("DATABASE_URL", other.url("outbox_relay")).env("NATS_URL", watched.nats.url());
    let mut second = second.env("NATS_USER", "outbox-relay").env("NATS_PASSWORD", Nats::PASSWORD).start().await;
    watched.until(&["RelayTwoActive"]).await;
    second.terminate().await;

    sqlx::query("SET GLOBAL innodb_flush_log_at_trx_commit = 2").execute(&watched.admin).await.unwrap();
    watched.until(&["PreflightFindings"]).await;
    let found = watched.say(Program::OutboxRelay, &["stream", "check"]);
    assert!(found.starts_with("Some(4)") && found.contains("innodb_flush_log_at_trx_commit is 2"), "{found}");
    sqlx::query("SET GLOBAL innodb_flush_log_at_trx_commit = 1").execute(&watched.admin).await.unwrap();
    watched.until_no("PreflightFindings").await;

    watched.append(&Event { subject: "shipment.created", ..Event::created() }).await; // the stream takes order.> alone
    watched.until(&["OutboxEventsHeld"]).await;
    let held = watched.say(Program::OutboxRelay, &["event", "list", "--state", "held"]);
    assert!(held.contains(r#"subject "shipment.created" is not one that the stream takes"#), "{held}");
    give_up_held(&watched).await;
    watched.until_no("OutboxEventsHeld").await;

    let lose = "UPDATE relay_lease SET holder = NULL";
    let lose = async || {
        sqlx::query(lose).execute(&watched.admin).await.unwrap();
    };
    watched.until_doing(&["RelayLeaseFlaps"], lose).await;

    watched.until_doing(&["PubackSlow"], async || slow_down(&watched).await).await;
    watched.until_no("PubackSlow").await;

    fill_the_store(&mut watched).await;
}

/// As the page of the alert says.
async fn give_up_held(watched: &Watched) {
    let id = sqlx::query_scalar::<_, Uuid>("SELECT event_id FROM outbox WHERE state = 'held'");
    let id = id.fetch_one(&watched.admin).await.unwrap().to_string();
    let discard = ["event", "discard", &id, "--subject", "order.created", "--reason", "shipments are elsewhere"];
    let said = watched.say(Program::OutboxRelay, &discard);
    assert!(said.starts_with("Some(0)"), "{said}");
}

/// The broker takes an event, and acknowledges it only when it has waited for longer than it may.
async fn slow_down(watched: &Watched) {
    let late = "SELECT COUNT(*) FROM outbox
                WHERE state = 'pending' AND inserted_at < UTC_TIMESTAMP(6) - INTERVAL 700000 MICROSECOND";
    watched.nats.freeze();
    watched.append_many(1).await;
    let late = async || sqlx::query_scalar::<_, i64>(late).fetch_one(&watched.admin).await.unwrap();
    eventually("an event waits for its PubAck", async || late().await > 0).await;
    watched.nats.thaw();
}

async fn fill_the_store(watched: &mut Watched) {
    watched.nats.stop().await;
    let store = json!(watched.nats.store());
    watched.nats.set_further(&format!("jetstream {{ store_dir: {store}, max_file_store: {STORE} }}"));
    watched.nats.restart().await;
    for _ in 0..17 {
        watched.append(&Event { payload: json!({ "note": "x".repeat(LARGE) }), ..Event::created() }).await;
    }
    watched.until(&["JetStreamStoreFilling"]).await;
}
