use sqlx::AssertSqlSafe;
use stack::both_engines;
use stack::testing::{Database, Engine, MySql, TcpProxy, eventually};

use crate::api::{Answer, Api, NO_NATS, USER};

const CANCELLED_EVENTS: &str =
    "SELECT COUNT(*) FROM outbox WHERE event_type = 'order.cancelled' AND aggregate_version = 2";

/// Another writer's event that tells of the only order, as its version.
fn foreign_event(version: i64) -> String {
    format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         SELECT aggregate_type, aggregate_id, {version}, 'x', 'x', '{{}}' FROM outbox WHERE aggregate_version = 1"
    )
}

both_engines! {
    async fn concurrent_cancels_append_one_event(engine: Engine) {
        let api = Api::start(engine).await;
        let path = format!("/api/orders/{}/cancel", api.placed().await);
        let answers = futures::future::join_all((0..16).map(|_| api.post(&path))).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (200, &answers[0].body), "{}", answer.text);
            assert_eq!((&answer.body["status"], &answer.body["version"]), (&"cancelled".into(), &2.into()));
        }
        assert_eq!(api.rows().await, (1, 2));
        assert_eq!(api.count(CANCELLED_EVENTS).await, 1);
        assert!(api.shows(r#"outbox_events_appended_total{event_type="order.cancelled"} 1"#));
        assert!(api.shows(r#"orders_cancel_total{outcome="done"} 1"#));
        assert!(api.shows(r#"orders_cancel_total{outcome="repeated"} 15"#));
    }

    async fn a_cancelled_order_reads_back_as_it_was_answered(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        let cancelled = api.post(&format!("/api/orders/{id}/cancel")).await;
        assert_eq!(cancelled.body, api.get(&format!("/api/orders/{id}")).await.body);
        let payload = "SELECT CAST(JSON_UNQUOTE(JSON_EXTRACT(payload, '$.quantity')) AS SIGNED) FROM outbox
                       WHERE event_type = 'order.cancelled'";
        assert_eq!(api.count(payload).await, 2);
    }

    async fn an_order_in_another_state_than_the_client_takes_it_for_is_not_cancelled(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        let path = format!("/api/orders/{id}/cancel");
        let cancel = async |if_match: &str| {
            Answer::to(api.client.post(api.url(&path)).header("if-match", if_match)).await
        };
        let etag = api.get(&format!("/api/orders/{id}")).await.header("etag").to_owned();
        for wrong in ["\"9-placed\"", "\"1-shipped\", \"x\"", "W/\"1-placed\"", "\"2-cancelled\""] {
            let refused = cancel(wrong).await;
            refused.problem(412, "precondition-failed");
            assert!(refused.body["detail"].as_str().unwrap().ends_with(&etag), "{}", refused.text);
        }
        assert_eq!(cancel("1-placed").await.problem(400, "malformed-if-match"), ["If-Match"]);
        assert_eq!(api.rows().await, (1, 1));
        assert_eq!(cancel(&etag).await.status, 200);
        assert_eq!(cancel(&etag).await.status, 200, "a repeat whose first answer was lost");
        assert_eq!((cancel("*").await.status, cancel("\"2-cancelled\"").await.status), (200, 200));
        cancel("\"9-placed\"").await.problem(412, "precondition-failed");
        assert_eq!(api.rows().await, (1, 2));
    }

    async fn a_row_of_another_writer_with_a_blank_in_its_type_keeps_no_order_from_being_cancelled(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        api.execute("INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
                     SELECT 'order ', aggregate_id, 2, 'x', 'x', '{}' FROM outbox").await;
        let cancelled = api.post(&format!("/api/orders/{id}/cancel")).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        assert_eq!(api.count(CANCELLED_EVENTS).await, 1);
    }

    async fn a_version_that_another_writer_took_keeps_no_order_from_being_cancelled(engine: Engine) {
        // Versions that others took, and the one that is left for the cancellation: none is left out.
        for (taken, version) in [(&[2][..], 3), (&[2, 3, 5], 4), (&[3], 2)] {
            let api = Api::start(engine).await;
            let id = api.placed().await;
            for version in taken {
                api.execute(&foreign_event(*version)).await;
            }
            let path = format!("/api/orders/{id}/cancel");
            let cancelled = api.post(&path).await;
            assert_eq!((cancelled.status, &cancelled.body["version"]), (200, &version.into()), "{}", cancelled.text);
            let event = "SELECT CAST(aggregate_version AS SIGNED) FROM outbox WHERE event_type = 'order.cancelled'";
            assert_eq!(api.count(event).await, version);
            let again = Answer::to(api.client.post(api.url(&path)).header("if-match", "\"1-placed\"")).await;
            assert_eq!((again.status, &again.body), (200, &cancelled.body), "a repeat whose first answer was lost");
        }
    }

    async fn a_version_that_another_writer_takes_at_the_same_time_is_left_to_it(engine: Engine) {
        let (api, _server) = Api::alone(engine).await;
        let id = api.placed().await;
        let mut other = api.pool.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(foreign_event(2))).execute(&mut *other).await.unwrap();
        let path = format!("/api/orders/{id}/cancel");
        let commit = async {
            eventually("the cancellation waits", async || api.row_lock_waits().await == 1).await;
            other.commit().await.unwrap();
        };
        let (cancelled, ()) = tokio::join!(api.post(&path), commit);
        assert_eq!((cancelled.status, &cancelled.body["version"]), (200, &3.into()), "{}", cancelled.text);
        assert_eq!(api.rows().await, (1, 3));
    }

    async fn a_shipped_order_is_not_cancelled(engine: Engine) {
        let api = Api::start(engine).await;
        let id = api.placed().await;
        api.execute("UPDATE orders SET status = 'shipped'").await;
        let refused = api.post(&format!("/api/orders/{id}/cancel")).await;
        assert_eq!(refused.problem(409, "order-not-cancellable"), ["/status"]);
        assert_eq!(refused.body["detail"], "The order is shipped");
        assert_eq!(api.get(&format!("/api/orders/{id}")).await.body["status"], "shipped");
        assert_eq!(api.rows().await, (1, 1));
        assert!(api.shows(r#"orders_cancel_total{outcome="refused"} 1"#));
    }

    async fn cancelling_what_does_not_exist_writes_nothing(engine: Engine) {
        let api = Api::start(engine).await;
        api.placed().await;
        let path = "/api/orders/019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        api.get(path).await.problem(404, "order-not-found");
        api.post(&format!("{path}/cancel")).await.problem(404, "order-not-found");
        assert_eq!(api.rows().await, (1, 1));
        assert!(api.shows(r#"orders_cancel_total{outcome="refused"} 1"#));
    }

    async fn a_transaction_whose_connection_is_cut_is_tried_again_as_a_whole(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let mut proxy = TcpProxy::start(server.port()).await;
        let api = Api::over(database, |database| database.url_through(USER, proxy.port()), NO_NATS).await;
        let path = format!("/api/orders/{}/cancel", api.placed().await);
        let mut lock = api.pool.begin().await.unwrap();
        sqlx::query("SELECT version FROM orders FOR UPDATE").execute(&mut *lock).await.unwrap();

        let cut_and_release = async {
            eventually("the cancellation waits for the row", async || api.row_lock_waits().await == 1).await;
            proxy.cut().await;
            proxy.heal().await;
            lock.rollback().await.unwrap();
        };
        let (cancelled, ()) = tokio::join!(api.post(&path), cut_and_release);
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        assert_eq!((api.rows().await, api.count(CANCELLED_EVENTS).await), ((1, 2), 1));
        assert!(!api.shows("outbox_transaction_retries_total 0"));
    }
}
