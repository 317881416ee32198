//! A cluster of three nats-servers with three copies of the stream, whose servers die and are replaced under load.

use async_nats::jetstream;
use schema::database::{NOTIFICATIONS, ORDERS};
use schema::names::STREAM;
use sqlx::MySqlPool;
use stack::testing::{Database, Nats, eventually};
use stack::{Engine, both_engines};

use crate::load::Load;
use crate::services::Services;
use crate::verdict::every_event_once_and_in_order;

struct Cluster {
    orders: Database,
    notifications: Database,
    servers: Vec<Nats>,
    services: Services,
}

impl Cluster {
    async fn start(engine: Engine) -> Self {
        let orders = Database::create(engine, &ORDERS).await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let servers = Nats::start_cluster().await;
        let services = Services::new(|user| orders.url(user), |user| notifications.url(user), &url(&servers));
        let services = services.env("STREAM_REPLICAS", "3").start().await;
        Self { orders, notifications, servers, services }
    }

    async fn info(&self) -> Option<jetstream::stream::ClusterInfo> {
        let jetstream = jetstream::new(Nats::operator(&url(&self.servers)).await);
        let stream = jetstream.get_stream(STREAM).await.ok()?;
        stream.cached_info().cluster.clone()
    }

    /// The place among our servers of the one that leads the stream, which may be about to be elected.
    async fn leader(&self) -> usize {
        let mut leader = None;
        eventually("the stream has a leader", async || {
            let name = self.info().await.and_then(|cluster| cluster.leader);
            leader = name.and_then(|name| name.strip_prefix('n')?.parse().ok());
            leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    /// Waits until each server has all of the stream.
    async fn until_whole(&self) {
        eventually("the copies are complete", async || {
            let cluster = self.info().await;
            cluster.is_some_and(|cluster| {
                cluster.replicas.len() == 2 && cluster.replicas.iter().all(|copy| copy.current && !copy.offline)
            })
        })
        .await;
    }

    async fn waiting(&self, pool: &MySqlPool) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE state = 'pending'").fetch_one(pool).await.unwrap()
    }

    async fn verdict(&self, load: Load) {
        let asked = load.stop().await;
        let (orders, notifications) = (self.orders.admin_pool().await, self.notifications.admin_pool().await);
        every_event_once_and_in_order(&orders, &notifications, &url(&self.servers), &asked).await;
    }
}

fn url(servers: &[Nats]) -> String {
    servers.iter().map(Nats::url).collect::<Vec<_>>().join(",")
}

both_engines! {
    async fn a_cluster_that_loses_servers_under_load_loses_and_doubles_nothing(engine: Engine) {
        let mut cluster = Cluster::start(engine).await;
        cluster.until_whole().await;
        let orders = cluster.orders.admin_pool().await;
        let load = Load::start(&cluster.services);
        load.until_more(20).await;

        let leader = cluster.leader().await;
        cluster.servers[leader].kill().await;
        load.until_more(50).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        eventually("publishing goes on", async || cluster.waiting(&orders).await < 5).await;
        cluster.servers[leader].restart().await;
        cluster.until_whole().await;

        let follower = (cluster.leader().await + 1) % 3;
        cluster.servers[follower].kill().await;
        load.until_more(50).await;
        eventually("publishing goes on", async || cluster.waiting(&orders).await < 5).await;
        cluster.servers[follower].restart().await;
        cluster.until_whole().await;

        // One of three can't acknowledge: orders are taken, and wait.
        let gone = [cluster.leader().await, (cluster.leader().await + 1) % 3];
        for index in gone {
            cluster.servers[index].kill().await;
        }
        load.until_more(100).await;
        assert!(cluster.waiting(&orders).await >= 90);
        for index in gone {
            cluster.servers[index].restart().await;
        }
        cluster.until_whole().await;
        cluster.verdict(load).await;
    }

    async fn a_cluster_that_is_restarted_one_by_one_under_load_loses_and_doubles_nothing(engine: Engine) {
        let mut cluster = Cluster::start(engine).await;
        cluster.until_whole().await;
        let load = Load::start(&cluster.services);
        for index in 0..3 {
            load.until_more(30).await;
            cluster.servers[index].stop().await;
            load.until_more(30).await;
            cluster.servers[index].restart().await;
            cluster.until_whole().await;
        }
        cluster.verdict(load).await;
    }
}
