//! `notifications` and what became of their emails, page by page, newest first. Each statement names its index.

use runtime::mysql::Pool;
use runtime::page::Page;
use schema::ids::{NotificationId, OrderId};

use super::notifications::{Notification, notification_rows};
use crate::notification::EmailState;

/// A page of the notifications of an order, in any state or in one. Locks nothing.
///
/// # Errors
/// Any fault.
pub async fn of_order(
    pool: &Pool,
    order_id: OrderId,
    state: Option<EmailState>,
    page: Page,
) -> sqlx::Result<Vec<Notification>> {
    notification_rows!(
        "FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.order_id = ? AND n.id < ?
             AND (? IS NULL OR ? = CASE WHEN n.sent_at IS NOT NULL THEN 'sent'
                                        WHEN n.suppressed IS NOT NULL THEN 'suppressed'
                                        WHEN e.state IN ('pending', 'dead') THEN e.state
                                        ELSE 'discarded' END)
           ORDER BY n.id DESC
           LIMIT ?",
        order_id,
        NotificationId(page.below),
        state.map(EmailState::as_str),
        state.map(EmailState::as_str),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications with their email in a state. Locks nothing. Left to itself MariaDB walks the whole
/// table, in the belief that a page of a rare state must be near.
///
/// # Errors
/// As [`of_order`].
pub async fn in_state(pool: &Pool, state: EmailState, page: Page) -> sqlx::Result<Vec<Notification>> {
    match state {
        EmailState::Sent => return sent_page(pool, page).await,
        EmailState::Suppressed => return suppressed_page(pool, page).await,
        EmailState::Pending | EmailState::Dead | EmailState::Discarded => {}
    }
    notification_rows!(
        "FROM effect AS e FORCE INDEX (state_id)
           STRAIGHT_JOIN notifications AS n ON n.id = e.id
           WHERE e.state = ? AND e.id < ?
           ORDER BY e.id DESC
           LIMIT ?",
        state.as_str(),
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications whose email was sent. Locks nothing.
async fn sent_page(pool: &Pool, page: Page) -> sqlx::Result<Vec<Notification>> {
    notification_rows!(
        "FROM notifications AS n FORCE INDEX (ended)
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.ended = 'sent' AND n.id < ?
           ORDER BY n.id DESC
           LIMIT ?",
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}

/// A page of the notifications whose recipient got no email. Locks nothing. Each cause has its part of the index, so that no more
/// is read than a page of each.
async fn suppressed_page(pool: &Pool, page: Page) -> sqlx::Result<Vec<Notification>> {
    let (below, rows_max) = (NotificationId(page.below), page.rows_max());
    notification_rows!(
        "FROM (
                 (SELECT id FROM notifications FORCE INDEX (ended)
                  WHERE ended = 'bounce' AND id < ? ORDER BY id DESC LIMIT ?)
                 UNION ALL
                 (SELECT id FROM notifications FORCE INDEX (ended)
                  WHERE ended = 'complaint' AND id < ? ORDER BY id DESC LIMIT ?)
                 UNION ALL
                 (SELECT id FROM notifications FORCE INDEX (ended)
                  WHERE ended = 'unsubscribed' AND id < ? ORDER BY id DESC LIMIT ?)
                 UNION ALL
                 (SELECT id FROM notifications FORCE INDEX (ended)
                  WHERE ended = 'operator' AND id < ? ORDER BY id DESC LIMIT ?)
                 UNION ALL
                 (SELECT id FROM notifications FORCE INDEX (ended)
                  WHERE ended = 'erased' AND id < ? ORDER BY id DESC LIMIT ?)
                ) AS newest
           STRAIGHT_JOIN notifications AS n ON n.id = newest.id
           LEFT JOIN effect AS e ON e.id = n.id
           ORDER BY n.id DESC
           LIMIT ?",
        below,
        rows_max,
        below,
        rows_max,
        below,
        rows_max,
        below,
        rows_max,
        below,
        rows_max,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// A page of all notifications. Locks nothing.
///
/// # Errors
/// As [`of_order`].
pub async fn all(pool: &Pool, page: Page) -> sqlx::Result<Vec<Notification>> {
    notification_rows!(
        "FROM notifications AS n
           LEFT JOIN effect AS e ON e.id = n.id
           WHERE n.id < ?
           ORDER BY n.id DESC
           LIMIT ?",
        NotificationId(page.below),
        page.rows_max(),
    )
    .fetch_all(pool)
    .await
}
