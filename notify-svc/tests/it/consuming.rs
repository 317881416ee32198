//! Each event has exactly one effect, however often and wherever its message arrives.

use schema::ids::EventId;
use schema::names;
use sqlx::Transaction;
use stack::testing::{MySql, TcpProxy, eventually};
use stack::{Engine, both_engines};

use crate::setting::{Published, Setting, stat};

/// Holds an event's key, so that every process that wants to record the event waits.
async fn hold_inbox_key(setting: &Setting, event_id: EventId) -> Transaction<'static, sqlx::MySql> {
    let mut holder = setting.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO inbox (consumer, event_id, event_type, aggregate_type, aggregate_id, payload_sha256, stream_seq)
         VALUES (?, ?, 'held', 'held', 'held', REPEAT('h', 32), 0)",
    )
    .bind(names::NOTIFY_DURABLE)
    .bind(event_id)
    .execute(&mut *holder)
    .await
    .unwrap();
    holder
}

/// Needs a server of the test's own: the server counts the waits of all its databases.
async fn until_waiting_for_key(setting: &Setting, processes: u32) {
    eventually("the processes wait for the event's key", async || {
        let waits = sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'");
        let (_, waiting): (String, String) = waits.fetch_one(&setting.pool).await.unwrap();
        waiting == processes.to_string()
    })
    .await;
}

both_engines! {
    async fn each_event_makes_one_notification(engine: Engine) {
        let setting = Setting::new(engine).await;
        let service = setting.service().start().await;
        let events: Vec<_> = (0..300).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        setting.until_count("notifications", 300).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("inbox").await, 300);
        assert_eq!(stat(&service, "processed").await, 300);
        assert_eq!(stat(&service, "acks").await, 300);
        assert_eq!(stat(&service, "redelivered").await, 0);
    }

    async fn the_same_message_at_two_processes_makes_one_notification(engine: Engine) {
        let server = MySql::start(engine).await;
        let setting = Setting::on(&server).await;
        let one = setting.service().env("BATCH_SIZE_MAX", "1").start().await;
        let other = setting.service().env("BATCH_SIZE_MAX", "1").start().await;
        let event = Published::created();
        let holder = hold_inbox_key(&setting, event.envelope.event_id).await;
        setting.publish(&[&event, &event]).await;
        until_waiting_for_key(&setting, 2).await;
        holder.rollback().await.unwrap();
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
        assert_eq!(setting.count("inbox").await, 1);
        assert_eq!(stat(&one, "processed").await + stat(&other, "processed").await, 1);
        assert_eq!(stat(&one, "duplicates").await + stat(&other, "duplicates").await, 1);
    }

    async fn a_redelivered_message_is_a_duplicate(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        let event = Published::created();
        setting.publish(&[&event]).await;
        setting.until_all_answered().await;
        assert!(service.terminate().await.success());
        // A consumer that starts over delivers everything again, to a database that does not know how far it was read.
        sqlx::query("DELETE FROM inbox_position").execute(&setting.pool).await.unwrap();
        let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
        stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
        service.restart().await;
        eventually("the duplicate is recognised", async || stat(&service, "duplicates").await == 1).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
        assert_eq!(stat(&service, "processed").await, 0);
    }

    async fn a_crash_between_commit_and_ack_makes_no_second_notification(engine: Engine) {
        let server = MySql::start(engine).await;
        let setting = Setting::on(&server).await;
        let mut to_nats = TcpProxy::start(setting.nats.port()).await;
        let mut service =
            setting.service().env("NATS_URL", format!("nats://127.0.0.1:{}", to_nats.port())).start().await;
        let event = Published::created();
        let holder = hold_inbox_key(&setting, event.envelope.event_id).await;
        setting.publish(&[&event]).await;
        until_waiting_for_key(&setting, 1).await;
        to_nats.pause().await;
        holder.rollback().await.unwrap();
        setting.until_count("notifications", 1).await;
        service.kill().await;
        to_nats.cut().await;
        assert_eq!(setting.consumer_info().await.num_ack_pending, 1, "the ack did not arrive");
        to_nats.heal().await;
        nak_first_delivery(&setting).await;
        service.restart().await;
        eventually("the redelivery is a duplicate", async || stat(&service, "duplicates").await == 1).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
        assert_eq!(stat(&service, "redelivered").await, 1);
    }

    async fn messages_wait_while_the_service_is_down_and_are_processed_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        assert!(service.terminate().await.success());
        let events: Vec<_> = (0..50).map(|_| Published::created()).collect();
        setting.publish(&events.iter().collect::<Vec<_>>()).await;
        assert_eq!(setting.count("notifications").await, 0);
        service.restart().await;
        setting.until_count("notifications", 50).await;
        setting.until_all_answered().await;
        assert_eq!(stat(&service, "processed").await, 50);
        assert_eq!(stat(&service, "duplicates").await, 0);
    }

    async fn an_event_without_a_version_is_processed_once(engine: Engine) {
        let setting = Setting::new(engine).await;
        let _service = setting.service().start().await;
        let mut event = Published::created();
        event.envelope.aggregate_version = None;
        setting.publish(&[&event, &event]).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("notifications").await, 1);
        assert_eq!(setting.count("inbox_gate").await, 0);
    }
}

/// Answers the first delivery in the dead process's name, which spares the test the ack wait.
async fn nak_first_delivery(setting: &Setting) {
    let subject = format!("$JS.ACK.{}.{}.1.1.1.0.0", names::STREAM, names::NOTIFY_DURABLE);
    let client = setting.jetstream().await.client();
    client.publish(subject, "-NAK".into()).await.unwrap();
    client.flush().await.unwrap();
}
