//! A customer is told something: the notification and its email are written together.

use inbox::Applied;
use runtime::mysql::{Receipt, Transaction};

use crate::email::QUEUE;
use crate::notification::NewNotification;
use crate::store::notifications;

/// Writes notifications and enqueues their emails, in the transaction of the events that they tell of. Whether a recipient gets
/// nothing is asked when the email is about to be sent.
///
/// # Errors
/// Those of the database.
pub async fn write(tx: &mut Transaction, told: &[&NewNotification]) -> sqlx::Result<Applied> {
    if notifications::insert_all(tx, told).await? == Receipt::Duplicate {
        return Ok(Applied::Duplicate);
    }
    let emails: Vec<_> = told.iter().map(|notification| notification.email()).collect();
    Ok(match effect::enqueue_all(tx, QUEUE, &emails).await? {
        Receipt::First => Applied::Done,
        Receipt::Duplicate => Applied::Duplicate,
    })
}
