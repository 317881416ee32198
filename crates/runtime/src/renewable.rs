//! A secret whose file may have another one by now. The last good one stays until the file has another good one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Secret;

/// The secret of a setting, which all who hold this share.
#[derive(Debug)]
pub struct Renewable {
    setting: &'static str,
    secret: Mutex<Secret>,
}

impl Renewable {
    /// What the setting says; its name is for the log.
    pub const fn new(setting: &'static str, secret: Secret) -> Self {
        Self { setting, secret: Mutex::new(secret) }
    }

    /// The secret that was good last.
    pub fn now(&self) -> Secret {
        self.secret().clone()
    }

    /// What to try instead of one that was refused; none if its file has no other.
    pub fn instead_of(&self, refused: &Secret) -> Option<Secret> {
        let renewed = refused.read_again();
        if renewed.expose() == refused.expose() {
            return None;
        }
        tracing::info!("{} is not valid any more, going on with what its file says now", self.setting);
        *self.secret() = renewed.clone();
        Some(renewed)
    }

    /// The secret as its file has it now; the one that was good last, if that is not fit, or the file can't be read.
    pub fn read_again(&self, check: impl FnOnce(&Secret) -> Result<(), String>) -> Secret {
        let mut secret = self.secret();
        let renewed = secret.read_again();
        if let Err(reason) = check(&renewed) {
            tracing::warn!(reason, "a secret's file has one that is not fit, going on with the one before");
        } else {
            *secret = renewed;
        }
        secret.clone()
    }

    /// What is under the lock is whole between any two statements.
    fn secret(&self) -> MutexGuard<'_, Secret> {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
