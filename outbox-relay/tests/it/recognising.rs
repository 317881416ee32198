//! Which stream it is: its messages tell, not the time at which its broker says that it was made.

use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use highway::{HighwayHash, HighwayHasher, Key};
use schema::names::STREAM;
use sha2::{Digest, Sha256};
use stack::testing::eventually;
use stack::{Engine, both_engines};

use crate::support::{World, metric};

impl World {
    fn stream_folder(&self) -> PathBuf {
        self.nats.store().join("jetstream/$G/streams").join(STREAM)
    }

    /// Moves the creation time as nats-server before 2.14.6 does when it is restarted, the stream is edited, and it is restarted again:
    /// in the file beside the messages, with the file's checksum.
    async fn move_creation(&mut self, by: TimeDelta) {
        self.nats.stop().await;
        let (meta, sum) = (self.stream_folder().join("meta.inf"), self.stream_folder().join("meta.sum"));
        let mut info: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
        let created: DateTime<Utc> = info["Created"].as_str().unwrap().parse().unwrap();
        info["Created"] = (created + by).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true).into();
        let info = serde_json::to_vec(&info).unwrap();
        let key = Sha256::digest(STREAM);
        let word = |index: usize| u64::from_le_bytes(key[index * 8..index * 8 + 8].try_into().unwrap());
        let hash = HighwayHasher::new(Key([word(0), word(1), word(2), word(3)])).hash64(&info);
        let hash: String = hash.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(meta, info).unwrap();
        fs::write(sum, hash).unwrap();
        self.nats.restart().await;
    }

    async fn created_at(&self) -> DateTime<Utc> {
        sqlx::query_scalar("SELECT created_at FROM relay_stream").fetch_one(&self.pool).await.unwrap()
    }
}

both_engines! {
    async fn a_stream_whose_creation_time_moved_is_the_same_by_its_messages(engine: Engine) {
        let mut world = World::new(engine).await;
        let mut relay = world.watchful().env("PROOF_HORIZON", "0s").start().await;
        world.published(5).await;
        eventually("all of it is proven", async || world.proven_seq().await == 5).await;
        for (moved, hours) in [(1, -3), (2, 5)] {
            let before = world.created_at().await;
            world.move_creation(TimeDelta::hours(hours)).await;
            if moved == 2 {
                assert!(relay.terminate().await.success());
                relay.restart().await;
            }
            world.published(1).await;
            eventually("the new time is known", async || world.created_at().await == before + TimeDelta::hours(hours)).await;
            eventually("proof goes on", async || world.proven_seq().await == 5 + moved).await;
        }
        assert_eq!((world.messages().await.len(), world.healed().await), (7, 0));
        assert_eq!(metric(&relay, "relay_deep_checks_total{sign=\"created\"}").await, 0.0);
    }

    async fn a_rewound_stream_whose_creation_time_moved_is_healed(engine: Engine) {
        let mut world = World::new(engine).await;
        let _relay = world.watchful().start().await;
        world.published(5).await;
        let earlier = world.store().await;
        let lost = world.published(10).await;
        world.rewind(Some(&earlier)).await;
        world.until_healed(10).await;
        world.move_creation(TimeDelta::hours(-3)).await;
        world.published(1).await;
        world.is_whole(&lost).await;
        assert_eq!(world.healed().await, 10);
    }
}
