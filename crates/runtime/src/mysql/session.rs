//! What a session is set to before anybody uses it.
//!
//! Guarantees that no setting of the server that a session takes for its own (`SET GLOBAL`, my.cnf, `init_connect`) changes
//! what a statement of ours means: `no_default_of_the_server_changes_what_a_session_does`. With `autocommit = 0`, for one,
//! settles and the lease were never committed, without any error. Leaves out what only makes a statement slower.

use sqlx::mysql::MySqlConnectOptions;
use sqlx::{Connection, Executor, MySqlConnection};

/// READ COMMITTED, and writable whatever the default.
const TRANSACTIONS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// Comments with a version are read by MySQL alone, those with an M by MariaDB alone. `max_join_size` stands before
/// `sql_big_selects`, which it resets. Text has the collation of our columns, so that none is compared by two.
const MEANING: &str = "SET autocommit = 1,
    completion_type = 'NO_CHAIN',
    sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
    time_zone = '+00:00',
    foreign_key_checks = 1,
    unique_checks = 1,
    sql_safe_updates = 0,
    sql_auto_is_null = 0,
    sql_select_limit = 18446744073709551615,
    max_join_size = 18446744073709551615,
    sql_big_selects = 1,
    max_sort_length = 1024,
    div_precision_increment = 4
    /*!80000 , max_execution_time = 0 */
    /*M! , max_statement_time = 0, check_constraint_checks = 1 */
    , NAMES utf8mb4 COLLATE utf8mb4_bin";

/// Less than a statement may take, so that the server itself gives up what waits for a row, for an ALTER or for a backup's
/// lock, and no thread is left behind. It also gives up a connection of which it hears nothing, and what that has locked:
/// ten minutes.
const WAITS: &str = "SET innodb_lock_wait_timeout = 5, lock_wait_timeout = 5, wait_timeout = 600";

/// A session that means what we mean, and waits for locks as long as the server lets it.
///
/// # Errors
/// As the database has it.
pub async fn connect(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    // The driver would do the same in part, by a query that depends on what it sets.
    let bare = options.clone().pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(false);
    let mut connection = MySqlConnection::connect_with(&bare).await?;
    connection.execute(MEANING).await?;
    connection.execute(TRANSACTIONS).await?;
    Ok(connection)
}

/// The same for a service, with its bounded waits.
pub(super) async fn connect_for_service(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    let mut connection = connect(options).await?;
    connection.execute(WAITS).await?;
    Ok(connection)
}
