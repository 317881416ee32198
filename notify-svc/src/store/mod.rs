//! The SQL that is this service's own: one file per table, each function one statement. The inbox and the effects have their own.

pub mod notification_lists;
pub mod notifications;
pub mod recipient_mails;
pub mod suppression;

pub use runtime::mysql::Receipt;
