//! Faults in the middle of a transaction, at its end, and by other sessions.

use sqlx::{AssertSqlSafe, MySqlPool};
use stack::both_engines;
use stack::testing::{Database, Engine, eventually};

use crate::api::{Api, NO_NATS, USER, good_order};
use crate::commit_thief::{CommitThief, Theft};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

async fn behind_thief(engine: Engine, theft: Theft) -> (Api, CommitThief) {
    let database = Database::create(engine, &schema::database::ORDERS).await;
    let thief = CommitThief::start(database.port(), theft).await;
    let api = Api::over(database, |database| database.url_through(USER, thief.port), NO_NATS).await;
    (api, thief)
}

/// Kills every session of the server but those two of the administrator.
async fn kill_all_but(pool: &MySqlPool, other: u64) {
    let mut connection = pool.acquire().await.unwrap();
    let own: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&mut *connection).await.unwrap();
    for session in (1..own + 50).filter(|session| ![own, other].contains(session)) {
        // Most of them do not exist.
        sqlx::raw_sql(AssertSqlSafe(format!("KILL {session}"))).execute(&mut *connection).await.ok();
    }
}

both_engines! {
    async fn a_lost_answer_to_commit_is_found_out(engine: Engine) {
        for theft in [Theft::Answer, Theft::Commit] {
            let (api, thief) = behind_thief(engine, theft).await;
            thief.arm();
            let id = api.placed().await;
            assert!(!thief.is_armed(), "the commit was stolen");
            assert_eq!(api.rows().await, (1, 1), "{theft:?}");
            assert!(api.shows("outbox_transaction_retries_total 1"));
            assert!(api.shows(r#"outbox_events_appended_total{event_type="order.created"} 1"#));

            thief.arm();
            let keyed = api.place_as(KEY, &good_order()).await;
            assert_eq!((keyed.status, keyed.header("idempotency-replayed")), (201, ""), "{}", keyed.text);
            assert_eq!(api.rows().await, (2, 2), "{theft:?}");

            thief.arm();
            let cancelled = api.post(&format!("/api/orders/{id}/cancel")).await;
            assert_eq!((cancelled.status, &cancelled.body["version"]), (200, &2.into()), "{}", cancelled.text);
            assert_eq!(api.rows().await, (2, 3), "{theft:?}");
        }
    }

    async fn an_unknown_outcome_is_settled_by_repeating_with_the_key(engine: Engine) {
        for theft in [Theft::Answer, Theft::Commit] {
            let (api, thief) = behind_thief(engine, theft).await;
            api.placed().await;
            thief.arm();
            thief.refuse(true);
            api.place_as(KEY, &good_order()).await.unavailable("outcome-unknown");
            assert!(api.shows(r#"orders_place_total{outcome="unavailable"} 1"#));
            thief.refuse(false);
            let again = api.place_as(KEY, &good_order()).await;
            assert_eq!(again.status, 201, "{}", again.text);
            assert_eq!(again.header("idempotency-replayed") == "true", theft == Theft::Answer);
            assert_eq!(api.rows().await, (2, 2), "{theft:?}");
        }
    }

    async fn a_deadlock_is_tried_again_as_a_whole(engine: Engine) {
        let (api, _server) = Api::alone(engine).await;
        let id = api.placed().await;
        // The other session is heavier, so that the server chooses the cancellation as its victim: it has the slot that
        // order.cancelled needs, and then asks for the order that the cancellation has locked.
        let mut other = api.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
                     SELECT aggregate_type, aggregate_id, 2, 'x', 'x', '{}' FROM outbox")
            .execute(&mut *other).await.unwrap();
        sqlx::query("INSERT INTO outbox (aggregate_type, aggregate_id, event_type, subject, payload)
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                     SELECT 'weight', '1', 'x', 'x', '{}' FROM n")
            .execute(&mut *other).await.unwrap();
        let path = format!("/api/orders/{id}/cancel");
        let deadlock = async {
            eventually("the cancellation waits", async || api.row_lock_waits().await == 1).await;
            sqlx::query("SELECT version FROM orders FOR UPDATE").execute(&mut *other).await.unwrap();
            other.rollback().await.unwrap();
        };
        let (cancelled, ()) = tokio::join!(api.post(&path), deadlock);
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        assert_eq!(api.rows().await, (1, 2));
        assert!(api.shows("outbox_transaction_retries_total 1"));
    }

    async fn a_lock_that_is_held_too_long_is_503_and_writes_nothing(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        let mut other = api.pool.begin().await.unwrap();
        sqlx::query("SELECT version FROM orders FOR UPDATE").execute(&mut *other).await.unwrap();
        let path = format!("/api/orders/{id}/cancel");
        api.post(&path).await.unavailable("database-unavailable");
        assert_eq!(api.count("SELECT CAST(version AS SIGNED) FROM orders").await, 1);
        other.rollback().await.unwrap();
        assert_eq!(api.post(&path).await.status, 200);
        assert_eq!(api.rows().await, (1, 2));
    }

    async fn a_transaction_whose_connection_is_killed_is_tried_again_as_a_whole(engine: Engine) {
        let (api, _server) = Api::alone(engine).await;
        let mut other = api.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO idempotency_keys VALUES (?, UNHEX(REPEAT('0', 32)), UTC_TIMESTAMP(6))")
            .bind(KEY).execute(&mut *other).await.unwrap();
        let holder: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&mut *other).await.unwrap();
        let kill = async {
            eventually("the order waits for its key", async || api.row_lock_waits().await == 1).await;
            kill_all_but(&api.pool, holder).await;
            other.rollback().await.unwrap();
        };
        let order = good_order();
        let (placed, ()) = tokio::join!(api.place_as(KEY, &order), kill);
        assert_eq!(placed.status, 201, "{}", placed.text);
        assert_eq!(api.rows().await, (1, 1));
    }
}
