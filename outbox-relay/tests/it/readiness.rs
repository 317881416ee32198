//! A relay whose promises don't hold says so by its readiness, until that is fixed, and drains on.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use sqlx::AssertSqlSafe;
use stack::testing::{Database, MySql, Nats, Service, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::support::{World, readyz};

/// Waits until it is unready for a setting, and returns what it says of it.
async fn until_unready_for(relay: &Service, setting: &str) -> String {
    let mut said = String::new();
    eventually(&format!("it is unready for {setting}"), async || {
        let (status, body) = readyz(relay).await;
        let line = body.lines().find(|line| line.starts_with(&format!("{setting}: ")));
        said = line.unwrap_or_default().to_owned();
        status == 503 && !said.is_empty()
    })
    .await;
    assert!(said.contains("; consequence: ") && said.contains("; fix: "), "{said}");
    said
}

async fn until_ready(relay: &Service) {
    eventually("it is ready", async || readyz(relay).await == (200, "ready\n".to_owned())).await;
}

both_engines! {
    async fn a_relay_is_unready_while_its_database_breaks_a_promise(engine: Engine) {
        let server = MySql::start(engine).await;
        let database = Database::create_on(&server, &schema::database::ORDERS).await;
        let world = World { pool: database.admin_pool().await, database, nats: Nats::start().await };
        let relay = world.watchful().start().await;
        let faults = [
            (
                "innodb_flush_log_at_trx_commit",
                "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
                "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
            ),
            (
                "grants",
                "REVOKE DELETE ON outbox FROM 'outbox_relay'@'%'",
                "GRANT DELETE ON outbox TO 'outbox_relay'@'%'",
            ),
        ];
        for (setting, spoil, fix) in faults {
            sqlx::query(AssertSqlSafe(spoil)).execute(&world.pool).await.unwrap();
            until_unready_for(&relay, setting).await;
            world.append(Uuid::now_v7(), 1).await;
            world.until_all_published().await;
            sqlx::query(AssertSqlSafe(fix)).execute(&world.pool).await.unwrap();
            until_ready(&relay).await;
        }
        sqlx::query("SET GLOBAL read_only = 1").execute(&world.pool).await.unwrap();
        let said = until_unready_for(&relay, "read_only").await;
        assert!(said.contains("connect to the primary"), "{said}");
        sqlx::query("SET GLOBAL read_only = 0").execute(&world.pool).await.unwrap();
        until_ready(&relay).await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
    }

    async fn a_relay_is_unready_while_the_stream_drops_events_unread(engine: Engine) {
        let mut world = World::new(engine).await;
        let relay = world.watchful().start().await;
        world.append(Uuid::now_v7(), 1).await;
        world.until_all_published().await;
        let ours = async || {
            let stream = world.jetstream().await.get_stream(schema::names::STREAM).await.unwrap();
            stream.cached_info().config.clone()
        };
        let ours = ours().await;
        let edits = [
            ("max_msgs_per_subject", Config { max_messages_per_subject: 5, ..ours.clone() }),
            ("discard", Config { discard: DiscardPolicy::Old, ..ours.clone() }),
            ("subjects", Config { subjects: vec!["order.created".to_owned()], ..ours.clone() }),
        ];
        for (setting, edited) in edits {
            world.jetstream().await.update_stream(edited).await.unwrap();
            until_unready_for(&relay, setting).await;
            world.append(Uuid::now_v7(), 1).await;
            world.until_all_published().await;
            world.jetstream().await.update_stream(ours.clone()).await.unwrap();
            until_ready(&relay).await;
        }

        // An outage fixes nothing.
        world.jetstream().await.update_stream(Config { max_messages_per_subject: 5, ..ours.clone() }).await.unwrap();
        until_unready_for(&relay, "max_msgs_per_subject").await;
        world.nats.stop().await;
        eventually("the preflight can't ask", async || {
            crate::support::metric(&relay, "relay_preflight_findings{severity=\"error\"}").await == 0.0
        })
        .await;
        until_unready_for(&relay, "max_msgs_per_subject").await;
        world.nats.restart().await;
        world.jetstream().await.update_stream(ours).await.unwrap();
        until_ready(&relay).await;
    }
}
