//! Which database server: everything runs on both.

use std::fmt;

/// The kind of a database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// MySQL 8.4 or later.
    #[value(name = "mysql")]
    MySql,
    /// MariaDB 10.6 or later.
    #[value(name = "mariadb")]
    MariaDb,
}

impl Engine {
    /// Both of them.
    pub const ALL: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

    /// Lower case, as in `--db mariadb`, folder names and log prefixes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Engine::MySql => "mysql",
            Engine::MariaDb => "mariadb",
        }
    }

    /// The server's program in `.stack/dist/bin`.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Engine::MySql => "mysqld",
            Engine::MariaDb => "mariadbd",
        }
    }

    /// The variable in which `stack test` hands tests the administrator's URL of the shared server.
    #[must_use]
    pub fn test_url_variable(self) -> &'static str {
        match self {
            Engine::MySql => "STACK_TEST_MYSQL_URL",
            Engine::MariaDb => "STACK_TEST_MARIADB_URL",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
