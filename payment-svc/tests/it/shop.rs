//! One payment and a payment-svc, without the rest of the web store. There is no NATS: payments go on without it.

use std::process::Command;
use std::time::Duration;

use payment_svc::provider::{LedgerEntry, ledger, magic};
use schema::ids::{EffectId, OrderId, PaymentId};
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};
use stack::service::Program;
use stack::testing::{Database, Engine, Service, eventually, eventually_within};
use tempfile::TempDir;

/// The slow charge, twice, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A payment that is due, and a service that does not run yet.
pub(crate) struct Shop {
    _database: Database,
    admin: MySqlPool,
    ledger: TempDir,
    pub(crate) service: Service,
    /// Of the user for people.
    url: String,
    payment: PaymentId,
}

impl Shop {
    pub(crate) async fn open(engine: Engine, product: &str) -> Self {
        let mut shop = Self::closed(engine, product).await;
        shop.service.spawn();
        shop
    }

    pub(crate) async fn closed(engine: Engine, product: &str) -> Self {
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
        let url = database.url(Program::PaymentSvc.operator());
        Self { _database: database, admin, ledger, service, url, payment }
    }

    pub(crate) async fn field<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
    {
        sqlx::query_scalar(query).bind(self.payment).fetch_one(&self.admin).await.unwrap()
    }

    pub(crate) async fn state(&self) -> String {
        self.field("SELECT state FROM payments WHERE id = ?").await
    }

    pub(crate) async fn has_intent(&self) -> bool {
        self.field("SELECT intent IS NOT NULL FROM payments WHERE id = ?").await
    }

    pub(crate) async fn events(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT event_type FROM outbox ORDER BY seq").fetch_all(&self.admin).await.unwrap()
    }

    /// Nobody else changes the payment until this ends.
    pub(crate) async fn lock(&self) -> Transaction<'static, MySql> {
        let mut tx = self.admin.begin().await.unwrap();
        sqlx::query("SELECT 1 FROM payments WHERE id = ? FOR UPDATE")
            .bind(self.payment)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        ledger(self.ledger.path()).unwrap_or_default()
    }

    pub(crate) fn charged(&self) -> usize {
        self.ledger().iter().filter(|entry| entry.charged).count()
    }

    /// The order is cancelled, as the inbox would have it: what was tried is not withdrawn.
    pub(crate) async fn cancel(&self) {
        let cancelled = sqlx::query("UPDATE payments SET state = 'cancelling' WHERE id = ? AND state = 'due'");
        cancelled.bind(self.payment).execute(&self.admin).await.unwrap();
    }

    /// Kills it, and starts it again as if the lease's time had gone by.
    pub(crate) async fn kill(&mut self) {
        self.service.kill().await;
        let ended = "UPDATE effect SET claimed_by = NULL, next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 'pending'";
        sqlx::query(ended).execute(&self.admin).await.unwrap();
        self.service.spawn();
    }

    pub(crate) async fn until(&self, state: &str) {
        self.until_one_of(&[state]).await;
    }

    pub(crate) async fn until_one_of(&self, states: &[&str]) {
        let is_one = async || states.contains(&self.state().await.as_str());
        eventually_within(PATIENCE, &format!("the payment is {states:?}"), is_one).await;
    }

    /// The order is cancelled when it was paid, as the inbox would have it.
    pub(crate) async fn cancel_paid(&self) {
        let refund = EffectId::generate();
        let mut tx = self.admin.begin().await.unwrap();
        let wanted = "UPDATE payments SET state = 'refunding', refund_id = ? WHERE id = ? AND state = 'authorized'";
        let wanted = sqlx::query(wanted).bind(refund).bind(self.payment).execute(&mut *tx).await.unwrap();
        assert_eq!(wanted.rows_affected(), 1);
        sqlx::query("INSERT INTO effect (id, queue, subject, kind, body) VALUES (?, 'provider', ?, 'refund', '{}')")
            .bind(refund)
            .bind(self.payment.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) fn refunded(&self) -> usize {
        self.ledger().iter().filter(|entry| entry.refunded).count()
    }

    pub(crate) async fn assert_refunded_once(&self) {
        let told = ["payment.authorized".to_owned(), "payment.refunded".to_owned()];
        assert_eq!((self.charged(), self.refunded(), self.events().await), (1, 1, told.to_vec()));
    }

    pub(crate) async fn is_under_way(&self, kind: &str) -> bool {
        let found = "SELECT COUNT(*) FROM effect WHERE kind = ? AND state = 'pending' AND claimed_by IS NOT NULL";
        sqlx::query_scalar::<_, i64>(found).bind(kind).fetch_one(&self.admin).await.unwrap() == 1
    }

    pub(crate) async fn until_under_way(&self, kind: &str) {
        eventually(&format!("the {kind} is under way"), async || self.is_under_way(kind).await).await;
    }

    /// Sets an environment variable for the next start of the service.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let service = std::mem::replace(&mut self.service, Service::new(env!("CARGO_BIN_EXE_payment-svc")));
        self.service = service.env(name, value);
    }

    /// How the last effect of a kind stands, and its id.
    pub(crate) async fn effect(&self, kind: &str) -> (String, String) {
        let found =
            "SELECT CAST(state AS CHAR), CAST(id AS CHAR) FROM effect_text WHERE kind = ? ORDER BY id DESC LIMIT 1";
        sqlx::query_as(found).bind(kind).fetch_one(&self.admin).await.unwrap()
    }

    pub(crate) async fn until_effect(&self, kind: &str, state: &str) -> String {
        eventually_within(PATIENCE, &format!("the {kind} is {state}"), async || self.effect(kind).await.0 == state)
            .await;
        self.effect(kind).await.1
    }

    /// The bank has changed its mind about a refund.
    pub(crate) fn forget_refund(&self) {
        let files = std::fs::read_dir(self.ledger.path()).unwrap().map(|file| file.unwrap().path());
        let refunds = files.filter(|file| file.to_str().unwrap().ends_with(".refund.json"));
        refunds.for_each(|file| std::fs::remove_file(file).unwrap());
        let intents = std::fs::read_dir(self.ledger.path()).unwrap().map(|file| file.unwrap().path());
        for intent in intents.filter(|file| file.to_str().unwrap().ends_with(".intent.json")) {
            let text = std::fs::read_to_string(&intent).unwrap();
            std::fs::write(&intent, text.replace(magic::REFUND_DECLINED, "Mug")).unwrap();
        }
    }

    /// Runs a verb; whether it did what it was asked, and what it said.
    pub(crate) fn verb(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payment-svc"));
        let done = command.args(arguments).env_clear().env("DATABASE_URL", &self.url).output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        (done.status.success(), said)
    }

    /// Runs a verb that decides, as ada.
    pub(crate) fn decide(&self, arguments: &[&str]) -> (bool, String) {
        self.verb(&[arguments, &["--actor", "ada", "--reason", "a test"]].concat())
    }

    pub(crate) fn id(&self) -> String {
        self.payment.to_string()
    }

    /// What is told about payments that wait for a person: how many there are, and the table.
    pub(crate) async fn stuck(&self) -> (i64, String) {
        let (is_done, table) = self.verb(&["payment", "list"]);
        assert!(is_done, "{table}");
        let metrics = reqwest::get(self.service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
        let count = metrics.lines().find_map(|line| line.strip_prefix("payments_stuck ")).unwrap().parse().unwrap();
        (count, table)
    }

    /// Waits until the one payment is told to wait for a person, with all of these words.
    pub(crate) async fn until_stuck(&self, words: &[&str]) {
        eventually(&format!("the payment waits for a person: {words:?}"), async || {
            let (count, table) = self.stuck().await;
            count == 1 && table.contains(&self.id()) && words.iter().all(|word| table.contains(word))
        })
        .await;
    }

    pub(crate) async fn until_none_is_stuck(&self) {
        eventually("no payment waits for a person", async || {
            let (count, table) = self.stuck().await;
            count == 0 && !table.contains(&self.id())
        })
        .await;
    }

    /// What retention does to an effect that ended long ago.
    pub(crate) async fn purge(&self, effect: &str) {
        let purge = "DELETE FROM effect WHERE id = UNHEX(REPLACE(?, '-', ''))";
        assert_eq!(sqlx::query(purge).bind(effect).execute(&self.admin).await.unwrap().rows_affected(), 1);
    }

    /// What people decided: who, what, out of which state.
    pub(crate) async fn decisions(&self) -> Vec<(String, String, String)> {
        let recorded = "SELECT actor, CAST(action AS CHAR), state_before FROM payment_action ORDER BY id";
        sqlx::query_as(recorded).fetch_all(&self.admin).await.unwrap()
    }
}
