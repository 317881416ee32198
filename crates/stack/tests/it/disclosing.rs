//! Whoever operates this reads no address by the way: verbs mask them, and show them on record only.

use std::process::{Command, Output};

use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::{AssertSqlSafe, Executor, MySqlPool};
use stack::testing::{Database, binary};
use stack::{Engine, both_engines};

use crate::services::run;

const MARK: &str = "grace.hopper";
const GRACE: &str = "grace.hopper@example.org";
const ID: &str = "0198b4e6-5c3a-7d52-9e1f-3f2b8c6d4a10";
const SHOW: &str = "--show-personal-data";

/// Verbs that print an address, each with the status that it ends with.
const VERBS: [(&str, &[&str], i32); 15] = [
    ("notify-svc", &["suppression", "list"], 0),
    ("notify-svc", &["suppression", "add", GRACE, "--cause", "bounce", "--reason", "x"], 2),
    (
        "notify-svc",
        &["suppression", "remove", "not.grace.hopper@example.org", "--cause", "operator", "--reason", "x"],
        3,
    ),
    ("notify-svc", &["email", "list"], 0),
    ("notify-svc", &["email", "show", ID], 0),
    ("notify-svc", &["message", "list"], 0),
    ("notify-svc", &["message", "show", "1"], 0),
    ("order-svc", &["message", "list"], 0),
    ("order-svc", &["message", "show", "1"], 0),
    ("outbox-relay", &["event", "list"], 0),
    ("outbox-relay", &["event", "show", ID], 0),
    ("outbox-relay", &["subject", "list"], 0),
    ("payment-svc", &["effect", "list"], 0),
    ("payment-svc", &["effect", "show", ID], 0),
    ("payment-svc", &["payment", "list"], 0),
];

const REFUSAL: &str = "550 5.1.1 <grace.hopper@example.org>: no such user";
const INTO_INBOX_DEAD: &str =
    "INSERT INTO inbox_dead (consumer, stream_seq, stored_at, subject, headers, payload, reason)
    VALUES (?, 7, UTC_TIMESTAMP(6), 'order.created', '[[\"ce-id\", \"grace.hopper@example.org\"]]',
            '{\"email\": \"grace.hopper@example.org\"}', '\"grace.hopper@example.org\" is no number')";
const INTO_EFFECT: &str = "INSERT INTO effect (id, queue, subject, kind, body, state, last_error)
    VALUES (?, 'x', ?, 'x', '{\"to\": \"\\\\\"grace.hopper@example.org\\\\\"\"}', 'dead', ?)";
const INTO_EFFECT_ACTION: &str = "INSERT INTO effect_action (actor, action, effect_id, last_error, reason)
    VALUES ('eve', 'requeue', ?, 'grace.hopper@example.org', 'asked grace.hopper%40example.org')";

async fn effect(admin: &MySqlPool, id: &[u8]) {
    let effect = sqlx::query(INTO_EFFECT).bind(id).bind(ID).bind(REFUSAL);
    effect.execute(admin).await.unwrap();
    sqlx::query(INTO_EFFECT_ACTION).bind(id).execute(admin).await.unwrap();
}

/// The three databases, with an address wherever one can come to.
struct Databases {
    orders: Database,
    notifications: Database,
    payments: Database,
}

impl Databases {
    async fn full_of_addresses(engine: Engine) -> Self {
        let id = ID.parse::<uuid::Uuid>().unwrap().into_bytes();
        let orders = Database::create(engine, &ORDERS).await;
        let admin = orders.admin_pool().await;
        let event = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, headers, state, last_error)
                     VALUES (?, 'customer', 'grace.hopper@example.org', 'customer.left', 'customer.left',
                             '{\"email\": \"grace.hopper@example.org\"}', '{\"by\": \"grace.hopper@example.org\"}', 'dead', ?)";
        sqlx::query(event).bind(id.as_slice()).bind(REFUSAL).execute(&admin).await.unwrap();
        let pause = "INSERT INTO outbox_pause (pattern, reason, paused_by) VALUES ('x', 'grace.hopper@example.org called', 'eve')";
        admin.execute(pause).await.unwrap();
        sqlx::query(INTO_INBOX_DEAD).bind("order-svc").execute(&admin).await.unwrap();
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let admin = notifications.admin_pool().await;
        effect(&admin, &id).await;
        sqlx::query(INTO_INBOX_DEAD).bind("notify-svc").execute(&admin).await.unwrap();
        for sql in [
            "INSERT INTO suppression (address, cause, added_by, reason) VALUES ('grace.hopper@example.org', 'bounce', 'eve', ?)",
            "INSERT INTO suppression_action (actor, action, address, cause, reason) VALUES ('eve', 'add', 'grace.hopper@example.org', 'bounce', ?)",
        ] {
            sqlx::query(sql).bind(REFUSAL).execute(&admin).await.unwrap();
        }
        let notification = "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity) VALUES (?, ?, 'x', ?, 'tea', 1)";
        let notification = sqlx::query(notification).bind(id.as_slice()).bind(id.as_slice()).bind(id.as_slice());
        notification.execute(&admin).await.unwrap();
        let payments = Database::create(engine, &PAYMENTS).await;
        let admin = payments.admin_pool().await;
        effect(&admin, &id).await;
        let payment = "INSERT INTO payments (id, order_id, amount_minor, currency, state, charge_id) VALUES (?, ?, 1000, 'EUR', 'due', ?)";
        let payment = sqlx::query(payment).bind(id.as_slice()).bind(id.as_slice()).bind(id.as_slice());
        payment.execute(&admin).await.unwrap();
        Self { orders, notifications, payments }
    }

    /// The database of a program's verbs, and its name.
    fn of(&self, program: &str) -> (&Database, &'static Definition) {
        match program {
            "notify-svc" => (&self.notifications, &NOTIFICATIONS),
            "payment-svc" => (&self.payments, &PAYMENTS),
            _ => (&self.orders, &ORDERS),
        }
    }

    fn run(&self, program: &str, verb: &[&str], more: &[&str], role: &str) -> Output {
        let (database, definition) = self.of(program);
        let url = database.url(&format!("{}_{role}", definition.name));
        run(program, &[verb, more].concat(), &[("DATABASE_URL", url.as_str()), ("USER", "eve")])
    }

    /// Who had which verbs of this program's database print addresses.
    async fn recorded(&self, program: &str) -> Vec<(String, String)> {
        let (database, definition) = self.of(program);
        let inspector = database.pool(&format!("{}_inspector", definition.name)).await;
        sqlx::query_as("SELECT actor, verb FROM disclosure ORDER BY id").fetch_all(&inspector).await.unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

both_engines! {
    async fn a_verb_shows_addresses_only_if_asked_and_on_record(engine: Engine) {
        let databases = Databases::full_of_addresses(engine).await;
        for (program, verb, status) in VERBS {
            for format in [&[][..], &["--json"]] {
                let masked = databases.run(program, verb, format, "operator");
                let said_masked = said(&masked);
                assert_eq!(masked.status.code(), Some(status), "{program} {verb:?}: {said_masked}");
                assert!(!said_masked.contains(MARK), "{program} {verb:?}: {said_masked}");
                assert!(["***@example.org", "***%40example.org"].iter().any(|masked| said_masked.contains(masked)), "{said_masked}");

                let before = databases.recorded(program).await;
                let asked = [format, &[SHOW, "--actor", "grace"]].concat();
                let shown = databases.run(program, verb, &asked, "operator");
                assert_eq!(shown.status.code(), Some(status), "{program} {verb:?}: {}", said(&shown));
                assert!(said(&shown).contains(MARK) && !said(&shown).contains("***"), "{program} {verb:?}: {}", said(&shown));
                let words = [&[program][..], verb, &asked].concat().join(" ");
                let words = words.replace("not.grace.hopper", "n***").replace(MARK, "g***");
                assert_eq!(databases.recorded(program).await, [before, vec![("grace".to_owned(), words)]].concat());
                if !format.is_empty() {
                    serde_json::from_slice::<serde_json::Value>(&masked.stdout).unwrap();
                }
            }
        }
    }

    async fn nothing_is_shown_or_changed_where_it_can_not_be_recorded(engine: Engine) {
        let databases = Databases::full_of_addresses(engine).await;
        let add = ("notify-svc", &["suppression", "add", "x@example.org", "--reason", "x"][..], 0);
        for (program, verb, _) in VERBS.into_iter().chain([add]) {
            let refused = databases.run(program, verb, &[SHOW], "inspector");
            let why = said(&refused);
            assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{program} {verb:?}: {why}");
            assert!(why.contains("can't be recorded, so nothing was shown or changed") && why.contains("denied"), "{why}");
            assert!(!why.contains(MARK), "{why}");
        }
        let admin = databases.notifications.admin_pool().await;
        admin.execute("DROP TABLE disclosure").await.unwrap();
        let refused = databases.run("notify-svc", add.1, &[SHOW], "operator");
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        let suppressed = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM suppression").fetch_one(&admin).await.unwrap();
        assert_eq!(suppressed, 1, "all that was there before");
        assert!(databases.run("notify-svc", &["suppression", "list"], &[], "operator").status.success(), "masked it needs no record");
    }

    async fn an_error_and_a_record_have_no_address_and_no_password(engine: Engine) {
        let databases = Databases::full_of_addresses(engine).await;
        let resume = databases.run("outbox-relay", &["subject", "resume", GRACE], &[SHOW], "operator");
        assert!(resume.status.code() == Some(3) && said(&resume).contains("g***@example.org is not paused"), "{}", said(&resume));
        let url = databases.orders.url("orders_operator");
        let list = run("outbox-relay", &["event", "list", SHOW, "--database-url", &url, "--actor", "eve"], &[]);
        assert!(list.status.success(), "{}", said(&list));
        let recorded = databases.recorded("outbox-relay").await.pop().unwrap();
        let expected = ("eve", "outbox-relay event list --show-personal-data --database-url ... --actor eve");
        assert_eq!((recorded.0.as_str(), recorded.1.as_str()), expected);
    }

    async fn an_inspector_reads_no_address_in_a_view_or_by_a_query(engine: Engine) {
        let databases = Databases::full_of_addresses(engine).await;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/inspect");
        let query = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).unwrap().trim_end().trim_end_matches(';').to_owned();
        for (program, from, column) in [
            ("notify-svc", "effect_text".to_owned(), "last_error"),
            ("notify-svc", "notifications_text".to_owned(), "last_error"),
            ("notify-svc", format!("({}) AS q", query("notifications/suppressed.sql")), "reason"),
            ("notify-svc", format!("({}) AS q", query("notifications/dead_messages.sql")), "reason"),
            ("payment-svc", "effect_text".to_owned(), "last_error"),
            ("payment-svc", format!("({}) AS q", query("payments/stuck.sql")), "last_error"),
            ("payment-svc", format!("({}) AS q", query("payments/order_payment.sql")), "last_error"),
        ] {
            let (database, definition) = databases.of(program);
            let inspector = database.pool(&format!("{}_inspector", definition.name)).await;
            let sql = format!("SELECT {column} FROM {from}");
            let found: String = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&inspector).await.unwrap();
            assert!(found.contains("***@example.org") && !found.contains("hopper"), "{sql}: {found}");
        }
    }
}

/// The verbs of a program that end with these words, as its help lists them.
fn verbs(program: &str, words: &[String]) -> Vec<Vec<String>> {
    let help = help(program, words);
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return vec![words.to_vec()] };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   ")));
    names
        .filter(|name| *name != "help")
        .flat_map(|name| verbs(program, &[words, &[name.to_owned()]].concat()))
        .collect()
}

fn help(program: &str, words: &[String]) -> String {
    let output = Command::new(binary(program)).args(words).arg("--help").env_clear().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_verb_can_be_asked_to_show_personal_data() {
    for (program, least) in [("order-svc", 9), ("outbox-relay", 12), ("notify-svc", 22), ("payment-svc", 15)] {
        let mut verbs = verbs(program, &[]);
        // Those that print nothing of a table.
        verbs.retain(|verb| !["run", "migrate", "health", "completions", "man"].contains(&verb[0].as_str()));
        assert!(verbs.len() >= least, "{program}: {verbs:?}");
        for verb in verbs {
            assert!(help(program, &verb).contains(SHOW), "{program} {verb:?}");
        }
    }
}
