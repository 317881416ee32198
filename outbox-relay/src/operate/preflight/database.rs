//! Is the database as durable, and the claim as cheap, as the promises need?

use std::time::Duration;

use runtime::mysql::Pool;
use runtime::telemetry::chain;
use sqlx::mysql::MySqlDatabaseError;

use super::finding::Finding;
use super::finding::Severity::Error;
use super::variables;
use crate::store::outbox_foreign::{self, Foreign};
use crate::store::server::{self, ClaimPlan};

const PATIENCE: Duration = Duration::from_secs(10);

/// Everything found; or, as an error, that the database does not answer.
pub async fn check(pool: &Pool) -> Result<Vec<Finding>, Finding> {
    match tokio::time::timeout(PATIENCE, ask(pool)).await {
        Ok(Ok(findings)) => Ok(findings),
        Ok(Err(error)) => Err(Finding::unasked("database", format!("the database does not answer: {}", chain(&error)))),
        Err(_) => Err(Finding::unasked("database", "the database does not answer in time".to_owned())),
    }
}

async fn ask(pool: &Pool) -> sqlx::Result<Vec<Finding>> {
    let mut findings = variables::check(&server::variables(pool).await?, &server::global_variables(pool).await?);
    match server::claim_plan(pool).await {
        Ok(plan) => findings.extend(claim(&plan)),
        Err(error) => findings.extend(refused("the claim can't be planned", error)?),
    }
    let rights = [
        ("events can't be settled", server::may_settle(pool).await),
        ("published events can't be purged", server::may_purge(pool).await),
        ("what discarded events were can't be purged", server::may_purge_discarded(pool).await),
        ("the lease can't be taken", server::may_lease(pool).await),
        ("what the stream held can't be remembered", server::may_watch(pool).await),
        ("pauses can't be followed", server::may_follow_pauses(pool).await),
    ];
    for (what, tried) in rights {
        if let Err(error) = tried {
            findings.extend(refused(what, error)?);
        }
    }
    match outbox_foreign::count(pool).await {
        Ok(rows) => findings.extend(foreign(&rows)),
        // Without its indexes it can't be read: that is a finding already.
        Err(error) => drop(refused("the outbox can't be read", error)?),
    }
    Ok(findings)
}

/// Rows that somebody with more rights than a writer's has made or changed.
fn foreign(rows: &Foreign) -> Vec<Finding> {
    let kinds = [
        (
            rows.unsettled,
            "are marked as published, and no relay published them",
            "no consumer gets them, and they are never purged",
        ),
        (
            rows.far_ahead,
            "wait for longer than an hour",
            "the relay has none wait so long, and they hold up what follows",
        ),
        (rows.undiscarded, "are tombstones that nobody discarded", "consumers step over what is in them"),
    ];
    let fix = "find who writes more than the columns of the contract, grant INSERT on these only, and correct the rows: \
                `outbox-relay event requeue` publishes those that no relay did";
    let found = kinds.into_iter().filter(|(count, ..)| *count > 0);
    found
        .map(|(count, what, why)| Finding::new(Error, "outbox", format!("{count} events or more {what}"), why, fix))
        .collect()
}

/// Refused for a variable of the server, which is a finding itself: read-only, or a binary log of statements.
const BY_A_VARIABLE: [u16; 5] = [1290, 1665, 1792, 1836, 3170];
/// Refused since something is not granted, or not there.
const BY_GRANTS_OR_SCHEMA: [u16; 9] = [1044, 1045, 1054, 1142, 1143, 1146, 1227, 1305, 1370];
/// The index that a statement names is not there.
const NO_INDEX: u16 = 1176;
const INDEX: &str = "create the index: KEY claim (state, seq); then ANALYZE TABLE outbox";
/// The rights are those of whoever asks.
const GRANTS: &str = "apply the migrations and the grants of the database, for orders: order-svc migrate and schema/grants/orders.sql; \
                      or ask as the relay's user, not as the one for people";
/// Passes by itself: too many connections, a shutdown, a wait for a lock, a deadlock, a statement that was ended.
const PASSING: [u16; 9] = [1040, 1053, 1203, 1205, 1213, 1226, 1317, 3024, 3032];

/// What a refused statement says; an error that passes by itself, or that the server did not answer, ends the check.
fn refused(what: &str, error: sqlx::Error) -> sqlx::Result<Option<Finding>> {
    let answer = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    let Some(number) = answer.map(MySqlDatabaseError::number).filter(|number| !PASSING.contains(number)) else {
        return Err(error);
    };
    if BY_A_VARIABLE.contains(&number) {
        return Ok(None);
    }
    let (setting, fix) = if number == NO_INDEX {
        ("claim", INDEX.to_owned())
    } else if BY_GRANTS_OR_SCHEMA.contains(&number) {
        ("grants", GRANTS.to_owned())
    } else {
        ("statements", format!("see what the server's manual says of error {number}"))
    };
    let what = format!("{what}: {}", chain(&error));
    Ok(Some(Finding::new(Error, setting, what, "the relay can't do its work", &fix)))
}

fn claim(plan: &ClaimPlan) -> Option<Finding> {
    let sorts = plan.extra.contains("filesort");
    if plan.index.as_deref() == Some("claim") && !sorts {
        return None;
    }
    let index = plan.index.as_deref().unwrap_or("none");
    let what = format!("the claim would use the index {index}{}", if sorts { " and sort all it reads" } else { "" });
    let why = "each claim reads the whole backlog or the whole history, and the relay gets slower the more there is";
    Some(Finding::new(Error, "claim", what, why, INDEX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_by_another_index_or_with_a_sort_is_an_error() {
        let plan = |index: &str, extra: &str| ClaimPlan { index: Some(index.to_owned()), extra: extra.to_owned() };
        assert!(claim(&plan("claim", "Using where")).is_none());
        assert!(claim(&plan("PRIMARY", "Using where")).is_some());
        assert!(claim(&plan("claim", "Using where; Using filesort")).is_some());
    }
}
