//! What the database refuses of one event, and when it is tried again.

use std::time::Duration;

use runtime::mysql::is_data_fault;
use runtime::retry::Retry;

/// An effect that the database refuses is tried again soon at first, and often enough later.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// An event whose effect the service can't write yet is tried again after this.
pub(super) const LATER_PAUSE: Duration = Duration::from_secs(1);

/// How long an event waits that was refused so often.
pub(super) fn pause(attempts: u32) -> Duration {
    Retry::delay_after(PAUSE.0, PAUSE.1, attempts)
}

/// Whether the server refused this value or this effect, perhaps for this message only, so that the others must not wait
/// for it: by its type, or by a rule of the schema such as a CHECK or a trigger. A taken key is no such fault.
pub(super) fn is_own_fault(error: &sqlx::Error) -> bool {
    const CHECK_VIOLATED: &str = "(3819)"; // MySQL gives it no SQLSTATE of its own
    let Some(database) = error.as_database_error() else { return false };
    let state = database.code().unwrap_or_default();
    let is_check = || database.message().contains("Check constraint") || database.to_string().contains(CHECK_VIOLATED);
    is_data_fault(error) || state.starts_with("23") || state.starts_with("45") || (state == "HY000" && is_check())
}
