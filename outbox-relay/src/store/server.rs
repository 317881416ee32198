//! The version and the variables of the database server, and whether our user has the rights that it needs. Changes nothing and
//! locks nothing.

use std::collections::HashMap;

use runtime::mysql::Pool;
use sqlx::Row;

/// The plan of the claim.
#[derive(Debug)]
pub struct ClaimPlan {
    pub index: Option<String>,
    pub extra: String,
}

/// Variables that durability, isolation and strictness depend on, as this session has them, by lower-case name.
pub async fn variables(pool: &Pool) -> sqlx::Result<HashMap<String, String>> {
    named(pool, "SHOW SESSION VARIABLES").await
}

/// As [`variables`], as a new session gets them.
pub async fn global_variables(pool: &Pool) -> sqlx::Result<HashMap<String, String>> {
    named(pool, "SHOW GLOBAL VARIABLES").await
}

/// Typed by hand: the macros can't describe SHOW, and the two servers differ in it.
async fn named(pool: &Pool, show: &'static str) -> sqlx::Result<HashMap<String, String>> {
    let rows = sqlx::query(show).fetch_all(pool).await?;
    let pair = |row: &sqlx::mysql::MySqlRow| {
        Ok((
            row.try_get_unchecked::<String, _>(0)?.to_lowercase(),
            row.try_get_unchecked::<Option<String>, _>(1)?.unwrap_or_default(),
        ))
    };
    rows.iter().map(pair).collect()
}

/// How the server would run the claim. The statement is the claim's own, but for the columns that it reads.
pub async fn claim_plan(pool: &Pool) -> sqlx::Result<ClaimPlan> {
    let row = sqlx::query(
        "EXPLAIN FORMAT = TRADITIONAL
         SELECT seq, event_id, aggregate_type, payload
         FROM outbox FORCE INDEX (claim)
         WHERE state = 'pending'
           AND seq > 0
           AND (next_attempt_at IS NULL OR next_attempt_at <= UTC_TIMESTAMP(6))
         ORDER BY seq
         LIMIT 1000",
    )
    .fetch_one(pool)
    .await?;
    Ok(ClaimPlan {
        index: row.try_get_unchecked("key")?,
        extra: row.try_get_unchecked::<Option<String>, _>("Extra")?.unwrap_or_default(),
    })
}

/// Tries rights by statements that match no row: no seq is 0. The columns are all that a relay settles or heals; UPDATE is granted
/// on each.
pub async fn may_settle(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE outbox
         SET state           = state,
             attempts        = attempts,
             next_attempt_at = next_attempt_at,
             last_error      = last_error,
             published_at    = published_at,
             stream_seq      = stream_seq,
             heal_epoch      = heal_epoch
         WHERE seq = 0"
    )
    .execute(pool)
    .await
    .map(drop)
}

/// As [`may_settle`], for retention.
pub async fn may_purge(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM outbox WHERE seq = 0").execute(pool).await.map(drop)
}

/// As [`may_settle`], for the retention of what discarded events were.
pub async fn may_purge_discarded(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM outbox_discarded WHERE id = 0").execute(pool).await.map(drop)
}

/// As [`may_settle`], for the lease.
pub async fn may_lease(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!("UPDATE relay_lease SET epoch = epoch, outage = outage WHERE name = ''").execute(pool).await.map(drop)
}

/// As [`may_settle`], for the loss detector.
pub async fn may_watch(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!("UPDATE relay_stream SET healed = healed WHERE name = ''").execute(pool).await.map(drop)
}

/// As [`may_settle`], for following pauses.
pub async fn may_follow_pauses(pool: &Pool) -> sqlx::Result<()> {
    sqlx::query!("SELECT COUNT(*) AS pauses FROM outbox_pause").fetch_one(pool).await.map(drop)
}
