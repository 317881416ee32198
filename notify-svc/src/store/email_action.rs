//! What people see and decide about emails: `notifications` as they list it, and `email_action`, the record of each
//! decision, written in the transaction that carries it out.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use schema::ids::{NotificationId, OrderId};
use serde::Serialize;
use sqlx::types::Json;

use crate::notification::EmailState;

/// An email and where it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Email {
    /// Its notification's id, the left part of the Message-ID.
    pub id: NotificationId,
    /// The order it is about.
    pub order_id: OrderId,
    /// For example `order.created`.
    pub event_type: String,
    /// pending, sent or dead.
    pub state: EmailState,
    /// Whether a sender has it now.
    pub is_under_way: bool,
    /// Attempts that were spent.
    pub attempts: u32,
    /// How often it was put off since the last of them.
    pub put_off: u32,
    /// When it is tried next, if it is pending.
    pub next_attempt_at: DateTime<Utc>,
    /// What the last try said.
    pub reason: Option<String>,
    /// When a person gave it up.
    pub discarded_at: Option<DateTime<Utc>>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
pub struct Action {
    /// When.
    pub acted_at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// requeue or discard.
    pub action: String,
    /// What the last try had said.
    pub last_error: Option<String>,
    /// Why.
    pub reason: String,
}

/// What a person does to emails.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    /// Try them again, with all their attempts.
    Requeue,
    /// Never send them.
    Discard,
}

/// The emails of one state above an id that nobody has given up, by id. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn list(pool: &Pool, state: EmailState, after: NotificationId, lines_max: u32) -> sqlx::Result<Vec<Email>> {
    sqlx::query_as!(
        Email,
        r#"SELECT id AS "id: NotificationId", order_id AS "order_id: OrderId", event_type, state AS "state: EmailState",
                  claimed_by IS NOT NULL AS "is_under_way!: bool", attempts, put_off,
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>", last_error AS reason,
                  discarded_at AS "discarded_at: DateTime<Utc>"
           FROM notifications
           WHERE state = ? AND discarded_at IS NULL AND id > ?
           ORDER BY id
           LIMIT ?"#,
        state.as_str(),
        after,
        lines_max,
    )
    .fetch_all(pool)
    .await
}

/// Some emails, by id; locks their rows until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn by_ids(tx: &mut Transaction, ids: &[NotificationId]) -> sqlx::Result<Vec<Email>> {
    sqlx::query_as!(
        Email,
        r#"SELECT id AS "id: NotificationId", order_id AS "order_id: OrderId", event_type, state AS "state: EmailState",
                  claimed_by IS NOT NULL AS "is_under_way!: bool", attempts, put_off,
                  next_attempt_at AS "next_attempt_at: DateTime<Utc>", last_error AS reason,
                  discarded_at AS "discarded_at: DateTime<Utc>"
           FROM notifications
           WHERE id IN (SELECT UNHEX(REPLACE(list.id, '-', ''))
                        FROM JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list)
           ORDER BY id
           FOR UPDATE"#,
        Json(ids),
    )
    .fetch_all(&mut **tx)
    .await
}

/// Ids of dead emails that nobody has given up; only of those whose reason has a part in it if one is given. Locks their
/// rows until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn dead_ids(
    tx: &mut Transaction,
    error_part: Option<&str>,
    emails_max: u32,
) -> sqlx::Result<Vec<NotificationId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: NotificationId"
           FROM notifications
           WHERE state = 'dead' AND discarded_at IS NULL AND (? IS NULL OR LOCATE(?, last_error) > 0)
           ORDER BY id
           LIMIT ?
           FOR UPDATE"#,
        error_part,
        error_part,
        emails_max,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Records a decision about emails whose rows are locked.
///
/// # Errors
/// Any fault.
pub async fn record(tx: &mut Transaction, by: By<'_>, verb: Verb, emails: &[Email]) -> sqlx::Result<()> {
    let rows: Vec<_> = emails.iter().map(|email| (email.id.0.simple().to_string(), &email.reason)).collect();
    sqlx::query!(
        "INSERT INTO email_action (actor, action, notification_id, last_error, reason)
         SELECT ?, ?, UNHEX(list.id), list.last_error, ?
         FROM JSON_TABLE(?, '$[*]' COLUMNS (id         CHAR(32)                            PATH '$[0]',
                                            last_error VARCHAR(1000) CHARACTER SET utf8mb4 PATH '$[1]')) AS list",
        by.actor,
        verb.as_str(),
        by.reason,
        Json(rows),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives emails whose rows are locked all their attempts again, from now on.
///
/// # Errors
/// Any fault.
pub async fn requeue(tx: &mut Transaction, ids: &[NotificationId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN notifications AS n ON n.id = UNHEX(REPLACE(list.id, '-', ''))
         SET n.state = 'pending', n.attempts = 0, n.put_off = 0, n.next_attempt_at = UTC_TIMESTAMP(6), n.last_error = NULL,
             n.discarded_at = NULL",
        Json(ids),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives up emails whose rows are locked.
///
/// # Errors
/// Any fault.
pub async fn discard(tx: &mut Transaction, ids: &[NotificationId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id CHAR(36) PATH '$')) AS list
         STRAIGHT_JOIN notifications AS n ON n.id = UNHEX(REPLACE(list.id, '-', ''))
         SET n.state = 'dead', n.discarded_at = UTC_TIMESTAMP(6)",
        Json(ids),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// To whom an email goes; none if there is no such email. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn recipient(tx: &mut Transaction, id: NotificationId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT recipient FROM notifications WHERE id = ?", id).fetch_optional(&mut **tx).await
}

/// What people decided about an email, oldest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn actions(tx: &mut Transaction, id: NotificationId) -> sqlx::Result<Vec<Action>> {
    sqlx::query_as!(
        Action,
        r#"SELECT acted_at AS "acted_at: DateTime<Utc>", actor, action, last_error, reason
           FROM email_action
           WHERE notification_id = ?
           ORDER BY id"#,
        id,
    )
    .fetch_all(&mut **tx)
    .await
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
        }
    }
}
