//! Is the database as durable, and the claim as cheap, as the promises need?

use std::collections::HashMap;
use std::time::Duration;

use runtime::mysql::{Pool, is_transient};
use runtime::telemetry::chain;

use super::Finding;
use super::Severity::{Error, Warning};
use crate::store::server::{self, ClaimPlan};

const PATIENCE: Duration = Duration::from_secs(10);

/// Everything found; or, as an error, that the database does not answer.
pub async fn look(pool: &Pool) -> Result<Vec<Finding>, Finding> {
    match tokio::time::timeout(PATIENCE, ask(pool)).await {
        Ok(Ok(findings)) => Ok(findings),
        Ok(Err(error)) => Err(Finding::unasked("database", format!("the database does not answer: {}", chain(&error)))),
        Err(_) => Err(Finding::unasked("database", "the database does not answer in time".to_owned())),
    }
}

async fn ask(pool: &Pool) -> sqlx::Result<Vec<Finding>> {
    let mut findings = variables(&server::variables(pool).await?);
    match server::claim_plan(pool).await {
        Ok(plan) => findings.extend(claim(&plan)),
        Err(error) => findings.push(broken("claim", "the claim can't be planned", &lasting(error)?)),
    }
    let rights = [
        ("events can't be settled", server::may_settle(pool).await),
        ("published events can't be purged", server::may_purge(pool).await),
        ("the lease can't be taken", server::may_lease(pool).await),
        ("what the stream held can't be remembered", server::may_watch(pool).await),
        ("pauses can't be followed", server::may_follow_pauses(pool).await),
    ];
    for (what, tried) in rights {
        if let Err(error) = tried {
            findings.push(broken("grants", what, &lasting(error)?));
        }
    }
    Ok(findings)
}

/// The text of an error that is a finding; one that passes by itself ends the look.
fn lasting(error: sqlx::Error) -> sqlx::Result<String> {
    if is_transient(&error) { Err(error) } else { Ok(chain(&error)) }
}

fn broken(setting: &'static str, what: &str, error: &str) -> Finding {
    let mend = "apply schema/migrations/orders and schema/grants/orders.sql";
    Finding::new(Error, setting, format!("{what}: {error}"), "the relay can't do its work", mend)
}

fn claim(plan: &ClaimPlan) -> Option<Finding> {
    let sorts = plan.extra.contains("filesort");
    if plan.index.as_deref() == Some("claim") && !sorts {
        return None;
    }
    let index = plan.index.as_deref().unwrap_or("none");
    let what = format!("the claim would use the index {index}{}", if sorts { " and sort all it reads" } else { "" });
    let why = "each claim reads the whole backlog or the whole history, and the relay gets slower the more there is";
    Some(Finding::new(Error, "claim", what, why, "create the index: KEY claim (state, seq); then ANALYZE TABLE outbox"))
}

fn variables(variables: &HashMap<String, String>) -> Vec<Finding> {
    let value = |name: &str| variables.get(name).map(String::as_str);
    let mut findings = Vec::new();
    let mut expect = |is_sound: bool, finding: Finding| {
        if !is_sound {
            findings.push(finding);
        }
    };
    let version = value("version").unwrap_or("unknown");
    let why = "other versions are not tested, and lack or plan differently what the relay asks";
    let what = format!("the server is {version}");
    expect(
        is_known(version),
        Finding::new(Error, "version", what, why, "run MySQL 8.4 or later, or MariaDB 10.6 or later"),
    );

    let flush = value("innodb_flush_log_at_trx_commit").unwrap_or("unknown");
    let why = "a crash of the machine loses committed orders and settles of the last second";
    let what = format!("innodb_flush_log_at_trx_commit is {flush}");
    let mend = "SET PERSIST innodb_flush_log_at_trx_commit = 1, or in the server's configuration";
    expect(flush == "1", Finding::new(Error, "innodb_flush_log_at_trx_commit", what, why, mend));

    let sync = value("sync_binlog").unwrap_or("unknown");
    let why = "after a crash of the machine replicas, and a failover to one, lack committed orders";
    let what = format!("the binary log is on and sync_binlog is {sync}");
    let finding = Finding::new(Error, "sync_binlog", what, why, "SET PERSIST sync_binlog = 1, or in the configuration");
    expect(sync == "1" || value("log_bin") == Some("OFF"), finding);

    let isolation = value("transaction_isolation").or(value("tx_isolation")).unwrap_or("unknown");
    let why = "a locking read that reaches the end of the outbox would block every order that is placed";
    let what = format!("the session's isolation is {isolation}");
    let mend = "let nothing between relay and server change the session: the relay sets READ COMMITTED itself";
    expect(isolation == "READ-COMMITTED", Finding::new(Error, "isolation", what, why, mend));

    let why = "a crash of the machine in the middle of a page write can destroy the database";
    let what = "innodb_doublewrite is off".to_owned();
    let finding =
        Finding::new(Warning, "innodb_doublewrite", what, why, "turn it on, unless the file system writes pages whole");
    expect(value("innodb_doublewrite") != Some("OFF"), finding);

    let why = "no event can be settled; the relay waits";
    let finding = Finding::new(Error, "read_only", "the server is read-only".to_owned(), why, "connect to the primary");
    expect(value("read_only") != Some("ON"), finding);
    findings
}

/// MySQL 8.4 and later, MariaDB 10.6 and later.
fn is_known(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version_number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version.contains("MariaDB") { version_number >= (10, 6) } else { version_number >= (8, 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.setting).collect()
    }

    #[test]
    fn each_weak_variable_is_named() {
        let of = |pairs: &[(&str, &str)]| {
            let sound = [
                ("version", "9.7.0"),
                ("transaction_isolation", "READ-COMMITTED"),
                ("innodb_flush_log_at_trx_commit", "1"),
                ("log_bin", "ON"),
                ("sync_binlog", "1"),
            ];
            let both = sound.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            variables(&both.collect())
        };
        assert!(of(&[]).is_empty());
        assert_eq!(settings(&of(&[("innodb_flush_log_at_trx_commit", "2")])), ["innodb_flush_log_at_trx_commit"]);
        assert_eq!(settings(&of(&[("sync_binlog", "0")])), ["sync_binlog"]);
        assert!(of(&[("sync_binlog", "0"), ("log_bin", "OFF")]).is_empty());
        assert_eq!(settings(&of(&[("transaction_isolation", "REPEATABLE-READ")])), ["isolation"]);
        assert_eq!(settings(&of(&[("version", "8.0.36")])), ["version"]);
        assert_eq!(settings(&of(&[("read_only", "ON")])), ["read_only"]);
        assert!(of(&[("version", "10.11.6-MariaDB")]).is_empty());
    }

    #[test]
    fn a_claim_by_another_index_or_with_a_sort_is_an_error() {
        let plan = |index: &str, extra: &str| ClaimPlan { index: Some(index.to_owned()), extra: extra.to_owned() };
        assert!(claim(&plan("claim", "Using where")).is_none());
        assert!(claim(&plan("PRIMARY", "Using where")).is_some());
        assert!(claim(&plan("claim", "Using where; Using filesort")).is_some());
    }
}
