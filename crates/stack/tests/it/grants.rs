//! `schema/grants/*.sql`: each service can do its work under its own user, people theirs under another, and neither more.

use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::{AssertSqlSafe, Executor, MySqlPool};
use stack::service::Program;
use stack::testing::{Database, eventually};
use stack::{Engine, both_engines};
use uuid::Uuid;

use crate::pipeline::Pipeline;
use crate::services::run;

/// What each user is refused in its own database, beside [`NOBODY`].
const REFUSED: [(&str, &[&str]); 11] = [
    (
        "order_svc",
        &[
            "DELETE FROM orders",
            "UPDATE outbox SET state = 'published'",
            "DELETE FROM outbox",
            "INSERT INTO outbox (subject, state) VALUES ('order.created', 'published')",
            "INSERT INTO outbox (subject, stream_seq) VALUES ('order.created', 7)",
            "INSERT INTO outbox (subject, next_attempt_at) VALUES ('order.created', '9999-01-01')",
            "INSERT INTO outbox (subject, discarded_at) VALUES ('order.created', '2026-01-01')",
            "INSERT INTO outbox (subject, heal_epoch) VALUES ('order.created', 4294967295)",
            "INSERT INTO outbox (subject, attempts) VALUES ('order.created', 1)",
            "INSERT INTO outbox (subject, inserted_at) VALUES ('order.created', '2026-01-01')",
            "INSERT INTO outbox (subject, seq) VALUES ('order.created', 1)",
            "UPDATE relay_lease SET epoch = 0",
            "UPDATE relay_stream SET proven_seq = 0",
            "UPDATE idempotency_keys SET created_at = NULL",
            "UPDATE orders SET product = 'x'",
            "UPDATE orders SET customer = NULL",
            "SELECT * FROM outbox_discarded",
            "SELECT * FROM outbox_action",
            "SELECT * FROM outbox_pause",
            "SELECT * FROM customer_action",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "outbox_relay",
        &[
            "SELECT * FROM orders",
            "SELECT * FROM idempotency_keys",
            "INSERT INTO outbox (subject) VALUES ('x')",
            "INSERT INTO relay_lease (name) VALUES ('x')",
            "DELETE FROM relay_lease",
            "INSERT INTO relay_stream (name) VALUES ('x')",
            "DELETE FROM relay_stream",
            "UPDATE outbox SET event_id = ''",
            "UPDATE outbox SET occurred_at = '2026-01-01'",
            "SELECT * FROM outbox_action",
            "DELETE FROM outbox_action",
            "UPDATE outbox_discarded SET reason = 'none'",
            "UPDATE outbox_pause SET reason = 'none'",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "orders_operator",
        &[
            "UPDATE relay_lease SET epoch = 0",
            "DELETE FROM orders",
            "INSERT INTO orders (id) VALUES (1)",
            "UPDATE orders SET customer = 'eve'",
            "UPDATE outbox SET stream_seq = 7",
            "UPDATE outbox SET event_id = ''",
            "INSERT INTO inbox_dead (subject) VALUES ('x')",
            "UPDATE inbox_dead SET payload = ''",
            "INSERT INTO inbox_position (consumer) VALUES ('x')",
            "SELECT * FROM outbox_action",
            "SELECT * FROM idempotency_keys",
            "INSERT INTO outbox (subject, state) VALUES ('order.created', 'published')",
            "DELETE FROM inbox",
            "DELETE FROM inbox_dead",
            "DELETE FROM outbox_action",
            "DELETE FROM outbox_discarded",
            "DELETE FROM customer_action",
            "UPDATE disclosure SET actor = 'nobody'",
            "DELETE FROM disclosure",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "notifications_operator",
        &[
            "DELETE FROM notifications",
            "UPDATE notifications SET sent_at = NULL",
            "DELETE FROM effect",
            "DELETE FROM inbox",
            "DELETE FROM inbox_dead",
            "SELECT * FROM recipient_mails",
            "DELETE FROM suppression_action",
            "DELETE FROM effect_action",
            "UPDATE disclosure SET actor = 'nobody'",
            "DELETE FROM disclosure",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "payments_operator",
        &[
            "UPDATE prices SET unit_minor = 1",
            "UPDATE relay_lease SET epoch = 0",
            "DELETE FROM payments",
            "DELETE FROM effect",
            "DELETE FROM inbox",
            "UPDATE disclosure SET actor = 'nobody'",
            "DELETE FROM disclosure",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "orders_inspector",
        &[
            "INSERT INTO outbox (subject) VALUES ('x')",
            "UPDATE orders SET status = 'cancelled'",
            "DELETE FROM outbox",
            "SELECT email FROM orders",
            "INSERT INTO disclosure (actor, verb) VALUES ('eve', 'x')",
        ],
    ),
    (
        "notify_svc",
        &[
            "UPDATE inbox SET event_type = 'x'",
            "DELETE FROM inbox_gate",
            "SELECT * FROM inbox_action",
            "UPDATE suppression_action SET actor = 'nobody'",
            "SELECT * FROM effect_action",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "notifications_inspector",
        &[
            "UPDATE notifications SET sent_at = NULL",
            "DELETE FROM inbox",
            "SELECT address FROM suppression",
            "SELECT address FROM suppression_action",
            "INSERT INTO disclosure (actor, verb) VALUES ('eve', 'x')",
        ],
    ),
    (
        "payment_svc",
        &[
            "UPDATE prices SET unit_minor = 1",
            "DELETE FROM payments",
            "SELECT * FROM effect_action",
            "SELECT * FROM payment_action",
            "UPDATE outbox SET state = 'published'",
            "INSERT INTO outbox (subject, state) VALUES ('payment.refunded', 'published')",
            "SELECT * FROM outbox_discarded",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    (
        "payment_relay",
        &[
            "SELECT * FROM payments",
            "SELECT * FROM effect",
            "SELECT * FROM inbox",
            "INSERT INTO outbox (subject) VALUES ('x')",
            "DELETE FROM outbox_action",
            "SELECT * FROM _sqlx_migrations",
        ],
    ),
    ("payments_inspector", &["UPDATE payments SET state = 'refunded'", "DELETE FROM effect"]),
];

/// What people decide about what a service has received.
const OF_AN_INBOX: [&str; 4] = [
    "INSERT INTO inbox_action (actor, action, subject, reason) VALUES ('ada', 'skip', 'x', 'x')",
    "INSERT INTO inbox_skipped (consumer, aggregate_type, aggregate_id, from_version, to_version, reason)
     VALUES ('x', 'order', 'x', 1, 1, 'x')",
    "UPDATE inbox_dead SET note = 'x' WHERE id = 0",
    "UPDATE inbox_dead SET resolution = 'discarded', resolved_at = UTC_TIMESTAMP(6), note = 'x' WHERE id = 0",
];

/// What people decide about events that are to be published.
const OF_AN_OUTBOX: [&str; 7] = [
    "INSERT INTO outbox_action (actor, action, scope, events) VALUES ('ada', 'purge', 'x', 0)",
    "INSERT INTO outbox_pause (pattern, reason, paused_by) VALUES ('x', 'x', 'ada')",
    "DELETE FROM outbox_pause WHERE pattern = 'x'",
    "INSERT INTO outbox_discarded (discarded_by, reason, seq, event_id, aggregate_type, aggregate_id, event_type, subject, payload,
                                   occurred_at)
     VALUES ('ada', 'x', 1, 'x', 'order', 'x', 'x', 'x', '{}', UTC_TIMESTAMP(6))",
    "UPDATE outbox SET payload = '{}', headers = NULL WHERE seq = 0",
    "UPDATE outbox SET subject = 'x' WHERE seq = 0",
    "UPDATE outbox SET discarded_at = UTC_TIMESTAMP(6) WHERE seq = 0",
];

/// What people decide about effects outside of the database.
const OF_EFFECTS: [&str; 1] =
    ["INSERT INTO effect_action (actor, action, effect_id, reason) VALUES ('ada', 'discard', 'x', 'x')"];

const OF_ORDERS: [&str; 2] = [
    "UPDATE orders SET email = NULL WHERE FALSE",
    "INSERT INTO customer_action (actor, action, orders, reason) VALUES ('ada', 'erase', 0, 'x')",
];

/// That a person saw addresses.
const OF_EACH: [&str; 1] = ["INSERT INTO disclosure (actor, verb) VALUES ('ada', 'message show 1')"];

const OF_NOTIFICATIONS: [&str; 1] = ["DELETE FROM suppression WHERE address = 'x'"];

const OF_PAYMENTS: [&str; 1] = [
    "INSERT INTO payment_action (actor, action, payment_id, state_before, reason) VALUES ('ada', 'refund', 'x', 'due', 'x')",
];

/// A database's user for people, its services' users, and the statements that only a verb runs.
type Decisions = (&'static Definition, &'static str, &'static [&'static str], &'static [&'static [&'static str]]);

static DECISIONS: [Decisions; 3] = [
    (&ORDERS, "orders_operator", &["order_svc", "outbox_relay"], &[&OF_EACH, &OF_ORDERS, &OF_AN_INBOX, &OF_AN_OUTBOX]),
    (
        &NOTIFICATIONS,
        "notifications_operator",
        &["notify_svc"],
        &[&OF_EACH, &OF_NOTIFICATIONS, &OF_AN_INBOX, &OF_EFFECTS],
    ),
    (
        &PAYMENTS,
        "payments_operator",
        &["payment_svc", "payment_relay"],
        &[&OF_EACH, &OF_PAYMENTS, &OF_AN_INBOX, &OF_AN_OUTBOX, &OF_EFFECTS],
    ),
];

/// What everybody is refused.
const NOBODY: [&str; 6] = [
    "CREATE TABLE mine (id INT)",
    "CREATE USER 'another'@'%'",
    "SELECT * FROM mysql.user",
    "GRANT SELECT ON *.* TO CURRENT_USER()",
    "SET GLOBAL max_connections = 1",
    "FLUSH TABLES",
];

async fn is_refused(pool: &MySqlPool, user: &str, statement: &str) {
    let refused = pool.execute(AssertSqlSafe(statement.to_owned())).await;
    let error = refused.err().unwrap_or_else(|| panic!("{user} may: {statement}"));
    let code = error.as_database_error().unwrap().code().unwrap().into_owned();
    // Access is denied; 28000 for what needs a right over the whole server.
    assert!(matches!(code.as_str(), "42000" | "28000"), "{user}: {statement}: {error}");
    let said = error.to_string();
    assert!(said.contains("denied"), "{user}: {statement}: {said}");
}

impl Pipeline {
    /// Verbs of the services' programs under the users for people, the check of the relay under the relay's; each ends well.
    fn verb(&self, program: Program, arguments: &[&str]) -> String {
        let database = match program {
            Program::NotifySvc => &self.notifications,
            _ => &self.orders,
        };
        let database = database.url(program.user_of(arguments));
        let nats = self.nats.url();
        let environment = [
            ("DATABASE_URL", database.as_str()),
            ("NATS_URL", &nats),
            ("NATS_USER", program.name()),
            ("NATS_PASSWORD", stack::testing::Nats::PASSWORD),
            ("USER", "ada"),
        ];
        let output = run(program.file(), arguments, &environment);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // 4: it did its work, and has seen that an event is dead.
        assert!(matches!(output.status.code(), Some(0 | 4)), "{program:?} {arguments:?}: {said}");
        said
    }
}

both_engines! {
    async fn each_service_does_all_its_work_under_its_own_database_user(engine: Engine) {
        let pipeline = Pipeline::start(engine).await;
        let services = &pipeline.services;
        let order = services.place().await;
        services.until_notified(&order).await;
        let client = reqwest::Client::new();
        let keyed = client.post(services.order_svc.url("/api/orders")).header("Idempotency-Key", "a-key-of-this-test");
        let keyed = keyed.json(&serde_json::json!({ "product": "Book", "quantity": 1, "email": "ada@example.com" }));
        assert_eq!(keyed.send().await.unwrap().status(), 201);
        let cancel = services.order_svc.url(&format!("/api/orders/{order}/cancel"));
        assert!(client.post(cancel).send().await.unwrap().status().is_success());
        for path in ["/api/orders", &format!("/api/orders/{order}"), &format!("/api/orders/{order}/events"), "/api/orders/events/status"] {
            let status = reqwest::get(services.order_svc.url(path)).await.unwrap().status();
            assert_eq!(status, 200, "{path}");
        }
        eventually("both are notified of", async || services.notifications(&order).await.len() == 2).await;
        for path in ["/api/events/status", "/api/events/stats", "/api/notifications"] {
            assert_eq!(reqwest::get(services.notify_svc.url(path)).await.unwrap().status(), 200, "{path}");
        }

        let admin = pipeline.orders.admin_pool().await;
        let event: String = sqlx::query_scalar("SELECT event_id FROM outbox_text LIMIT 1").fetch_one(&admin).await.unwrap();
        let dead = [Uuid::now_v7(), Uuid::now_v7()];
        for event_id in dead {
            sqlx::query(
                "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
                 VALUES (?, 'order', ?, 1, 'order.created', 'order.*', '{}')",
            )
            .bind(event_id)
            .bind(Uuid::now_v7().to_string())
            .execute(&admin)
            .await
            .unwrap();
        }
        let count = async |state: &'static str| {
            sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox WHERE state = ?").bind(state).fetch_one(&admin).await.unwrap()
        };
        eventually("both are dead", async || count("dead").await == 2).await;
        sqlx::query("UPDATE outbox SET subject = 'order.created' WHERE event_id = ?").bind(dead[0]).execute(&admin).await.unwrap();
        let dead = dead.map(|event| event.to_string());
        for arguments in [
            &["status"][..],
            &["event", "list"],
            &["event", "show", &event],
            &["event", "requeue", &dead[0]],
            &["event", "discard", &dead[1], "--subject", "order.created", "--reason", "a test"],
            &["subject", "pause", "order.created", "--reason", "a test"],
            &["subject", "list"],
            &["subject", "resume", "order.created"],
            &["event", "replay", "--aggregate", &format!("order/{order}")],
            &["event", "purge", "--older-than", "1d"],
        ] {
            pipeline.verb(Program::OutboxRelay, arguments);
        }
        let findings = pipeline.verb(Program::OutboxRelay, &["stream", "check"]);
        assert!(!findings.contains("grants"), "{findings}");
        for arguments in [
            &["status"][..],
            &["message", "list"],
            &["gap", "list"],
            &["inbox", "show", &event],
            &["suppression", "add", "eve@example.com", "--cause", "complaint", "--reason", "a test"],
            &["suppression", "list"],
            &["suppression", "remove", "eve@example.com", "--cause", "complaint", "--reason", "a test"],
        ] {
            pipeline.verb(Program::NotifySvc, arguments);
        }
        for verb in ["export", "erase"] {
            pipeline.verb(Program::OrderSvc, &["customer", verb, "--email", "ada@example.com", "--reason", "a test"]);
        }
        let logs = services.logs();
        assert!(!logs.contains("denied"), "{logs}");
    }

    async fn what_only_a_verb_does_is_granted_to_people_and_refused_to_every_service(engine: Engine) {
        for (definition, operator, services, decisions) in DECISIONS {
            let database = Database::create(engine, definition).await;
            let person = database.pool(operator).await;
            for statement in decisions.concat() {
                let mut tx = person.begin().await.unwrap();
                let done = tx.execute(statement).await;
                done.unwrap_or_else(|error| panic!("{operator}: {statement}: {error}"));
                tx.rollback().await.unwrap();
            }
            for user in services {
                let service = database.pool(user).await;
                for statement in decisions.concat() {
                    is_refused(&service, user, statement).await;
                }
            }
        }
    }

    async fn each_service_is_refused_what_it_does_not_need(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let payments = Database::create(engine, &PAYMENTS).await;
        for (user, statements) in REFUSED {
            let (own, other, foreign) = if ORDERS.users.contains(&user) {
                (&orders, &notifications, "inbox")
            } else if NOTIFICATIONS.users.contains(&user) {
                (&notifications, &payments, "payments")
            } else {
                (&payments, &orders, "outbox")
            };
            let pool = own.pool(user).await;
            for statement in statements.iter().chain(&NOBODY) {
                is_refused(&pool, user, statement).await;
            }
            is_refused(&pool, user, &format!("SELECT * FROM {}.{foreign}", other.name())).await;
            is_refused(&pool, user, &format!("DROP DATABASE {}", own.name())).await;
        }
    }
}
