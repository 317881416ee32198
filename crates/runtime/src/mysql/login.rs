//! The login of a pool, and whether the server accepts it.
//!
//! Guarantees that each connection is made with the password that its file has now, and that a refusal after a success is
//! one that passes: whoever rotates a password changes it at the server and in the file, in either order. Tests
//! `a_rotated_database_password_is_read_again`, `a_wrong_password_ends_the_program_with_its_reason`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::mysql::MySqlConnectOptions;

use super::error::{is_refused_login, refused_for_now};
use super::settings::{DatabaseTls, options};
use crate::config::Secret;
use crate::telemetry::chain;

/// Clones share what they learn.
#[derive(Clone, Debug)]
pub(super) struct Login {
    url: Secret,
    tls: DatabaseTls,
    at_start: Arc<Options>,
    was_taken: Arc<AtomicBool>,
    is_refused: Arc<AtomicBool>,
}

/// They have the password, and print.
struct Options(MySqlConnectOptions);

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

impl Login {
    /// # Errors
    /// If the URL can't be parsed.
    pub(super) fn new(url: &Secret, tls: &DatabaseTls) -> sqlx::Result<Self> {
        let at_start = Arc::new(Options(options(url, tls)?));
        Ok(Self { url: url.clone(), tls: tls.clone(), at_start, was_taken: Arc::default(), is_refused: Arc::default() })
    }

    /// What a connection that is made now needs to know.
    pub(super) fn options(&self) -> MySqlConnectOptions {
        options(&self.url.read_again(), &self.tls).unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "DATABASE_URL is malformed now, going on with the one before");
            self.at_start.0.clone()
        })
    }

    /// Whether the server refused the last login, after it had taken one.
    pub(super) fn is_refused(&self) -> &Arc<AtomicBool> {
        &self.is_refused
    }

    /// Notes what became of a login.
    pub(super) fn tried<T>(&self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        match result {
            Ok(connection) => {
                self.was_taken.store(true, Ordering::Relaxed);
                if self.is_refused.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database takes our login again");
                }
                Ok(connection)
            }
            Err(error) if is_refused_login(&error) && self.was_taken.load(Ordering::Relaxed) => {
                if !self.is_refused.swap(true, Ordering::Relaxed) {
                    tracing::error!(error = chain(&error), "the database refuses our login; was the password changed?");
                }
                Err(refused_for_now(error))
            }
            Err(error) => Err(error),
        }
    }
}
