//! Limits of the stream that drop messages before their consumer had them.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use futures::StreamExt;
use schema::names::STREAM;
use stack::testing::{Service, eventually};
use stack::{Engine, both_engines};

use crate::support::{World, metric};

const UNREAD: &str = "stream_unread_dropped_messages";

fn limited(config: Config) -> Config {
    Config { name: STREAM.to_owned(), subjects: vec!["order.>".to_owned()], ..config }
}

impl World {
    async fn consumer(&self) -> pull::Config {
        let config = pull::Config {
            durable_name: Some("reader".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ..pull::Config::default()
        };
        let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
        stream.create_consumer(config.clone()).await.unwrap();
        config
    }

    /// Has the consumer read and acknowledge so many messages.
    async fn read(&self, messages: usize) {
        let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
        let consumer: async_nats::jetstream::consumer::PullConsumer = stream.get_consumer("reader").await.unwrap();
        let mut batch = consumer.messages().await.unwrap();
        for _ in 0..messages {
            batch.next().await.unwrap().unwrap().double_ack().await.unwrap();
        }
    }

    async fn unread_dropped(&self) -> u64 {
        sqlx::query_scalar("SELECT unread_dropped FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }

    async fn age(&self) {
        let age = "UPDATE outbox SET published_at = UTC_TIMESTAMP(6) - INTERVAL 1 DAY WHERE state = 'published'";
        sqlx::query(age).execute(&self.pool).await.unwrap();
    }

    /// Events are dropped unread, told, and kept; when the limit is gone they are published again.
    async fn drops_tells_and_heals(&self, relay: &Service, limit: Config) {
        let stream = self.open_stream(limit).await;
        self.consumer().await;
        self.published(3).await;
        self.read(3).await;
        eventually("what was read is proven", async || self.proven_seq().await == 3).await;
        self.published(5).await;
        eventually("it is told", async || self.unread_dropped().await == 2).await;
        eventually("by a metric, too", async || metric(relay, UNREAD).await == 2.0).await;
        let status = self.verb(&["status"]);
        assert!(status.said.contains("DROPPED 2 messages"), "{status:?}");
        assert_eq!(status.code, Some(4), "{status:?}");
        self.read(3).await;
        self.published(1).await;
        self.age().await;
        assert_eq!(self.ask(&["event", "purge", "--older-than", "1h"])["events"], 3, "what nobody had is kept");
        assert_eq!((self.proven_seq().await, self.healed().await), (3, 0));

        drop(stream);
        let open = limited(Config { discard: DiscardPolicy::New, ..Config::default() });
        self.jetstream().await.update_stream(open).await.unwrap();
        // The last one that was read and dropped is among them: from the first loss on nothing was proven.
        self.until_healed(3).await;
        eventually("nothing is told any more", async || self.unread_dropped().await == 0).await;
        let last = self.messages().await.last().unwrap().sequence;
        assert_eq!(last, 12);
        eventually("proof goes on", async || self.proven_seq().await == last).await;
    }
}

both_engines! {
    async fn what_a_limit_by_subject_drops_unread_is_told_and_kept_until_the_limit_is_gone(engine: Engine) {
        let world = World::new(engine).await;
        let relay = world.watchful().env("PROOF_HORIZON", "0s");
        world.open_stream(Config { max_messages_per_subject: 3, ..Config::default() }).await;
        let relay = relay.start().await;
        world.drops_tells_and_heals(&relay, Config { max_messages_per_subject: 3, ..Config::default() }).await;
    }

    async fn what_a_limit_by_size_drops_unread_is_told_and_kept_until_the_limit_is_gone(engine: Engine) {
        let world = World::new(engine).await;
        let limit = || Config { max_messages: 3, discard: DiscardPolicy::Old, ..Config::default() };
        world.open_stream(limit()).await;
        let relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        world.drops_tells_and_heals(&relay, limit()).await;
    }

    async fn what_a_limit_drops_that_was_read_is_no_finding(engine: Engine) {
        let world = World::new(engine).await;
        world.open_stream(Config { max_messages_per_subject: 3, ..Config::default() }).await;
        let relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        world.consumer().await;
        for round in 1..=5 {
            world.published(3).await;
            world.read(3).await;
            eventually("what was read is proven", async || world.proven_seq().await == round * 3).await;
        }
        assert_eq!((world.unread_dropped().await, world.healed().await, metric(&relay, UNREAD).await), (0, 0, 0.0));
    }
}
