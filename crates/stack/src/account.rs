//! Databases and their users on a running server: created, migrated, granted, given passwords.

use std::io;
use std::time::Duration;

use anyhow::Context;
use schema::database::Definition;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use tokio::time::timeout;

/// Connects, within 10 seconds.
///
/// # Errors
/// As sqlx reports them, or that time ran out.
pub async fn connect(url: &str) -> sqlx::Result<MySqlConnection> {
    let connecting = MySqlConnection::connect(url);
    timeout(Duration::from_secs(10), connecting).await.map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))?
}

/// Creates the database `name` unless it exists.
///
/// # Errors
/// As the server reports them.
pub async fn create_database(connection: &mut MySqlConnection, name: &str) -> sqlx::Result<()> {
    run(connection, format!("CREATE DATABASE IF NOT EXISTS {name}")).await
}

/// Brings the connection's current database to the newest schema.
///
/// # Errors
/// The migration that failed, and why.
pub async fn migrate(connection: &mut MySqlConnection, definition: &Definition) -> anyhow::Result<()> {
    let migrated = definition.migrate(connection).await;
    migrated.with_context(|| format!("cannot migrate the database {}", definition.name))
}

/// Creates the definition's users in the connection's current database, with their grants, and opens each with the
/// password that `password_of` gives. Applying it again changes nothing but the passwords.
///
/// # Errors
/// The statement that failed, and why.
pub async fn grant(
    connection: &mut MySqlConnection,
    definition: &Definition,
    password_of: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    for statement in statements(definition.grants) {
        let granted = run(connection, statement.to_owned()).await;
        granted.with_context(|| format!("cannot apply the grants of {}: {statement}", definition.name))?;
    }
    for user in definition.users {
        let password = password_of(user);
        let opened =
            run(connection, format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK")).await;
        opened.with_context(|| format!("cannot set the password of {user}"))?;
    }
    Ok(())
}

/// Creates the database `name` on a server, with the schema and the users of a definition.
///
/// # Errors
/// The step that failed, and why.
pub async fn set_up(
    server_url: &str,
    name: &str,
    definition: &Definition,
    password_of: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let mut connection = connect(server_url).await.context("cannot connect to the database server")?;
    create_database(&mut connection, name).await.with_context(|| format!("cannot create the database {name}"))?;
    run(&mut connection, format!("USE {name}")).await.with_context(|| format!("cannot use the database {name}"))?;
    migrate(&mut connection, definition).await?;
    grant(&mut connection, definition, password_of).await?;
    connection.close().await.context("cannot disconnect from the database server")
}

/// The only SQL in this crate that is put together from parts: names and passwords here are ours, letters and digits.
async fn run(connection: &mut MySqlConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

/// Statements end with `;` at a line's end.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_script_is_cut_at_semicolons_that_end_a_line() {
        let script = "-- first; not the end\nGRANT a;\n\nGRANT ';' b;\n";
        assert_eq!(statements(script).collect::<Vec<_>>(), ["-- first; not the end\nGRANT a", "GRANT ';' b"]);
    }
}
