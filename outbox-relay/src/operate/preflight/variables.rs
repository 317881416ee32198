//! Are the server and its sessions as durable, and as strict, as the promises need?

use std::collections::HashMap;

use super::finding::Severity::{Error, Warning};
use super::finding::{Finding, Severity};

/// A variable, what it must be, how bad another value is, and what that does.
type Check = (&'static str, fn(&str) -> bool, Severity, &'static str);

/// Of this session: a server, a proxy or an init_connect between may have changed it.
const SESSION: [Check; 6] = [
    ("autocommit", is_on, Error, "no settle and no lease is ever committed: events are published again and again"),
    (
        "binlog_format",
        |value| value != "STATEMENT",
        Error,
        "a binary log of statements can't keep what READ COMMITTED does: the server refuses every write with error 1665",
    ),
    ("sql_log_bin", is_on, Error, "replicas, and a failover to one, lack what the relay has settled"),
    ("transaction_read_only", is_off, Error, "no event can be settled; the relay waits"),
    (
        "time_zone",
        |value| value == "+00:00" || value == "UTC",
        Error,
        "times are written and compared in another zone than UTC",
    ),
    ("sql_safe_updates", is_off, Error, "the server refuses writes that name their rows by a list"),
];

/// Of new sessions, which the writers get.
const GLOBAL: [Check; 5] = [
    ("autocommit", is_on, Warning, "a writer that commits nothing itself loses its orders and events"),
    (
        "sql_mode",
        |value| value.contains("STRICT_"),
        Warning,
        "what a writer gives is changed without an error: in an aggregate's id what is no ASCII becomes ?, so two can become one, and a \
         date that is none becomes one",
    ),
    (
        "binlog_format",
        |value| value != "STATEMENT",
        Error,
        "a binary log of statements can't keep what READ COMMITTED does: the server refuses every write with error 1665",
    ),
    (
        "max_allowed_packet",
        |value| value.parse().is_ok_and(|bytes: u64| bytes >= 2 << 20),
        Warning,
        "an event of the largest size that brokers take can't be read or written",
    ),
    ("innodb_force_recovery", |value| value == "0", Error, "the database is being rescued, and parts of it are off"),
];

fn is_on(value: &str) -> bool {
    matches!(value, "ON" | "1")
}

fn is_off(value: &str) -> bool {
    matches!(value, "OFF" | "0")
}

/// A finding if the server has the variable, and not as it must be.
fn off((name, is_sound, severity, why): &Check, variables: &HashMap<String, String>, whose: &str) -> Option<Finding> {
    let value = variables.get(*name).filter(|value| !is_sound(value))?;
    let fix = format!("set {name} in the server's configuration, and let nothing between change it");
    Some(Finding::new(*severity, *name, format!("{name} of {whose} is {value}"), why, &fix))
}

/// What this session has, and below what every new session of others gets.
pub fn check(session: &HashMap<String, String>, global: &HashMap<String, String>) -> Vec<Finding> {
    let mut findings = server(session);
    findings.extend(SESSION.iter().filter_map(|check| off(check, session, "this session")));
    findings.extend(GLOBAL.iter().filter_map(|check| off(check, global, "new sessions")));
    findings
}

fn server(variables: &HashMap<String, String>) -> Vec<Finding> {
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
    let fix = "SET PERSIST innodb_flush_log_at_trx_commit = 1, or in the server's configuration";
    expect(flush == "1", Finding::new(Error, "innodb_flush_log_at_trx_commit", what, why, fix));

    let sync = value("sync_binlog").unwrap_or("unknown");
    let why = "after a crash of the machine replicas, and a failover to one, lack committed orders";
    let what = format!("the binary log is on and sync_binlog is {sync}");
    let finding = Finding::new(Error, "sync_binlog", what, why, "SET PERSIST sync_binlog = 1, or in the configuration");
    expect(sync == "1" || value("log_bin") == Some("OFF"), finding);

    let isolation = value("transaction_isolation").or(value("tx_isolation")).unwrap_or("unknown");
    let why = "a locking read that reaches the end of the outbox would block every order that is placed";
    let what = format!("the session's isolation is {isolation}");
    let fix = "let nothing between relay and server change the session: the relay sets READ COMMITTED itself";
    expect(isolation == "READ-COMMITTED", Finding::new(Error, "isolation", what, why, fix));

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

    fn settings(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| &*finding.setting).collect()
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
            check(&both.collect(), &HashMap::new())
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
}
