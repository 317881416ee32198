//! Whose word counts: a server that is cut off from its cluster goes on to answer as the stream's leader, with what it had,
//! and a broker that is asked too late knows more than what is compared with it.

use std::time::Duration;

use async_nats::jetstream;
use schema::names::{NOTIFY_DURABLE, STREAM};
use serde_json::json;
use stack::testing::{Cluster, MySql, Service, TcpProxy, eventually, eventually_within};
use stack::{Engine, both_engines};

use crate::repairing::{events, processed, repairs};
use crate::setting::{Published, Setting, get, publish_at, stat};

/// The server that leads the consumer, by the word of another one.
async fn consumer_leader(cluster: &Cluster, by: usize) -> Option<usize> {
    let client = async_nats::connect(cluster.url(by)).await.ok()?;
    let stream = jetstream::new(client).get_stream(STREAM).await.ok()?;
    let info = stream.consumer_info(NOTIFY_DURABLE).await.ok()?;
    info.cluster?.leader?.strip_prefix('n')?.parse().ok()
}

/// Has the stream led by the server that leads the consumer: that one alone can answer for both when it is cut off.
async fn until_one_leads_both(cluster: &Cluster) -> usize {
    let mut leader = None;
    eventually_within(Duration::from_secs(60), "one server leads both", async || {
        let (stream, consumer) = (cluster.leader(0).await, consumer_leader(cluster, 0).await);
        leader = stream.filter(|stream| Some(*stream) == consumer);
        if let (None, Some(consumer)) = (leader, consumer) {
            let jetstream = jetstream::new(async_nats::connect(cluster.url(0)).await.unwrap());
            let preferred = json!({ "placement": { "preferred": format!("n{consumer}") } });
            let asked: Result<serde_json::Value, _> =
                jetstream.request(format!("STREAM.LEADER.STEPDOWN.{STREAM}"), &preferred).await;
            drop(asked); // Asked again until it is so.
        }
        leader.is_some()
    })
    .await;
    leader.unwrap()
}

async fn publish(cluster: &Cluster, by: usize, count: usize) {
    let events = events(count);
    publish_at(cluster.url(by), &events.iter().collect::<Vec<_>>()).await;
}

/// Whether the service was told that the stream is another one before the old leader gave up leading.
async fn is_told(service: &Service, cluster: &Cluster, old: usize) -> bool {
    let mut is_told = false;
    eventually_within(Duration::from_secs(60), "the service was told, or the old leader has given up", async || {
        is_told = get(service, "/api/events/status").await["last_error"]["code"] == "stream-doubted"
            || repairs(service, "stream_rewritten").await > 0.0;
        is_told || cluster.leader(old).await != Some(old)
    })
    .await;
    is_told
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_others_has_nothing_read_again() {
    let (setting, mut cluster) = Setting::in_cluster(Engine::MySql).await;
    let mut line = TcpProxy::start(cluster.port(0)).await;
    let url = format!("nats://127.0.0.1:{}", line.port());
    let service = setting.service().env("NATS_URL", url).env("EMAIL_TRANSPORT", "log").start().await;
    let (mut rows, mut was_told) = (0, false);
    // An old leader gives up after 10 to 20 s, about as long as the others may take to elect another.
    for _ in 0..5 {
        publish(&cluster, 0, 5).await;
        rows += 5;
        eventually("all are notified", async || setting.count("notifications").await == rows).await;
        let old = until_one_leads_both(&cluster).await;
        let other = (old + 1) % 3;
        line.redirect(cluster.port(other)).await;
        cluster.cut_off(old).await;
        eventually("the others have leaders", async || {
            let leaders = (cluster.leader(other).await, consumer_leader(&cluster, other).await);
            matches!(leaders, (Some(stream), Some(consumer)) if stream != old && consumer != old)
        })
        .await;
        publish(&cluster, other, 100).await;
        rows += 100;
        eventually("all are notified", async || setting.count("notifications").await == rows).await;
        line.redirect(cluster.port(old)).await;
        was_told = is_told(&service, &cluster, old).await;
        line.redirect(cluster.port(other)).await;
        cluster.heal().await;
        eventually("the old leader is back", async || cluster.leader(old).await.is_some()).await;
        if was_told {
            break;
        }
    }
    assert!(was_told, "the old leader never answered: {}", service.log());
    publish(&cluster, 0, 1).await;
    eventually("the next is notified", async || setting.count("notifications").await == rows + 1).await;
    assert_eq!((repairs(&service, "stream_rewritten").await, setting.count("inbox_reread").await), (0.0, 0));
}

#[tokio::test]
async fn a_stream_that_three_servers_made_again_is_read_from_its_first_message() {
    let (setting, _cluster) = Setting::in_cluster(Engine::MySql).await;
    let service = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
    let old = processed(&setting).await;
    let jetstream = setting.jetstream().await;
    let config = jetstream.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    jetstream.delete_stream(STREAM).await.unwrap();
    jetstream.create_stream(config).await.unwrap();
    setting.publish(&old.iter().chain(&events(3)).collect::<Vec<_>>()).await;
    eventually_within(Duration::from_secs(25), "the new ones are notified, too", async || {
        setting.count("notifications").await == 8
    })
    .await;
    assert!(repairs(&service, "stream_rewritten").await >= 1.0);
}

both_engines! {
    /// The second process is held between what it asks the database and what it asks the broker then.
    async fn a_process_that_attaches_beside_a_busy_one_takes_nothing_for_lost(engine: Engine) {
        let server = MySql::start(engine).await;
        let setting = Setting::on(&server).await;
        let one = setting.service().env("EMAIL_TRANSPORT", "log").start().await;
        processed(&setting).await;
        let mut line = TcpProxy::start(setting.nats.port()).await;
        let mut other = setting.service().env("NATS_URL", format!("nats://127.0.0.1:{}", line.port()));
        let mut holder = setting.pool.begin().await.unwrap();
        sqlx::query("SELECT * FROM inbox_position FOR UPDATE").execute(&mut *holder).await.unwrap();
        other.spawn();
        let waiting = async || {
            let waits = sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'");
            let (_, waiting): (String, String) = waits.fetch_one(&setting.pool).await.unwrap();
            waiting
        };
        // The first one asks every few seconds, and gives up soon.
        eventually_within(Duration::from_secs(60), "both ask for the position", async || waiting().await == "2").await;
        line.pause().await;
        holder.rollback().await.unwrap();
        eventually("both have it", async || waiting().await == "0").await;
        setting.publish(&events(20).iter().collect::<Vec<_>>()).await;
        setting.until_count("notifications", 25).await;
        setting.until_all_answered().await;
        line.heal().await;
        other.until_ready().await;
        let created = Published::created();
        setting.publish(&[&created]).await;
        setting.until_count("notifications", 26).await;
        assert_eq!(repairs(&other, "events_skipped").await, 0.0, "{}", other.log());
        assert_eq!(stat(&one, "duplicates").await + stat(&other, "duplicates").await, 0);
    }
}
