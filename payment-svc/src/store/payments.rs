//! The tables `payments` and `prices`.

use chrono::{DateTime, Utc};
use runtime::mysql::{Pool, Receipt, Transaction};
use runtime::page::Page;
use schema::ids::{EffectId, OrderId, PaymentId};
use sqlx::query_as;

use crate::payment::State;

/// What a product costs.
#[derive(Clone, Debug)]
pub struct Price {
    /// Of one, in the currency's minor unit.
    pub unit_minor: u32,
    /// ISO 4217.
    pub currency: String,
}

/// A payment that is not written yet.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Its id.
    pub id: PaymentId,
    /// The order that it pays.
    pub order_id: OrderId,
    /// In the currency's minor unit.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
    /// The effect that takes the money.
    pub charge_id: EffectId,
}

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The order that it pays.
    pub order_id: OrderId,
    /// In the currency's minor unit.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands.
    pub state: State,
    /// Of its last event; 0 before the first.
    pub version: u32,
    /// The effect that takes the money.
    pub charge_id: EffectId,
    /// What the provider calls what can be paid once.
    pub intent: Option<String>,
    /// What the provider calls the charge.
    pub provider_ref: Option<String>,
    /// The provider's reason for its no.
    pub decline_reason: Option<String>,
    /// UTC.
    pub created_at: DateTime<Utc>,
    /// UTC.
    pub updated_at: DateTime<Utc>,
}

/// What changes when something happened to a payment whose row is locked.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Where it stands now.
    pub state: State,
    /// Of its last event.
    pub version: u32,
    /// The effect that gives the money back, if it was wanted now.
    pub refund_id: Option<EffectId>,
    /// What the provider calls the charge, if that is known now.
    pub provider_ref: Option<&'a str>,
    /// The provider's reason for its no, if it said no now.
    pub decline_reason: Option<&'a str>,
}

/// The product's own price, or the one of every other product. Locks nothing.
///
/// # Errors
/// Any fault; `RowNotFound` if there is neither.
pub async fn price(tx: &mut Transaction, product: &str) -> sqlx::Result<Price> {
    query_as!(
        Price,
        r#"SELECT unit_minor, currency
           FROM prices
           WHERE product IN (?, '')
           ORDER BY product DESC
           LIMIT 1"#,
        product,
    )
    .fetch_one(&mut *tx)
    .await
}

/// Inserts a payment that is due. Locks its row. Its order may have one already.
///
/// # Errors
/// Any fault.
pub async fn insert(tx: &mut Transaction, new: &NewPayment) -> sqlx::Result<Receipt> {
    let inserted = sqlx::query!(
        "INSERT INTO payments (id, order_id, amount_minor, currency, state, charge_id)
         VALUES (?, ?, ?, ?, 'due', ?)",
        new.id,
        new.order_id,
        new.amount_minor,
        new.currency,
        new.charge_id,
    );
    Receipt::of(inserted.execute(&mut *tx).await)
}

/// The payment of an order. Locks its row until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn lock_of_order(tx: &mut Transaction, order_id: OrderId) -> sqlx::Result<Option<Payment>> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments
           WHERE order_id = ?
           FOR UPDATE"#,
        order_id,
    )
    .fetch_optional(&mut *tx)
    .await
}

/// A payment. Locks its row until the transaction ends.
///
/// # Errors
/// Any fault; `RowNotFound` if there is none.
pub async fn lock(tx: &mut Transaction, id: PaymentId) -> sqlx::Result<Payment> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments
           WHERE id = ?
           FOR UPDATE"#,
        id,
    )
    .fetch_one(&mut *tx)
    .await
}

/// A payment, as it is now. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn find(pool: &Pool, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments
           WHERE id = ?"#,
        id,
    )
    .fetch_optional(pool)
    .await
}

/// A page of the payments of an order, which has one at most. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn of_order(pool: &Pool, order_id: OrderId, state: Option<State>, page: Page) -> sqlx::Result<Vec<Payment>> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments
           WHERE order_id = ? AND id < ? AND state = COALESCE(?, state)
           LIMIT ?"#,
        order_id,
        PaymentId(page.below),
        state.map(State::as_str),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the payments in a state, newest first. Locks nothing. Left to itself MariaDB walks the whole table, in the
/// belief that a page of a rare state must be near.
///
/// # Errors
/// Any fault.
pub async fn in_state(pool: &Pool, state: State, page: Page) -> sqlx::Result<Vec<Payment>> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments FORCE INDEX (state_id)
           WHERE state = ? AND id < ?
           ORDER BY id DESC
           LIMIT ?"#,
        state.as_str(),
        PaymentId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of all payments, newest first. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn all(pool: &Pool, page: Page) -> sqlx::Result<Vec<Payment>> {
    query_as!(
        Payment,
        r#"SELECT id AS "id: PaymentId", order_id AS "order_id: OrderId", amount_minor, currency, state AS "state: State",
                  version, charge_id AS "charge_id: EffectId", intent, provider_ref, decline_reason,
                  created_at AS "created_at: DateTime<Utc>", updated_at AS "updated_at: DateTime<Utc>"
           FROM payments
           WHERE id < ?
           ORDER BY id DESC
           LIMIT ?"#,
        PaymentId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// Records the provider's intent of a payment that has none; another process may have recorded one. Locks its row.
///
/// # Errors
/// Any fault.
pub async fn record_intent(pool: &Pool, id: PaymentId, intent: &str) -> sqlx::Result<Receipt> {
    let recorded = sqlx::query!("UPDATE payments SET intent = ? WHERE id = ? AND intent IS NULL", intent, id);
    let rows = recorded.execute(pool).await?.rows_affected();
    Ok(if rows == 1 { Receipt::First } else { Receipt::Duplicate })
}

/// Changes a payment whose row is locked.
///
/// # Errors
/// Any fault.
pub async fn change(tx: &mut Transaction, id: PaymentId, change: Change<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE payments
         SET state = ?, version = ?, refund_id = COALESCE(?, refund_id), provider_ref = COALESCE(?, provider_ref),
             decline_reason = COALESCE(?, decline_reason), updated_at = UTC_TIMESTAMP(6)
         WHERE id = ?",
        change.state.as_str(),
        change.version,
        change.refund_id,
        change.provider_ref,
        change.decline_reason,
        id,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
