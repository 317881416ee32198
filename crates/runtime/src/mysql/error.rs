//! Which errors pass by themselves.
//!
//! Guarantees that every error of a server is retried, except those that waiting can't fix: a list of the errors that pass
//! could never be complete. Waiting can't fix a statement that does not fit the schema or our rights, or a value that the
//! schema refuses.

use std::error::Error;
use std::io;

use sqlx::mysql::MySqlDatabaseError;

/// Errors that the same statement, or the same login, gives again until somebody changes the schema, the rights or the
/// program.
const PERMANENT: &[u16] = &[
    1044, // no right for the database
    1049, // unknown database
    1054, // unknown column
    1064, // syntax
    1109, // unknown table in a clause
    1115, // unknown character set
    1136, // another number of columns
    1142, // no right for the table
    1143, // no right for the column
    1146, // unknown table
    1149, // syntax
    1193, // unknown variable
    1227, // a privilege is missing
    1231, // a variable does not take this value
    1235, // not supported by this server
    1267, // two collations that don't mix
    1271, // the same, of more
    1273, // unknown collation
    1298, // unknown time zone
    1305, // unknown function
    1364, // a column without default is not named
    1366, // a value of the wrong type, which MySQL files under no class
    1300, // text that is not in its character set
    1370, // no right for the function
    1644, // a trigger's own refusal
    3819, // a CHECK, which MySQL files under no class
];

/// A login that is refused. Before the first one that was taken, the settings are wrong.
const LOGIN: &[u16] = &[
    1045, // wrong user or password
    1251, // this way to log in is not known
    1698, // this way to log in is not for this user (MariaDB)
    1820, // the password has to be changed first
    1862, // the password has expired
    3118, // the account is locked
    4151, // the account is locked (MariaDB)
];

/// Classes of SQLSTATE of a value that the schema refuses: data, constraints, a trigger's own rule.
const VALUE: [&str; 3] = ["22", "23", "45"];

/// An index can't be written, perhaps because the table is being altered. It is filed under constraints, but no row need be
/// there: neither is the key taken, nor will the same statement never succeed.
const UNWRITABLE_INDEX: u16 = 1022;

/// Whether trying the whole transaction again, later, can succeed.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(refusal) => {
            let number = number(error).unwrap_or_default();
            let state = refusal.code().unwrap_or_default();
            let is_value = number != UNWRITABLE_INDEX && VALUE.iter().any(|class| state.starts_with(class));
            !is_value && !PERMANENT.contains(&number) && !LOGIN.contains(&number)
        }
        _ => false,
    }
}

/// Whether the server refused a value itself, such as a text too long for its column: the same statement will never
/// succeed, whoever runs it.
pub fn is_data_fault(error: &sqlx::Error) -> bool {
    let sql_state = error.as_database_error().and_then(|error| error.code());
    sql_state.is_some_and(|code| code.starts_with("22"))
}

/// Whether a plain INSERT met a row that has its key. sqlx counts [`UNWRITABLE_INDEX`] as one as well.
pub(super) fn is_taken_key(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1062 | 1586))
}

/// Whether a statement waited too long for what another session has locked; the database is well.
pub fn is_lock_wait(error: &sqlx::Error) -> bool {
    number(error) == Some(1205)
}

pub(super) fn is_refused_login(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| LOGIN.contains(&number))
}

pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref().map(MySqlDatabaseError::number)
}

/// A refused login after one that was taken: the password is being rotated, and the new one will be there.
#[derive(Debug, thiserror::Error)]
#[error("the database refuses the login that it took before")]
struct LoginRefused(#[source] Box<dyn Error + Send + Sync>);

/// The error as one that passes.
pub(super) fn refused_for_now(error: sqlx::Error) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, LoginRefused(error.into())))
}
