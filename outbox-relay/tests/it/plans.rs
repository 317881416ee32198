//! What is read grows with what is asked for, not with the outbox: 100,000 events. The statements are those of `.sqlx`,
//! with every service's that read the outbox.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Value, json};
use sqlx::mysql::{MySqlPoolOptions, MySqlRow};
use sqlx::{AssertSqlSafe, Executor, MySqlPool, Row};
use stack::testing::Database;
use stack::{Engine, both_engines};

/// Events that are dead, which some statements look through.
const DEAD: u64 = 500;
/// What each LIMIT is here.
const LIMIT: u64 = 1_000;

/// 90 of 100 events are published, the others pending but for 1,000 held ones of one order and some dead ones.
async fn fill(admin: &MySqlPool) {
    let insert =
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, subject, payload, state, published_at)
         WITH RECURSIVE a (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 315), n (i) AS
           (SELECT a.i * 317 + b.i FROM a JOIN (SELECT i FROM a UNION ALL SELECT 316) b)
         SELECT UNHEX(LPAD(HEX(i + 1), 32, '0')), 'order',
                IF(i BETWEEN 90000 AND 90999, 7, i DIV 3), 'order.created', 'order.created', '{}',
                CASE WHEN i >= 91000 THEN 'pending' WHEN i >= 90000 THEN 'held' WHEN i % 180 = 0 THEN 'dead' ELSE 'published' END,
                UTC_TIMESTAMP(6)
         FROM n WHERE i < 100000 ORDER BY i";
    assert_eq!(sqlx::query(insert).execute(admin).await.unwrap().rows_affected(), 100_000);
    sqlx::query("ANALYZE TABLE outbox").execute(admin).await.unwrap();
    // A statement for another token than this one changes nothing, whatever its plan.
    sqlx::query("UPDATE relay_lease SET holder = '0'").execute(admin).await.unwrap();
    let dead = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox WHERE state = 'dead'");
    assert_eq!(dead.fetch_one(admin).await.unwrap().unsigned_abs(), DEAD);
}

/// The statements that look for events, with something in the place of each parameter; lists have a hundred events.
fn statements() -> BTreeSet<String> {
    statements_for(50_000..50_100)
}

/// The same, and these events in lists.
pub fn statements_for(events: Range<u32>) -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let queries = files.map(|text| serde_json::from_str::<Value>(&text).unwrap()["query"].as_str().unwrap().to_owned());
    // An event that is appended is not looked for, and no event has the key 0.
    let looks = |query: &String| !query.starts_with("INSERT INTO outbox ") && !query.ends_with("seq = 0");
    let found: BTreeSet<_> = queries.filter(|query| !aliases(query).is_empty() && looks(query)).collect();
    assert!(found.len() > 30, "{found:#?}");
    found.iter().map(|query| filled_in(query, &events)).collect()
}

fn words(query: &str) -> Vec<&str> {
    query.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect()
}

/// What a statement calls the outbox.
fn aliases(query: &str) -> BTreeSet<&str> {
    let words = words(query);
    let is_table =
        |four: &&[&str]| ["FROM", "JOIN", "STRAIGHT_JOIN", "UPDATE"].contains(&four[0]) && four[1] == "outbox";
    let tables = words.windows(4).filter(is_table);
    tables.map(|four| if four[2] == "AS" { four[3] } else { "outbox" }).collect()
}

fn filled_in(query: &str, events: &Range<u32>) -> String {
    let parts: Vec<_> = query.split('?').collect();
    let between = parts.windows(2).map(|two| format!("{}{}", two[0], literal(two[0], two[1], events)));
    between.chain(parts.last().map(|last| (*last).to_owned())).collect()
}

/// What stands for a parameter, by what is before it. Keys are of the middle of the table, a single one of its end.
const LITERALS: [(&str, &str); 20] = [
    ("LIMIT ", "1000"),
    ("state = ", "'pending'"),
    ("event_type = ", "'order.created'"),
    ("aggregate_type = ", "'order'"),
    ("aggregate_id = ", "'7'"),
    ("_id = ", "UNHEX(LPAD('7', 32, '0'))"),
    ("name = ", "'outbox'"),
    ("epoch = ", "0"),
    ("holder = ", "'0'"),
    (") = ", "'0'"), // the token, read by a subquery
    ("seq <= ", "51000"),
    ("seq < ", "51000"),
    (" AND ", "51000"),
    (" seq = ", "95000"),
    (".seq = ", "95000"),
    ("stream_seq = ", "0"),
    ("occurred_at >= ", "'2026-01-01'"),
    ("occurred_at < ", "'2999-01-01'"),
    ("INTERVAL ", "1"),
    ("(", "'x'"),
];

fn literal(before: &str, after: &str, events: &Range<u32>) -> String {
    if before.ends_with("JSON_TABLE(") {
        return format!("'{}'", list(after.split(" AS ").next().unwrap(), events.clone()));
    }
    if after.starts_with(" IS NULL") {
        return "NULL".to_owned();
    }
    let known = LITERALS.iter().find(|(end, _)| before.ends_with(end));
    known.map_or("50000", |(_, literal)| *literal).to_owned()
}

/// Events as a JSON array with these columns.
fn list(columns: &str, events: Range<u32>) -> Value {
    let value = |column: &str, seq: u32| match column {
        "event_id" => json!(format!("{seq:032x}")),
        "seq" | "stream_seq" => json!(seq),
        _ => json!(0),
    };
    let columns = columns.split_once("COLUMNS (").unwrap().1;
    let names: Vec<_> = columns.split(',').map(|column| column.split_whitespace().next().unwrap()).collect();
    if columns.contains("PATH '$')") {
        return events.map(|seq| value(names[0], seq)).collect();
    }
    events.map(|seq| names.iter().map(|name| value(name, seq)).collect::<Value>()).collect()
}

/// Rows that this one session has read so far, by index, by position or by going through a table.
async fn rows_read(pool: &MySqlPool) -> u64 {
    let status: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    status.iter().map(|(_, number)| number.parse::<u64>().unwrap()).sum()
}

/// A statement's rows, and how many it read for them.
pub async fn cost(pool: &MySqlPool, statement: &str) -> (Vec<MySqlRow>, u64) {
    let (first, second) = (rows_read(pool).await, rows_read(pool).await);
    let rows = pool.fetch_all(AssertSqlSafe(statement)).await.unwrap();
    // Looking reads a table, too: as much as between the two looks before.
    (rows, rows_read(pool).await - second - (second - first))
}

both_engines! {
    async fn every_statement_finds_events_by_the_index_that_it_names(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let pool = database.admin_pool().await;
        fill(&pool).await;
        for statement in statements() {
            let plan = pool.fetch_all(AssertSqlSafe(format!("EXPLAIN FORMAT = TRADITIONAL {statement}"))).await;
            let plan = plan.unwrap_or_else(|error| panic!("{error}: {statement}"));
            let aliases = aliases(&statement);
            let mut seen = 0;
            for step in plan {
                let text = |column: &str| step.try_get_unchecked::<Option<String>, _>(column).unwrap().unwrap_or_default();
                let (table, kind, key, extra) = (text("table"), text("type"), text("key"), text("Extra"));
                if !aliases.contains(&*table) {
                    continue;
                }
                seen += 1;
                let rows: Option<u64> = step.try_get_unchecked("rows").unwrap();
                // The whole of an index may only be gone through from an end, for the first row.
                let is_found = !key.is_empty() && kind != "ALL" && (kind != "index" || rows.is_some_and(|rows| rows <= 1));
                assert!(is_found, "{table} by {kind} {key:?}, {rows:?} rows: {statement}");
                assert!(!extra.contains("filesort") || key == "aggregate", "{table} is sorted: {statement}");
                let named = statement.split("FORCE INDEX (").skip(1).filter_map(|rest| rest.split(')').next());
                let named: Vec<_> = named.collect();
                let is_named = named.is_empty() || named.contains(&&*key) || aliases.len() > 1;
                assert!(is_named, "{table} by {key}, not {named:?}: {statement}");
            }
            assert!(seen > 0, "the plan has no step for {aliases:?}: {statement}");
        }
    }

    async fn a_window_of_the_outbox_costs_a_windows_worth_of_100_000_events(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        fill(&database.admin_pool().await).await;
        let pool = MySqlPoolOptions::new().max_connections(1).connect(&database.admin_url()).await.unwrap();
        let limit = format!("LIMIT {LIMIT}");
        let windows: Vec<_> = statements().into_iter().filter(|s| s.starts_with("SELECT") && s.contains(&limit)).collect();
        assert!(windows.len() >= 8, "the claim, its look back, retention, held ones, lists: {windows:#?}");
        for window in windows {
            let (_, read) = cost(&pool, &window).await;
            // Each row is read from the table, then as a row of the window, and is joined, grouped or sorted.
            let most = 4 * LIMIT * window.matches(&limit).count() as u64 + 6 * DEAD + 50;
            assert!(read <= most, "{read} rows, not {most}: {window}");
        }
    }

    async fn a_comparison_with_the_stream_is_sent_nothing_that_is_proven(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        let pool = database.admin_pool().await;
        fill(&pool).await;
        let is_comparison = |s: &String| s.starts_with("SELECT") && s.contains("heal_epoch") && s.contains("is_expired");
        let comparison = statements().into_iter().find(is_comparison).unwrap();
        sqlx::query("UPDATE outbox SET stream_seq = seq").execute(&pool).await.unwrap();
        let sent = |proven: u64| comparison.replace("stream_seq > 50000", &format!("stream_seq > {proven}"));
        let all = pool.fetch_all(AssertSqlSafe(sent(0))).await.unwrap();
        let few = pool.fetch_all(AssertSqlSafe(sent(50_900))).await.unwrap();
        let published = all.iter().filter(|row| row.get::<u64, _>("stream_seq") > 50_900).count();
        assert!(all.len() > 900 && published < 101, "{} rows in the window", all.len());
        assert_eq!(few.len(), published);
    }

    async fn a_claim_reads_what_it_claims_whatever_is_held_dead_or_published(engine: Engine) {
        let database = Database::create(engine, &schema::database::ORDERS).await;
        fill(&database.admin_pool().await).await;
        let pool = MySqlPoolOptions::new().max_connections(1).connect(&database.admin_url()).await.unwrap();
        let is_claim = |s: &String| s.contains("FORCE INDEX (claim)") && s.contains("payload") && s.contains("headers");
        let claim = statements().into_iter().find(is_claim).unwrap().replace("seq > 50000", "seq > 0");
        let (claimed, read) = cost(&pool, &claim).await;
        assert_eq!((claimed.len() as u64, claimed[0].get::<u64, _>("seq")), (LIMIT, 91_001));
        assert!(read <= LIMIT + 2, "{read} rows");
    }
}
