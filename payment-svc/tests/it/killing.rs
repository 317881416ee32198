//! kill -9 at each step of a charge, counted at the provider.
//!
//! A row lock of the test's own holds the service where it reads or writes the payment, and the simulator's slow product holds
//! it in the charge.

use std::time::Duration;

use payment_svc::provider::{LedgerEntry, ledger, magic};
use schema::ids::{EffectId, OrderId, PaymentId};
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};
use stack::both_engines;
use stack::testing::{Database, Engine, Service, eventually, eventually_within};
use tempfile::TempDir;

/// The slow charge, twice, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A payment that is due, and a service that does not run yet. There is no NATS: payments go on without it.
struct Shop {
    _database: Database,
    admin: MySqlPool,
    ledger: TempDir,
    service: Service,
    payment: PaymentId,
}

impl Shop {
    async fn open(engine: Engine, product: &str) -> Self {
        let mut shop = Self::closed(engine, product).await;
        shop.service.spawn();
        shop
    }

    async fn closed(engine: Engine, product: &str) -> Self {
        let database = Database::create(engine, &schema::database::PAYMENTS).await;
        let admin = database.admin_pool().await;
        let ledger = tempfile::tempdir().unwrap();
        let (payment, charge) = (PaymentId::generate(), EffectId::generate());
        sqlx::query(
            "INSERT INTO payments (id, order_id, amount_minor, currency, state, charge_id) VALUES (?, ?, 2000, 'EUR', 'due', ?)",
        )
        .bind(payment)
        .bind(OrderId::generate())
        .bind(charge)
        .execute(&admin)
        .await
        .unwrap();
        sqlx::query("INSERT INTO effect (id, queue, subject, kind, body) VALUES (?, 'provider', ?, 'charge', ?)")
            .bind(charge)
            .bind(payment.to_string())
            .bind(json!({ "product": product }))
            .execute(&admin)
            .await
            .unwrap();
        let service = Service::new(env!("CARGO_BIN_EXE_payment-svc"))
            .env("DATABASE_URL", database.url("payment_svc"))
            .env("NATS_URL", "nats://127.0.0.1:1")
            .env("PAYMENT_PROVIDER", "simulated")
            .env("PAYMENT_SIMULATOR_DIR", ledger.path().to_str().unwrap());
        Self { _database: database, admin, ledger, service, payment }
    }

    async fn field<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
    {
        sqlx::query_scalar(query).bind(self.payment).fetch_one(&self.admin).await.unwrap()
    }

    async fn state(&self) -> String {
        self.field("SELECT state FROM payments WHERE id = ?").await
    }

    async fn has_intent(&self) -> bool {
        self.field("SELECT intent IS NOT NULL FROM payments WHERE id = ?").await
    }

    async fn events(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT event_type FROM outbox ORDER BY seq").fetch_all(&self.admin).await.unwrap()
    }

    /// Nobody else changes the payment until this ends.
    async fn lock(&self) -> Transaction<'static, MySql> {
        let mut tx = self.admin.begin().await.unwrap();
        sqlx::query("SELECT 1 FROM payments WHERE id = ? FOR UPDATE")
            .bind(self.payment)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        ledger(self.ledger.path()).unwrap_or_default()
    }

    fn charged(&self) -> usize {
        self.ledger().iter().filter(|entry| entry.charged).count()
    }

    /// The order is cancelled, as the inbox would have it: what was tried is not withdrawn.
    async fn cancel(&self) {
        let cancelled = sqlx::query("UPDATE payments SET state = 'cancelling' WHERE id = ? AND state = 'due'");
        cancelled.bind(self.payment).execute(&self.admin).await.unwrap();
    }

    /// Kills it, and starts it again as if the lease's time had gone by.
    async fn kill(&mut self) {
        self.service.kill().await;
        let ended = "UPDATE effect SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 'pending'";
        sqlx::query(ended).execute(&self.admin).await.unwrap();
        self.service.spawn();
    }

    async fn until(&self, state: &str) {
        eventually_within(PATIENCE, state, async || self.state().await == state).await;
    }
}

both_engines! {
    async fn a_kill_before_the_intent_is_recorded_charges_once(engine: Engine) {
        let mut shop = Shop::closed(engine, "Mug").await;
        let lock = shop.lock().await;
        shop.service.spawn();
        eventually("an intent", async || !shop.ledger().is_empty()).await;
        shop.kill().await;
        lock.rollback().await.unwrap();
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_kill_in_the_charge_charges_once(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        shop.kill().await;
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_kill_between_the_charge_and_its_conclusion_charges_once(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        let lock = shop.lock().await;
        eventually("the money is taken", async || shop.charged() == 1).await;
        shop.kill().await;
        lock.rollback().await.unwrap();
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn a_charge_whose_answer_is_lost_is_charged_once(engine: Engine) {
        let shop = Shop::open(engine, magic::LOST).await;
        shop.until("authorized").await;
        assert_eq!((shop.charged(), shop.events().await), (1, vec!["payment.authorized".to_owned()]));
    }

    async fn an_order_that_is_cancelled_while_its_charge_is_killed_keeps_no_money(engine: Engine) {
        let mut shop = Shop::open(engine, magic::SLOW).await;
        eventually("the intent is recorded", async || shop.has_intent().await).await;
        shop.cancel().await;
        shop.kill().await;
        eventually_within(PATIENCE, "an end", async || ["withdrawn", "refunded"].contains(&shop.state().await.as_str())).await;
        assert!(shop.ledger().iter().all(|entry| entry.charged == entry.refunded), "{:?}", shop.ledger());
    }

    async fn a_declined_charge_is_told_once_with_its_reason(engine: Engine) {
        let shop = Shop::open(engine, magic::DECLINED).await;
        shop.until("declined").await;
        assert_eq!((shop.charged(), shop.events().await), (0, vec!["payment.declined".to_owned()]));
        let reason: String = shop.field("SELECT decline_reason FROM payments WHERE id = ?").await;
        assert_eq!(reason, "card_declined");
    }
}
