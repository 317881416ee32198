//! `recipient_mails`: how many emails each recipient gets within an hour of the clock, by the digest of the address. The database
//! makes addresses lower case, as it does in `suppression`, and says which hour it is.
//!
//! Guarantees that no more places are taken within an hour than there are, whoever asks at once: each is taken by one statement of
//! its own, before the email is sent, and no lock outlives it. A place that nobody gives back is lost until the hour is over.

use std::time::Duration;

use runtime::mysql::{Pool, Receipt};

/// Room for one email within an hour.
#[derive(Debug)]
pub struct Place {
    hour: u32,
}

/// What somebody is told who wants a place.
#[derive(Debug)]
pub enum Booking {
    /// It is theirs.
    Taken(Place),
    /// There is none until the hour ends, which takes so long.
    Full(Duration),
}

/// Takes a place if the recipient has fewer than so many within the hour that runs. Keeps no lock.
///
/// # Errors
/// Any fault; a place may be taken then.
pub async fn take(pool: &Pool, address: &str, mails_max: u32) -> sqlx::Result<Booking> {
    let now = sqlx::query!(
        r#"SELECT CAST(UNIX_TIMESTAMP() DIV 3600 AS UNSIGNED) AS "hour!: u32",
                  CAST(3600 - UNIX_TIMESTAMP() % 3600 AS UNSIGNED) AS "seconds_left!: u64""#
    );
    let now = now.fetch_one(pool).await?;
    let is_taken = is_first(pool, now.hour, address).await? || is_next(pool, now.hour, address, mails_max).await?;
    let full = Booking::Full(Duration::from_secs(now.seconds_left));
    Ok(if is_taken { Booking::Taken(Place { hour: now.hour }) } else { full })
}

async fn is_first(pool: &Pool, hour: u32, address: &str) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO recipient_mails (hour, recipient, mails)
         VALUES (?, UNHEX(SHA2(LOWER(?), 256)), 1)",
        hour,
        address,
    );
    Ok(Receipt::of(inserted.execute(pool).await)? == Receipt::First)
}

async fn is_next(pool: &Pool, hour: u32, address: &str, mails_max: u32) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "UPDATE recipient_mails
         SET mails = mails + 1
         WHERE hour = ? AND recipient = UNHEX(SHA2(LOWER(?), 256)) AND mails < ?",
        hour,
        address,
        mails_max,
    );
    Ok(updated.execute(pool).await?.rows_affected() == 1)
}

/// Gives a place back whose email did not leave. Keeps no lock.
///
/// # Errors
/// Any fault.
pub async fn give_back(pool: &Pool, address: &str, place: Place) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE recipient_mails
         SET mails = mails - 1
         WHERE hour = ? AND recipient = UNHEX(SHA2(LOWER(?), 256)) AND mails > 0",
        place.hour,
        address,
    )
    .execute(pool)
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
