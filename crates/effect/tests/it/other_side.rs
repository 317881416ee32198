//! A service with a queue, and the other side that its effects happen at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context;
use effect::{Attempt, Effect, Hold, Limits, Metrics, New, Perform, Queue, Wake, Withdrawal};
use prometheus::Registry;
use runtime::mysql::{Pool, Transaction};
use schema::ids::EffectId;
use serde_json::json;
use sqlx::MySqlPool;
use stack::testing::{Database, Engine, eventually};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where effects happen. What a kind does, see [`OtherSide::perform`].
#[derive(Clone, Debug, Default)]
pub struct OtherSide {
    state: Arc<Mutex<State>>,
    /// Lets what hangs go on.
    pub release: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    is_away: bool,
    is_well: bool,
    /// How often each happened.
    happened: HashMap<EffectId, u32>,
    /// Whether each attempt was told that an earlier one may have happened.
    told: HashMap<EffectId, Vec<bool>>,
}

impl OtherSide {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// What failed goes well from now on.
    pub fn recover(&self) {
        self.state().is_well = true;
    }

    pub fn happened(&self, id: EffectId) -> u32 {
        self.state().happened.get(&id).copied().unwrap_or(0)
    }

    pub fn told(&self, id: EffectId) -> Vec<bool> {
        self.state().told.get(&id).cloned().unwrap_or_default()
    }

    /// Happens, unless whoever was told that it may have happened finds that it has.
    fn happen(&self, effect: &Effect) {
        let mut state = self.state();
        let happened = state.happened.entry(effect.id).or_default();
        if !effect.is_unknown || *happened == 0 {
            *happened += 1;
        }
    }
}

impl Perform for OtherSide {
    type Outcome = ();
    type Conclusion = ();

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<()> {
        assert!(hold.let_go().await);
        let (is_first, is_away, is_well) = {
            let mut state = self.state();
            let told = state.told.entry(effect.id).or_default();
            told.push(effect.is_unknown);
            let is_first = told.len() == 1;
            (is_first, state.is_away, state.is_well)
        };
        if is_away {
            return Attempt::PutOff { reason: "it is away".to_owned(), retry_after: None };
        }
        match effect.kind.as_str() {
            "fails" if !is_well => return Attempt::Failed("it fails".to_owned()),
            "hopeless" if !is_well => return Attempt::Dead("it is hopeless".to_owned()),
            "lost" if is_first => {
                self.happen(effect);
                return Attempt::Unknown("the line was cut".to_owned());
            }
            // Happens, and its answer takes until the test lets it come.
            "hangs" if is_first => {
                self.happen(effect);
                self.release.notified().await;
            }
            _ => self.happen(effect),
        }
        Attempt::Done(())
    }

    /// A row for each conclusion.
    async fn conclude(&self, tx: &mut Transaction, effect: &Effect, (): &()) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO payments (id, order_id, amount_minor, currency, state, charge_id) VALUES (?, ?, 1, 'EUR', 'authorized', ?)",
        )
        .bind(Uuid::now_v7())
        .bind(Uuid::now_v7())
        .bind(effect.id)
        .execute(&mut *tx)
        .await
        .context("concluding")?;
        Ok(())
    }

    fn committed(&self, (): ()) {}
}

/// A service with a database of its own.
pub struct Service {
    pub database: Database,
    pub pool: Pool,
    pub admin: MySqlPool,
    pub other_side: OtherSide,
}

/// A queue that runs, as a process of its own would.
pub struct Running {
    pub shutdown: CancellationToken,
    pub task: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    pub async fn start(engine: Engine) -> Self {
        let database = Database::create(engine, &schema::database::PAYMENTS).await;
        let (pool, admin) = (database.service_pool("payment_svc", 4), database.admin_pool().await);
        Self { database, pool, admin, other_side: OtherSide::default() }
    }

    /// As a process of its own.
    pub fn run(&self) -> Running {
        self.run_through(self.database.port())
    }

    /// The same with the database behind another port of this machine.
    pub fn run_through(&self, port: u16) -> Running {
        let shutdown = CancellationToken::new();
        let queue = Queue {
            pool: self.database.service_pool_through("payment_svc", 4, port),
            name: "provider",
            performer: self.other_side.clone(),
            limits: Limits {
                attempt_time_max: Duration::from_secs(60),
                attempts_max: 2,
                rate_max: 1000,
                delay_first: Duration::from_secs(1),
                retention: Duration::from_secs(86_400),
            },
            wake: Wake::default(),
            metrics: Metrics::register(&Registry::new(), "provider").unwrap(),
            shutdown: shutdown.clone(),
        };
        Running { shutdown, task: tokio::spawn(queue.run()) }
    }

    pub async fn enqueue(&self, kind: &'static str) -> EffectId {
        let id = EffectId::generate();
        let new = New { id, subject: id.to_string(), kind, body: json!({ "grams": 740 }), traceparent: None };
        let mut tx = self.pool.begin().await.unwrap();
        effect::enqueue(&mut tx, "provider", &new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    pub async fn withdraw(&self, id: EffectId) -> Withdrawal {
        let mut tx = self.pool.begin().await.unwrap();
        let withdrawal = effect::withdraw(&mut tx, id, "a test").await.unwrap();
        tx.commit().await.unwrap();
        withdrawal
    }

    pub async fn conclusions(&self, id: EffectId) -> i64 {
        let counted = sqlx::query_scalar("SELECT COUNT(*) FROM payments WHERE charge_id = ?").bind(id);
        counted.fetch_one(&self.admin).await.unwrap()
    }

    pub async fn state(&self, id: EffectId) -> String {
        sqlx::query_scalar("SELECT state FROM effect WHERE id = ?").bind(id).fetch_one(&self.admin).await.unwrap()
    }

    pub async fn until(&self, id: EffectId, state: &str) {
        eventually(state, async || self.state(id).await == state).await;
    }

    pub async fn until_put_off(&self, id: EffectId) {
        eventually("it is put off", async || {
            let put_off: u32 = sqlx::query_scalar("SELECT put_off FROM effect WHERE id = ?")
                .bind(id)
                .fetch_one(&self.admin)
                .await
                .unwrap();
            put_off > 0
        })
        .await;
    }

    /// As if a lease's time had gone by, for the database.
    pub async fn end_leases(&self) {
        let ended = "UPDATE effect SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 'pending'";
        sqlx::query(ended).execute(&self.admin).await.unwrap();
    }

    pub async fn attempts(&self, id: EffectId) -> u32 {
        let counted = sqlx::query_scalar("SELECT attempts FROM effect WHERE id = ?").bind(id);
        counted.fetch_one(&self.admin).await.unwrap()
    }
}

impl Running {
    /// Nothing that was under way goes on.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err());
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}
