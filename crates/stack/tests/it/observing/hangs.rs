//! What waits and gets no further: each such hang fires its alert.

use stack::service::Program;

use super::replica::Replica;
use super::watched::Watched;

/// More than four fifths of what the consumer may have unanswered.
const HELD: usize = 3400;
/// And some for the program itself.
const EVENTS: u32 = 4000;

#[tokio::test]
async fn each_hang_fires_its_alert() {
    let watched = Watched::start().await;
    // Hours are two minutes here: it is looked for at the end.
    let pause = ["subject", "pause", "order.cancelled", "--reason", "the warehouse counts"];
    assert!(watched.say(Program::OutboxRelay, &pause).starts_with("Some(0)"));
    watched.place("ada@example.com").await.unwrap();

    let notifications = watched.notifications.admin_pool().await;
    let mut session = notifications.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES inbox WRITE, effect WRITE").execute(&mut *session).await.unwrap();
    let mut replica = Replica::attach(&watched.nats).await;
    watched.append_many(EVENTS).await;
    replica.hold(HELD).await;
    watched.until(&["InboxAckPendingNearLimit"]).await;
    watched.until(&["InboxStalled"]).await;
    let said = [watched.say(Program::NotifySvc, &["status"]), watched.ready().await];
    assert!(said[0].contains("Lock wait timeout") && said[1].contains("database-unavailable: "), "{said:?}");
    watched.until(&["InboxLagging", "SamplesStale"]).await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *session).await.unwrap();
    watched.until_no("InboxStalled").await;
    watched.until_no("SamplesStale").await;

    watched
        .until_doing(&["InboxRedeliveries"], async || {
            watched.append_many(20).await;
            replica.hand_back(15).await;
        })
        .await;
    watched.until_no("InboxLagging").await;

    watched.until(&["SubjectPausedLong"]).await;
    let paused = watched.say(Program::OutboxRelay, &["subject", "list"]);
    assert!(paused.contains("order.cancelled") && paused.contains("the warehouse counts"), "{paused}");
    let resumed = watched.say(Program::OutboxRelay, &["subject", "resume", "order.cancelled"]);
    assert!(resumed.starts_with("Some(0)"), "{resumed}");
    watched.until_no("SubjectPausedLong").await;
}
