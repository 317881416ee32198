//! A server that is cut off from its cluster goes on to answer as the stream's leader, with what it had.

use schema::names::STREAM;
use stack::testing::{Cluster, Database, Service, TcpProxy, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, metric};

impl World {
    async fn in_cluster(engine: Engine) -> (Self, Cluster) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let (nats, cluster) = Cluster::start().await;
        (Self { pool: database.admin_pool().await, database, nats }, cluster)
    }

    async fn outage(&self) -> String {
        let outage = "SELECT COALESCE(outage, '') FROM relay_lease";
        sqlx::query_scalar(outage).fetch_one(&self.pool).await.unwrap()
    }

    /// The first event of so many orders, at once.
    async fn append_many(&self, events: u32) {
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
                      SELECT 'order', n, 'order.created', 'order.created', '{}'
                      FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', ? - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS list";
        sqlx::query(insert).bind(events).execute(&self.pool).await.unwrap();
    }

    /// Whether the old leader misled the relay before it gave up leading.
    async fn is_misled(&self, relay: &Service, cluster: &Cluster, old: usize) -> bool {
        let mut is_misled = false;
        eventually("the relay has acted by the old leader's word, or that one has given up", async || {
            let is_asked = metric(relay, "relay_deep_checks_total{sign=\"last_seq\"}").await >= 1.0;
            is_misled = is_asked
                && (!self.outage().await.is_empty() || self.healed().await > 0 || self.count("pending").await > 0);
            is_misled || cluster.leader(old).await != Some(old)
        })
        .await;
        is_misled
    }
}

both_engines! {
    async fn a_leader_that_is_cut_off_from_the_others_proves_no_loss(engine: Engine) {
        let (world, mut cluster) = World::in_cluster(engine).await;
        let mut line = TcpProxy::start(cluster.port(0)).await;
        let relay = world.watchful().env("NATS_URL", format!("nats://127.0.0.1:{}", line.port()));
        let relay = relay.env("STREAM_REPLICAS", "3").env("PUBLISH_TIMEOUT", "1s").start().await;
        world.published(5).await;
        let mut stored = 5;
        let mut was_misled = false;
        // An old leader gives up after 10 to 20 s, about as long as the others may take to elect another.
        for _ in 0..5 {
            let old = cluster.leader(0).await.unwrap();
            let other = (old + 1) % 3;
            line.redirect(cluster.port(other)).await;
            world.published(1).await;
            cluster.cut_off(old).await;
            eventually("the others have a leader", async || {
                cluster.leader(other).await.is_some_and(|leader| leader != old)
            }).await;
            world.append_many(100).await;
            world.until_all_published().await;
            stored += 101;
            line.redirect(cluster.port(old)).await;
            was_misled = world.is_misled(&relay, &cluster, old).await;
            line.redirect(cluster.port(other)).await;
            cluster.heal().await;
            world.published(1).await;
            stored += 1;
            if was_misled {
                break;
            }
            eventually("the old leader is back", async || cluster.leader(old).await.is_some()).await;
        }
        assert!(was_misled, "the old leader never answered: {}", relay.log());
        assert_eq!((world.messages().await.len(), world.healed().await), (stored, 0), "{}", relay.log());
        world.is_whole(&[]).await;
    }
}

#[tokio::test]
async fn what_a_cluster_lost_is_healed_by_a_leader_that_leads() {
    let (world, cluster) = World::in_cluster(Engine::MySql).await;
    let relay = world.watchful().env("STREAM_REPLICAS", "3").start().await;
    let lost: Vec<Uuid> = world.published(30).await;
    eventually("all servers know the stream", async || cluster.leader(2).await.is_some()).await;
    world.jetstream().await.delete_stream(STREAM).await.unwrap();
    world.until_healed(30).await;
    world.is_whole(&lost).await;
    assert_eq!(metric(&relay, "relay_healed_events_total").await, 30.0);
}
