//! Payments that wait for a person, and `payment_action`, the record of what people decided about them.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Transaction};
use runtime::operator::decision::By;
use schema::ids::{EffectId, OrderId, PaymentId};
use serde::Serialize;

use super::payments::Payment;
use crate::payment::State;

/// Where counting stops.
const COUNT_MAX: u32 = 10_000;

/// A payment that nothing is tried for any more, though it is at no end.
#[derive(Clone, Debug, Serialize)]
pub struct Stuck {
    /// The payment.
    pub id: PaymentId,
    /// The order that it pays.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: State,
    /// In the currency's minor unit.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
    /// Its last charge or refund.
    pub effect_id: EffectId,
    /// `charge` or `refund`.
    pub effect: String,
    /// What became of that: `dead`, `discarded`, or `purged` once it was discarded too long ago to be kept.
    pub effect_state: String,
    /// Whether the money may have moved; nobody knows once the effect is purged.
    pub is_unknown: bool,
    /// What the provider said last.
    pub reason: Option<String>,
    /// Since when it stands so.
    pub updated_at: DateTime<Utc>,
}

/// Those of them above an id, by id. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn list(pool: &Pool, after: PaymentId, lines_max: u32) -> sqlx::Result<Vec<Stuck>> {
    sqlx::query_as!(
        Stuck,
        r#"SELECT p.id AS "id: PaymentId", p.order_id AS "order_id: OrderId", p.state AS "state: State", p.amount_minor,
                  p.currency, COALESCE(p.refund_id, p.charge_id) AS "effect_id!: EffectId",
                  IF(p.refund_id IS NULL, 'charge', 'refund') AS "effect!", COALESCE(e.state, 'purged') AS "effect_state!",
                  COALESCE(e.is_unknown, 1) AS "is_unknown!: bool", COALESCE(e.last_error, p.decline_reason) AS reason,
                  p.updated_at AS "updated_at: DateTime<Utc>"
           FROM payments AS p
           LEFT JOIN effect AS e ON e.id = COALESCE(p.refund_id, p.charge_id)
           WHERE p.id > ?
             AND (p.state = 'refund_declined'
                  OR p.state IN ('due', 'cancelling', 'refunding') AND COALESCE(e.state, 'purged') IN ('dead', 'discarded', 'purged'))
           ORDER BY p.id
           LIMIT ?"#,
        after,
        lines_max,
    )
    .fetch_all(pool)
    .await
}

/// Some of them, by id, found as [`count`] finds them but for those whose effect is purged: cheap at any size of the tables.
/// Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn some(pool: &Pool, lines_max: u32) -> sqlx::Result<Vec<Stuck>> {
    sqlx::query_as!(
        Stuck,
        r#"SELECT p.id AS "id: PaymentId", p.order_id AS "order_id: OrderId", p.state AS "state: State", p.amount_minor,
                  p.currency, COALESCE(p.refund_id, p.charge_id) AS "effect_id!: EffectId",
                  IF(p.refund_id IS NULL, 'charge', 'refund') AS "effect!", COALESCE(e.state, 'purged') AS "effect_state!",
                  COALESCE(e.is_unknown, 1) AS "is_unknown!: bool", COALESCE(e.last_error, p.decline_reason) AS reason,
                  p.updated_at AS "updated_at: DateTime<Utc>"
           FROM ((SELECT id FROM payments WHERE state = 'refund_declined' LIMIT ?)
                 UNION
                 (SELECT o.id
                  FROM effect AS f FORCE INDEX (state_id)
                  JOIN payments AS o ON o.id = UNHEX(REPLACE(f.subject, '-', ''))
                  WHERE f.state IN ('dead', 'discarded') AND o.state IN ('due', 'cancelling', 'refunding')
                  LIMIT ?)) AS stuck
           JOIN payments AS p ON p.id = stuck.id
           LEFT JOIN effect AS e ON e.id = COALESCE(p.refund_id, p.charge_id)
           ORDER BY p.id
           LIMIT ?"#,
        lines_max,
        lines_max,
        lines_max,
    )
    .fetch_all(pool)
    .await
}

/// How many there are, each kind up to 10,000: from the effects that are given up to their payments, by the indexes of the
/// states; and those whose effect is purged among the first 10,000 of a state, because such a payment is older than others.
/// Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn count(pool: &Pool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM payments WHERE state = 'refund_declined' LIMIT ?) AS declined)
                + (SELECT COUNT(*)
                   FROM (SELECT 1
                         FROM effect AS e FORCE INDEX (state_id)
                         JOIN payments AS p ON p.id = UNHEX(REPLACE(e.subject, '-', ''))
                         WHERE e.state IN ('dead', 'discarded') AND p.state IN ('due', 'cancelling', 'refunding')
                         LIMIT ?) AS given_up)
                + (SELECT COUNT(*)
                   FROM (SELECT COALESCE(refund_id, charge_id) AS effect_id
                         FROM payments FORCE INDEX (state_id)
                         WHERE state IN ('due', 'cancelling', 'refunding')
                         ORDER BY state, id
                         LIMIT ?) AS open
                   LEFT JOIN effect AS e ON e.id = open.effect_id
                   WHERE e.id IS NULL) AS "stuck!: i64""#,
        COUNT_MAX,
        COUNT_MAX,
        COUNT_MAX,
    )
    .fetch_one(pool)
    .await
}

/// What was last asked of the provider for a payment: its refund, or else its charge. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn last_effect(tx: &mut Transaction, id: PaymentId) -> sqlx::Result<EffectId> {
    let found = sqlx::query!(
        r#"SELECT charge_id AS "charge_id: EffectId", refund_id AS "refund_id: EffectId" FROM payments WHERE id = ?"#,
        id,
    );
    let found = found.fetch_one(&mut *tx).await?;
    Ok(found.refund_id.unwrap_or(found.charge_id))
}

/// Records a decision about a payment whose row is locked.
///
/// # Errors
/// Any fault.
pub async fn record(tx: &mut Transaction, by: By<'_>, action: &str, payment: &Payment) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO payment_action (actor, action, payment_id, state_before, reason)
         VALUES (?, ?, ?, ?, ?)",
        by.actor,
        action,
        payment.id,
        payment.state.as_str(),
        by.reason,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
