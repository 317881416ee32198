//! Random interleavings, redeliveries, restarts and two to four processes, against real servers, compared with a model.
//!
//! The model is what docs/guarantees.md promises: an event has one effect if all earlier versions of its order are there, and
//! none otherwise; tombstones count as versions; effects of one order happen in version order. `RANDOM_SEED=7` repeats a run.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use schema::aggregate::AggregateId;
use schema::ids::{EventId, OrderId};
use schema::names;
use stack::testing::{Service, eventually_within};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::setting::{Published, Setting};

const ORDERS: usize = 60;
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn from_environment() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = std::env::var("RANDOM_SEED").map_or(u64::from(now.subsec_nanos()), |seed| seed.parse().unwrap());
        eprintln!("RANDOM_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % limit as u64).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// What is published, and what must come of it.
struct World {
    messages: Vec<Published>,
    /// The last version that passes each order's gate.
    gates: BTreeMap<AggregateId, u32>,
    effects: HashMap<EventId, (Uuid, u32)>,
}

impl World {
    fn random(dice: &mut Dice) -> Self {
        let mut world = Self { messages: Vec::new(), gates: BTreeMap::new(), effects: HashMap::new() };
        for _ in 0..ORDERS {
            let order_id = OrderId::generate();
            let versions = 1 + dice.below(5);
            let missing = if dice.one_in(8) { 1 + dice.below(versions) } else { usize::MAX };
            for version in (1..=versions).filter(|version| *version != missing) {
                world.add(dice, order_id, u32::try_from(version).unwrap(), version < missing);
            }
        }
        world.shuffle(dice);
        world
    }

    fn add(&mut self, dice: &mut Dice, order_id: OrderId, version: u32, passes: bool) {
        let mut event =
            if version == 1 { Published::created_of(order_id, "tea") } else { Published::cancelled_of(order_id) };
        event.envelope.aggregate_version = NonZeroU32::new(version);
        let is_tombstone = dice.one_in(10);
        if passes {
            self.gates.insert(order_id.into(), version);
        }
        if passes && !is_tombstone {
            self.effects.insert(event.envelope.event_id, (order_id.0, version));
        }
        let message = if is_tombstone { event.tombstone() } else { event };
        for _ in 0..=usize::from(dice.one_in(4)) {
            self.messages.push(message.clone());
        }
    }

    /// Near neighbours change places: earlier ones are late, but not for minutes.
    fn shuffle(&mut self, dice: &mut Dice) {
        for index in (1..self.messages.len()).rev() {
            let other = index - dice.below(index.min(12) + 1);
            self.messages.swap(index, other);
        }
    }
}

/// Something happens to a process, or to the consumer.
async fn disturb(dice: &mut Dice, setting: &Setting, services: &mut [Service]) {
    let victim = dice.below(services.len());
    match dice.below(4) {
        0 => {
            services[victim].kill().await;
            services[victim].restart().await;
        }
        1 => {
            assert!(services[victim].terminate().await.success());
            services[victim].restart().await;
        }
        2 => {
            let stream = setting.jetstream().await.get_stream(names::STREAM).await.unwrap();
            // Another process may be making it again at this very moment.
            drop(stream.delete_consumer(names::NOTIFY_DURABLE).await);
        }
        _ => {
            services[victim].freeze();
            setting.publish(&[&Published { body: "poison".to_owned(), ..Published::created() }]).await;
            services[victim].thaw();
        }
    }
}

async fn effects(setting: &Setting) -> HashMap<EventId, usize> {
    let rows: Vec<EventId> =
        sqlx::query_scalar("SELECT event_id FROM notifications").fetch_all(&setting.pool).await.unwrap();
    let mut effects = HashMap::new();
    rows.into_iter().for_each(|id| *effects.entry(id).or_default() += 1);
    effects
}

async fn gates(setting: &Setting) -> BTreeMap<AggregateId, u32> {
    let rows: Vec<(AggregateId, u32)> =
        sqlx::query_as("SELECT aggregate_id, version FROM inbox_gate WHERE version > 0")
            .fetch_all(&setting.pool)
            .await
            .unwrap();
    rows.into_iter().collect()
}

both_engines! {
    async fn whatever_happens_each_event_has_its_effect_once_and_in_order(engine: Engine) {
        let mut dice = Dice::from_environment();
        let setting = Setting::new(engine).await;
        let world = World::random(&mut dice);
        let mut services = Vec::new();
        for _ in 0..2 + dice.below(3) {
            let batch = ["1", "7", "256"][dice.below(3)];
            let service = setting.service().env("BATCH_SIZE_MAX", batch).env("EMAIL_TRANSPORT", "log");
            services.push(service.start().await);
        }
        let mut rest = &world.messages[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + dice.below(60)));
            setting.publish(&now.iter().collect::<Vec<_>>()).await;
            disturb(&mut dice, &setting, &mut services).await;
            rest = later;
        }
        let rows = i64::try_from(world.effects.len()).unwrap();
        eventually_within(SETTLED_WITHIN, "all effects are there", async || setting.count("notifications").await >= rows).await;

        let happened = effects(&setting).await;
        assert!(happened.values().all(|times| *times == 1));
        assert!(happened.keys().all(|id| world.effects.contains_key(id)), "an effect that nobody asked for");
        assert_eq!(happened.len(), world.effects.len());
        // Tombstones at an order's end may still be on their way.
        eventually_within(SETTLED_WITHIN, "all gates stand where they should", async || {
            gates(&setting).await == world.gates
        })
        .await;
        // A notification is written when its gate is locked, which its inbox row is not yet.
        let disorder = "SELECT COUNT(*)
                        FROM inbox AS i JOIN notifications AS earlier ON earlier.event_id = i.event_id
                        JOIN notifications AS younger ON younger.order_id = earlier.order_id
                        JOIN inbox AS j ON j.event_id = younger.event_id
                        WHERE i.aggregate_version < j.aggregate_version AND earlier.created_at > younger.created_at";
        let disorder: i64 = sqlx::query_scalar(disorder).fetch_one(&setting.pool).await.unwrap();
        assert_eq!(disorder, 0, "a younger version had its effect before an earlier one");
    }
}
