//! The way to the broker or to the database is cut at each step of a batch: nothing is lost, doubled or overtaken.

use std::collections::HashSet;

use stack::testing::{Service, TcpProxy, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::batch::{append_at_once, events, versions_by_order};
use crate::fencing::forgetful_stream;
use crate::support::{World, metric};

/// Events of a batch: four versions of each of 25 orders.
const BATCH: usize = 100;

const STORED: &str = "relay_pubacks_total{result=\"stored\"}";
const SETTLED: &str = "relay_event_duration_seconds_count";

/// A relay that has published one event and knows that it is settled, on a way that can be cut.
async fn at_work(world: &World, relay: Service) -> Service {
    let relay = relay.start().await;
    world.append(Uuid::now_v7(), 1).await;
    eventually("it has settled", async || metric(&relay, SETTLED).await == 1.0).await;
    relay
}

async fn append_batch(world: &World) {
    append_at_once(world, &events(BATCH / 4, 4)).await;
}

/// So many batches, and the event before them, are in the stream: each event once, at the place that its row knows, and
/// each order's in version order.
async fn assert_all_once_and_in_order(world: &World, batches: usize) {
    let messages = world.messages().await;
    let ids: HashSet<_> = messages.iter().map(|message| message.headers.get("ce-id").unwrap().to_string()).collect();
    assert_eq!((messages.len(), ids.len()), (batches * BATCH + 1, batches * BATCH + 1));
    for message in messages.iter().step_by(7) {
        assert_eq!(world.row(message.msg_id.parse().unwrap()).await.stream_seq, Some(message.sequence));
    }
    for (order, versions) in versions_by_order(&messages) {
        assert!([&[1][..], &[1, 2, 3, 4]].contains(&&*versions), "{order}: {versions:?}");
    }
}

both_engines! {
    async fn a_batch_cut_off_before_its_commit_is_stored_once_and_in_order(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.nats.port()).await;
        let relay = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()));
        let relay = at_work(&world, relay.env("PUBLISH_TIMEOUT", "500ms")).await;
        let steps = ["Nats-Batch-Sequence: 1\r\n", "Nats-Batch-Sequence: 50\r\n", "Nats-Batch-Commit"];
        for (step, is_noticed) in steps.iter().flat_map(|step| [(step, false), (step, true)]) {
            proxy.cut_before(step.as_bytes());
            append_batch(&world).await;
            proxy.until_cut().await;
            // Else the rest of the batch comes by the next connection.
            if is_noticed {
                eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
            }
            proxy.heal().await;
            world.until_all_published().await;
        }
        assert_all_once_and_in_order(&world, 2 * steps.len()).await;
    }

    async fn a_batch_whose_puback_is_cut_off_is_stored_once_and_in_order(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.nats.port()).await;
        let relay = world.relay().env("NATS_URL", format!("nats://127.0.0.1:{}", proxy.port()));
        let relay = at_work(&world, relay.env("PUBLISH_TIMEOUT", "500ms")).await;
        for (batches, is_noticed) in [(1, false), (2, true)] {
            proxy.deafen().await;
            append_batch(&world).await;
            eventually("the batch is stored", async || world.messages().await.len() == batches * BATCH + 1).await;
            proxy.cut().await;
            if is_noticed {
                eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
            }
            proxy.heal().await;
            world.until_all_published().await;
        }
        assert_all_once_and_in_order(&world, 2).await;
        assert_eq!(metric(&relay, "relay_recovered_events_total").await, 2.0 * BATCH as f64);
    }

    async fn a_claim_that_is_cut_off_claims_the_same_events_again(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.database.port()).await;
        let relay = world.relay_through(&proxy);
        let relay = at_work(&world, relay).await;
        proxy.deafen().await;
        append_batch(&world).await;
        proxy.cut().await;
        eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
        proxy.heal().await;
        world.until_all_published().await;
        assert_all_once_and_in_order(&world, 1).await;
    }

    async fn a_settle_that_is_cut_off_is_done_once_and_publishes_nothing_again(engine: Engine) {
        let world = World::new(engine).await;
        let mut proxy = TcpProxy::start(world.database.port()).await;
        let relay = world.relay_through(&proxy);
        let relay = at_work(&world, relay).await;
        for (batches, is_committed) in [(1, false), (2, true)] {
            // The broker holds its answer back until the relay's way to the database is cut.
            world.nats.freeze();
            append_batch(&world).await;
            let claimed = (batches * BATCH + 1) as f64;
            eventually("it has claimed", async || metric(&relay, "relay_claimed_events_total").await == claimed).await;
            if is_committed {
                let first: u64 = sqlx::query_scalar("SELECT MIN(seq) FROM outbox WHERE state = 'pending'")
                    .fetch_one(&world.pool)
                    .await
                    .unwrap();
                // The settle of a run names its first event twice in a row.
                proxy.deafen_at(&[first.to_le_bytes(), first.to_le_bytes()].concat());
                world.nats.thaw();
                world.until_all_published().await;
                proxy.cut().await;
            } else {
                proxy.cut().await;
                world.nats.thaw();
                eventually("it has the PubAck", async || metric(&relay, STORED).await == claimed).await;
                assert_eq!(world.count("pending").await, BATCH as i64);
            }
            eventually("the relay notices", async || metric(&relay, "relay_paused").await == 1.0).await;
            proxy.heal().await;
            eventually("it goes on", async || metric(&relay, "relay_paused").await == 0.0).await;
            world.until_all_published().await;
        }
        let last = world.append(Uuid::now_v7(), 1).await;
        eventually("the relay goes on", async || world.row(last).await.state == "published").await;
        assert_eq!(world.messages().await.len(), 2 * BATCH + 2);
        assert_eq!(metric(&relay, "relay_pubacks_total{result=\"duplicate\"}").await, 0.0);
    }

    /// Another database took over meanwhile, which has the events under other numbers.
    async fn a_settle_from_before_a_lost_connection_goes_by_id_and_publishes_nothing_again(engine: Engine) {
        let world = World::new(engine).await;
        forgetful_stream(&world).await;
        let relay = world.relay().env("PUBLISH_TIMEOUT", "20s").env("LEASE_TIME", "15s");
        let relay = relay.env("SHUTDOWN_GRACE", "60s").env("WATCH_INTERVAL", "1h");
        let relay = at_work(&world, relay).await;
        world.nats.freeze();
        append_batch(&world).await;
        let claimed = (BATCH + 1) as f64;
        eventually("it has claimed", async || metric(&relay, "relay_claimed_events_total").await == claimed).await;
        let mut before = Vec::new();
        eventually("they are listed", async || sessions(&world).await.map(|listed| before = listed).is_ok()).await;
        for session in &before {
            let kill = sqlx::AssertSqlSafe(format!("KILL {session}"));
            sqlx::raw_sql(kill).execute(&world.pool).await.unwrap();
        }
        // Only who is checked before it is used fails no statement: the pool's others are idle for longer than a second by then.
        eventually("it has connected again", async || {
            sessions(&world).await.is_ok_and(|listed| listed.iter().any(|id| !before.contains(id)))
        })
        .await;
        sqlx::query("UPDATE outbox SET seq = seq + 1000 WHERE state = 'pending'").execute(&world.pool).await.unwrap();
        world.nats.thaw();
        world.until_all_published().await;
        assert_all_once_and_in_order(&world, 1).await;
        assert_eq!(metric(&relay, "relay_recovered_events_total").await, BATCH as f64);
    }
}

/// The relay's at the database. MySQL refuses to list them while some session's statement has binary text.
async fn sessions(world: &World) -> sqlx::Result<Vec<i64>> {
    let sessions = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
                    WHERE db = DATABASE() AND user = 'outbox_relay'";
    sqlx::query_scalar(sessions).fetch_all(&world.pool).await
}
