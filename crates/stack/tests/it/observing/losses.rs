//! What is lost, used twice or out of order: each such loss fires its alert.

use async_nats::jetstream::{
    self,
    stream::{Config, DiscardPolicy},
};
use schema::names;
use stack::service::Program;
use stack::testing::{Nats, eventually};

use super::watched::{Event, Watched};

/// Of a publish: where it expects the stream to end, and the like.
const EXPECTED: &str = "Nats-Expected-";

#[tokio::test]
async fn each_loss_fires_its_alert() {
    let mut watched = Watched::start().await;
    watched.place("ada@example.com").await.unwrap();
    watched.append(&Event { version: 2, ..Event::created() }).await; // and there never was a first
    let pending = "SELECT COUNT(*) FROM outbox WHERE state = 'pending'";
    let pending = async || sqlx::query_scalar::<_, i64>(pending).fetch_one(&watched.admin).await.unwrap();
    eventually("all is published", async || pending().await == 0).await;
    publish_another_under_its_id(&watched).await;
    watched.until(&["InboxConflict", "InboxParkedLong"]).await;
    let said = [["message", "list"], ["gap", "list"]].map(|verb| watched.say(Program::NotifySvc, &verb));
    assert!(said[0].contains("conflict: another event with this id") && said[1].contains("missing"), "{said:?}");

    watched.services.notify_svc.kill().await;
    keep_one_message(&watched).await;
    watched.until_placing(&["StreamDroppedUnread"]).await;
    let said = [&["status"][..], &["stream", "check"]].map(|verb| watched.say(Program::OutboxRelay, verb));
    assert!(said[0].starts_with("Some(4)") && said[0].contains("DROPPED "), "{said:?}");
    assert!(said[1].contains("nats stream edit ORDERS --discard new"), "{said:?}");
    // As if that had been so for an hour.
    let aged = "UPDATE relay_stream SET proven_at = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR";
    sqlx::query(aged).execute(&watched.admin).await.unwrap();
    watched.until(&["ProofStale"]).await;
    watched.services.notify_svc.restart().await;
    watched.until(&["InboxMessagesGone"]).await;
    let said = watched.say(Program::NotifySvc, &["status"]);
    assert!(said.contains("gone unread ") && !said.contains("gone unread     0\n"), "{said}");

    watched.nats.stop().await;
    std::fs::remove_dir_all(watched.nats.store()).unwrap();
    watched.nats.restart().await;
    watched.until_placing(&["BrokerLostEvents", "InboxConsumerRepaired"]).await;
    let said = watched.say(Program::OutboxRelay, &["status"]);
    assert!(said.starts_with("Some(4)") && said.contains("problem   the broker lost events"), "{said}");
    watched.until_no("StreamDroppedUnread").await;
}

/// As the relay, since nobody else may publish.
async fn publish_another_under_its_id(watched: &Watched) {
    let operator = jetstream::new(Nats::operator(&watched.nats.url()).await);
    let first = operator.get_stream(names::STREAM).await.unwrap().get_raw_message(1).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    for (name, values) in first.headers.iter().filter(|(name, _)| !name.to_string().starts_with(EXPECTED)) {
        headers.insert(name.clone(), values[0].clone());
    }
    headers.insert(names::MSG_ID_HEADER, "another");
    let other = String::from_utf8(first.payload.to_vec()).unwrap().replace("Espresso machine", "Grinder");
    let relay = jetstream::new(Nats::client(&watched.nats.url(), Program::OutboxRelay.name()).await);
    let published = relay.publish_with_headers(first.subject, headers, other.into()).await.unwrap();
    assert!(!published.await.unwrap().duplicate);
}

/// Limits the stream although a consumer is away, and has it drop what is old instead of refusing what is new.
async fn keep_one_message(watched: &Watched) {
    let admin = jetstream::new(Nats::admin(&watched.nats.url()).await);
    let stream = admin.get_stream(names::STREAM).await.unwrap();
    let config = Config { max_messages: 1, discard: DiscardPolicy::Old, ..stream.cached_info().config.clone() };
    admin.update_stream(config).await.unwrap();
}
