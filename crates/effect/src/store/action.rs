//! What people see and decide about effects: `effect` as they list it, and `effect_action`, the record of each decision, written
//! in the transaction that carries it out.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use schema::ids::EffectId;
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

/// Where an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub(crate) enum State {
    /// To be performed, or under way.
    Pending,
    /// Concluded.
    Done,
    /// Taken back by the service before it happened.
    Withdrawn,
    /// A person decides.
    Dead,
    /// A person gave it up.
    Discarded,
}

/// An effect and where it stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) id: EffectId,
    pub(crate) queue: String,
    pub(crate) subject: String,
    pub(crate) kind: String,
    pub(crate) state: State,
    /// Whether a process performs it now.
    pub(crate) is_under_way: bool,
    /// Whether it may have happened.
    pub(crate) is_unknown: bool,
    pub(crate) attempts: u32,
    pub(crate) put_off: u32,
    pub(crate) next_attempt_at: DateTime<Utc>,
    /// What the last attempt said.
    pub(crate) reason: Option<String>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Action {
    pub(crate) acted_at: DateTime<Utc>,
    pub(crate) actor: String,
    /// requeue or discard.
    pub(crate) action: String,
    /// What the last attempt had said.
    pub(crate) last_error: Option<String>,
    pub(crate) reason: String,
}

/// What a person does to effects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    /// Try them again, with all their attempts.
    Requeue,
    /// Never perform them.
    Discard,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
        }
    }
}

impl State {
    /// The name in the database and in answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

/// The effects of one state above an id, by id. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn list(pool: &Pool, state: State, after: EffectId, lines_max: u32) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        r#"SELECT id AS "id: EffectId", queue, subject, kind, state AS "state: State",
                  (state = 'pending' AND claimed_by IS NOT NULL) AS "is_under_way!: bool", is_unknown AS "is_unknown: bool",
                  attempts, put_off, next_attempt_at AS "next_attempt_at: DateTime<Utc>", last_error AS reason
           FROM effect
           WHERE state = ? AND id > ?
           ORDER BY id
           LIMIT ?"#,
        state.as_str(),
        after,
        lines_max,
    )
    .fetch_all(pool)
    .await
}

/// Some effects, by id; locks their rows until the transaction ends.
///
/// # Errors
/// Any fault.
pub(crate) async fn by_ids(tx: &mut Transaction, ids: &[EffectId]) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as!(
        Line,
        r#"SELECT id AS "id: EffectId", queue, subject, kind, state AS "state: State",
                  (state = 'pending' AND claimed_by IS NOT NULL) AS "is_under_way!: bool", is_unknown AS "is_unknown: bool",
                  attempts, put_off, next_attempt_at AS "next_attempt_at: DateTime<Utc>", last_error AS reason
           FROM effect
           WHERE id IN (SELECT UNHEX(REPLACE(list.id, '-', ''))
                        FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list)
           ORDER BY id
           FOR UPDATE"#,
        Json(ids),
    )
    .fetch_all(&mut *tx)
    .await
}

/// Ids of dead effects; only of those whose reason has a part in it if one is given. Locks their rows until the transaction
/// ends.
///
/// # Errors
/// Any fault.
pub(crate) async fn dead_ids(
    tx: &mut Transaction,
    error_part: Option<&str>,
    effects_max: u32,
) -> sqlx::Result<Vec<EffectId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: EffectId"
           FROM effect
           WHERE state = 'dead' AND (? IS NULL OR LOCATE(?, last_error) > 0)
           ORDER BY id
           LIMIT ?
           FOR UPDATE"#,
        error_part,
        error_part,
        effects_max,
    )
    .fetch_all(&mut *tx)
    .await
}

/// Records a decision about effects whose rows are locked.
///
/// # Errors
/// Any fault.
pub(crate) async fn record(tx: &mut Transaction, by: By<'_>, verb: Verb, effects: &[Line]) -> sqlx::Result<()> {
    let rows: Vec<_> = effects.iter().map(|effect| (effect.id.0.simple().to_string(), &effect.reason)).collect();
    sqlx::query!(
        "INSERT INTO effect_action (actor, action, effect_id, last_error, reason)
         SELECT ?, ?, UNHEX(list.id), list.last_error, ?
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id         CHAR(32)                            PATH '$[0]',
                                            last_error VARCHAR(1000) CHARACTER SET utf8mb4 PATH '$[1]')) AS list",
        by.actor,
        verb.as_str(),
        by.reason,
        Json(rows),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Gives effects whose rows are locked all their attempts again, from now on. Whether one may have happened stays.
///
/// # Errors
/// Any fault.
pub(crate) async fn requeue(tx: &mut Transaction, ids: &[EffectId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN effect AS e ON e.id = UNHEX(REPLACE(list.id, '-', ''))
         SET e.state = 'pending', e.attempts = 0, e.put_off = 0, e.next_attempt_at = UTC_TIMESTAMP(6), e.last_error = NULL,
             e.ended_at = NULL",
        Json(ids),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Gives up effects whose rows are locked.
///
/// # Errors
/// Any fault.
pub(crate) async fn discard(tx: &mut Transaction, ids: &[EffectId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN effect AS e ON e.id = UNHEX(REPLACE(list.id, '-', ''))
         SET e.state = 'discarded', e.ended_at = UTC_TIMESTAMP(6)",
        Json(ids),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// What the performer is told; none if there is no such effect. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn body(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Option<Value>> {
    let found = sqlx::query_scalar!(r#"SELECT body AS "body: Json<Value>" FROM effect WHERE id = ?"#, id);
    Ok(found.fetch_optional(&mut *tx).await?.map(|body| body.0))
}

/// What people decided about an effect, oldest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub(crate) async fn actions(tx: &mut Transaction, id: EffectId) -> sqlx::Result<Vec<Action>> {
    sqlx::query_as!(
        Action,
        r#"SELECT acted_at AS "acted_at: DateTime<Utc>", actor, action, last_error, reason
           FROM effect_action
           WHERE effect_id = ?
           ORDER BY id"#,
        id,
    )
    .fetch_all(&mut *tx)
    .await
}
