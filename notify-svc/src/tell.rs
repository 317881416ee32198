//! A customer is told something: the notification and its email are written together.

use inbox::Applied;
use runtime::mysql::{Receipt, Transaction};

use crate::email::QUEUE;
use crate::notification::NewNotification;
use crate::store::{notifications, suppression};

/// Writes notifications and enqueues their emails, in the transaction of the events that they tell of. The email of a recipient
/// who gets nothing is withdrawn at once; whoever is suppressed later is found so when the email is about to be sent.
///
/// # Errors
/// Those of the database.
pub async fn write(tx: &mut Transaction, told: &[&NewNotification]) -> sqlx::Result<Applied> {
    let recipients: Vec<_> = told.iter().map(|notification| notification.recipient.as_str()).collect();
    let causes = suppression::causes(tx, &recipients).await?;
    let cause = |notification: &NewNotification| causes.get(&notification.recipient).copied();
    let told: Vec<_> = told.iter().map(|notification| (*notification, cause(notification))).collect();
    if notifications::insert_all(tx, &told).await? == Receipt::Duplicate {
        return Ok(Applied::Duplicate);
    }
    let emails: Vec<_> = told.iter().map(|(notification, _)| notification.email()).collect();
    if effect::enqueue_all(tx, QUEUE, &emails).await? == Receipt::Duplicate {
        return Ok(Applied::Duplicate);
    }
    for (email, (_, cause)) in emails.iter().zip(&told) {
        if let Some(cause) = cause {
            effect::withdraw(tx, email.id, &cause.told()).await?;
        }
    }
    Ok(Applied::Done)
}
