//! `recipient_mails`: how many emails each recipient got within the hour that runs, by the digest of the address. The database
//! makes addresses lower case, as it does in `suppression`.

use std::time::Duration;

use runtime::mysql::{Pool, Transaction};

/// How long it is until the hour ends, if the recipient got so many emails within it; none if there is room. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn wait(pool: &Pool, address: &str, mails_max: u32) -> sqlx::Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT CAST(3600 - UNIX_TIMESTAMP() % 3600 AS UNSIGNED) AS "seconds!: u64"
           FROM recipient_mails
           WHERE hour = UNIX_TIMESTAMP() DIV 3600 AND recipient = UNHEX(SHA2(LOWER(?), 256)) AND mails >= ?"#,
        address,
        mails_max,
    );
    Ok(seconds.fetch_optional(pool).await?.map(Duration::from_secs))
}

/// Counts an email that the transport took. Locks the recipient's row until the transaction ends.
///
/// # Errors
/// Any fault.
pub async fn count(tx: &mut Transaction, address: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO recipient_mails (hour, recipient, mails)
         VALUES (UNIX_TIMESTAMP() DIV 3600, UNHEX(SHA2(LOWER(?), 256)), 1)
         ON DUPLICATE KEY UPDATE mails = mails + 1",
        address,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Deletes the counts of hours that passed, the oldest first, by the primary key. Locks those rows.
///
/// # Errors
/// Any fault.
pub async fn purge(pool: &Pool, rows_max: u32) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM recipient_mails
         WHERE hour < UNIX_TIMESTAMP() DIV 3600
         ORDER BY hour
         LIMIT ?",
        rows_max,
    )
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
