//! The position in the stream and the effects of what was read are one commit, whenever the process dies.

use std::collections::BTreeSet;

use schema::names;
use sqlx::{Row, raw_sql};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::repairing::events;
use crate::setting::{Published, Setting, stat};

async fn publish(setting: &Setting, events: &[Published]) {
    setting.publish(&events.iter().collect::<Vec<_>>()).await;
}

/// The sequences that have an effect, and those that count as read, in one snapshot.
async fn done_and_read(setting: &Setting) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let rows: Vec<(i64, u64, u64)> = sqlx::query_as(
        "SELECT 0, stream_seq, stream_seq FROM inbox
         UNION ALL SELECT 0, stream_seq, stream_seq FROM inbox_parked
         UNION ALL SELECT 1, CAST(1 AS UNSIGNED), floor_seq FROM inbox_position
         UNION ALL SELECT 1, from_seq, to_seq FROM inbox_read",
    )
    .fetch_all(&setting.pool)
    .await
    .unwrap();
    let of = |wanted: i64| rows.iter().filter(move |(kind, ..)| *kind == wanted).flat_map(|(_, from, to)| *from..=*to);
    (of(0).collect(), of(1).collect())
}

/// The service waits for a lock before it can write what it has read.
async fn is_position_waiting(setting: &Setting) -> bool {
    let threads = sqlx::query("SHOW PROCESSLIST").fetch_all(&setting.pool).await.unwrap();
    threads.iter().any(|thread| {
        let text = |column| thread.get::<Option<String>, _>(column).unwrap_or_default();
        text("db") == setting.database.name()
            && text("Info").starts_with("INSERT INTO inbox_read")
            && text("State").starts_with("Waiting for table")
    })
}

both_engines! {
    async fn an_effect_whose_position_can_not_be_written_is_not_committed(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().start().await;
        publish(&setting, &events(5)).await;
        setting.until_count("notifications", 5).await;
        setting.until_all_answered().await;
        let mut locking = setting.pool.acquire().await.unwrap();
        raw_sql("LOCK TABLES inbox_read READ").execute(&mut *locking).await.unwrap();
        publish(&setting, &events(10)).await;
        eventually("the position waits for the lock", async || is_position_waiting(&setting).await).await;
        assert_eq!(setting.count("notifications").await, 5, "no effect without its position");
        service.kill().await;
        raw_sql("UNLOCK TABLES").execute(&mut *locking).await.unwrap();
        let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
        stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
        service.restart().await;
        setting.until_count("notifications", 15).await;
        setting.until_all_answered().await;
        assert_eq!(stat(&service, "duplicates").await, 0, "what was done was known as read");
    }

    async fn no_kill_parts_the_position_from_the_effects(engine: Engine) {
        let setting = Setting::new(engine).await;
        let mut service = setting.service().env("BATCH_SIZE_MAX", "20").env("EMAIL_TRANSPORT", "log").start().await;
        for round in 1..=5 {
            // A repeat, an early event and its earlier version: batches of every kind.
            let mut batch = events(100);
            batch.insert(50, batch[3].clone());
            let order = batch[7].order_id();
            batch.insert(2, Published::cancelled_of(order));
            let publishing = publish(&setting, &batch);
            let watching = async {
                eventually("some are done", async || {
                    let (done, read) = done_and_read(&setting).await;
                    assert!(done.is_subset(&read), "effects without position: {:?}", &done - &read);
                    let repeats = read.len() - done.len();
                    assert!(repeats <= round, "position without effects: {:?}", &read - &done);
                    done.len() > 102 * (round - 1) + 40
                })
                .await;
            };
            tokio::join!(publishing, watching);
            service.kill().await;
            let (done, read) = done_and_read(&setting).await;
            assert!(done.is_subset(&read) && read.len() - done.len() <= round);
            let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
            stream.delete_consumer(names::NOTIFY_DURABLE).await.unwrap();
            service.restart().await;
        }
        setting.until_count("inbox", 5 * 101).await;
        setting.until_count("notifications", 5 * 101).await;
        setting.until_all_answered().await;
        assert_eq!(setting.count("inbox_dead").await, 0);
    }
}
