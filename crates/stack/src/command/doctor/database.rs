//! A database: whether it answers, has the schema of these programs, and what waits or is dead in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use chrono::{NaiveDateTime, Utc};
use runtime::config::Secret;
use schema::database::Definition;
use sqlx::{MySqlConnection, Row, query, query_scalar};
use stack::account;
use tokio::time::timeout;

use super::finding::Finding;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// An event that waits longer than this is late; the relay publishes within milliseconds.
const LAG_MAX_SECONDS: f64 = 30.0;

pub(super) async fn check(definition: &Definition, url: &Secret, has_outbox: bool) -> Vec<Finding> {
    let name = definition.name;
    let mut findings = Vec::new();
    let checked = timeout(ANSWERS_WITHIN, check_tables(definition, url, has_outbox, &mut findings)).await;
    let fault = match checked {
        Ok(Ok(())) => return findings,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("it does not answer within {ANSWERS_WITHIN:?}"),
    };
    let advice = "check its server and its log; the user needs the rights of an inspector (schema/grants)";
    findings.push(Finding::unwell(format!("database {name}"), fault, advice));
    findings
}

async fn check_tables(
    definition: &Definition,
    url: &Secret,
    has_outbox: bool,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let name = definition.name;
    let mut connection = account::connect(url.expose()).await.context("it can't be connected to")?;
    let version: String = query_scalar("SELECT VERSION()").fetch_one(&mut connection).await?;
    findings.push(Finding::well(format!("database {name}"), format!("answers, version {version}")));
    let before = Utc::now();
    let now: NaiveDateTime = query_scalar("SELECT UTC_TIMESTAMP(6)").fetch_one(&mut connection).await?;
    findings.push(Finding::clock(&format!("database {name}"), now.and_utc(), (before, Utc::now())));
    findings.push(schema(definition, &mut connection).await);
    if has_outbox {
        outbox(name, &mut connection, findings).await.context("reading the outbox")?;
    }
    findings.push(inbox(name, &mut connection).await.context("reading the inbox")?);
    Ok(())
}

async fn schema(definition: &Definition, connection: &mut MySqlConnection) -> Finding {
    let check = format!("schema of {}", definition.name);
    let advice = "run the service's verb `migrate` of the version that runs";
    let rows = query("SELECT version, checksum FROM _sqlx_migrations WHERE success").fetch_all(connection).await;
    let applied: BTreeMap<i64, Vec<u8>> = match rows {
        Ok(rows) => rows.iter().map(|row| (row.get("version"), row.get("checksum"))).collect(),
        Err(error) => return Finding::unwell(check, format!("its migrations can't be read: {error}"), advice),
    };
    let wanted = || definition.parts.iter().flat_map(|part| part.iter());
    let lacks: Vec<_> =
        wanted().filter(|it| !applied.contains_key(&it.version)).map(|it| it.version.to_string()).collect();
    let differs = wanted().find(|it| applied.get(&it.version).is_some_and(|applied| **applied != *it.checksum));
    let fault = match differs {
        _ if !lacks.is_empty() => Some(format!("it lacks the migrations {}", lacks.join(", "))),
        Some(other) => Some(format!("its migration {} is of other programs than this one", other.version)),
        None => None,
    };
    Finding::of(check, fault, format!("{} migrations, as this program knows them", applied.len()), advice)
}

async fn outbox(name: &str, connection: &mut MySqlConnection, findings: &mut Vec<Finding>) -> sqlx::Result<()> {
    let relay = "SELECT expires_at > UTC_TIMESTAMP(6) AS is_active, outage FROM relay_lease WHERE name = 'outbox'";
    let row = query(relay).fetch_one(&mut *connection).await?;
    let outage: Option<String> = row.get("outage");
    let fault = match (row.get::<i64, _>("is_active") == 1, outage) {
        (false, _) => Some("no relay is active".to_owned()),
        (true, Some(outage)) => Some(format!("the broker takes no events from it: {outage}")),
        (true, None) => None,
    };
    let advice = "start outbox-relay, or read its log and `outbox-relay status`";
    findings.push(Finding::of(format!("relay of {name}"), fault, "one is active".to_owned(), advice));
    let oldest = "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, inserted_at, UTC_TIMESTAMP(6)) / 1000000 AS DOUBLE)
                  FROM outbox WHERE state = 'pending' ORDER BY seq LIMIT 1";
    let oldest: Option<f64> = query_scalar(oldest).fetch_optional(&mut *connection).await?;
    let age = oldest.unwrap_or(0.0);
    let fault = (age > LAG_MAX_SECONDS).then(|| format!("its oldest event has waited for {age:.0} s"));
    let advice = "`outbox-relay status` says why; docs/operate.md, The backlog grows";
    findings.push(Finding::of(format!("lag of {name}"), fault, format!("{age:.1} s"), advice));
    let dead = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE state = 'dead' LIMIT 1000) AS dead";
    let dead: i64 = query_scalar(dead).fetch_one(connection).await?;
    let fault = (dead > 0).then(|| format!("{dead} events are dead"));
    let advice = "`outbox-relay event list --state dead`, then `event requeue` or `event discard`";
    findings.push(Finding::of(format!("events of {name}"), fault, "none is dead".to_owned(), advice));
    Ok(())
}

async fn inbox(name: &str, connection: &mut MySqlConnection) -> sqlx::Result<Finding> {
    let dead = "SELECT COUNT(*) FROM (SELECT 1 FROM inbox_dead WHERE resolution IS NULL LIMIT 1000) AS dead";
    let dead: i64 = query_scalar(dead).fetch_one(connection).await?;
    let fault = (dead > 0).then(|| format!("{dead} messages are dead"));
    let advice = "the service's verb `message list`, then `message requeue` or `message discard`";
    Ok(Finding::of(format!("messages of {name}"), fault, "none is dead".to_owned(), advice))
}
