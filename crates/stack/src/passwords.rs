//! The passwords of database and NATS users: made at the first start and kept in a file that only its owner may read, or one
//! for all where nothing is kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};

use crate::server::NATS_USERS;

/// Not `Debug`: it would print them.
pub enum Passwords {
    /// By user.
    Kept(BTreeMap<String, String>),
    /// Everybody's.
    Same(&'static str),
}

impl Passwords {
    /// Reads the file, and makes it, or what it lacks, at a first start.
    ///
    /// # Errors
    /// If the file can't be read or written, or is gone although the database that it opens is there.
    pub fn open(path: &Path, database_exists: bool) -> anyhow::Result<Passwords> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read the passwords in {}", path.display()));
            }
        };
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut passwords: BTreeMap<String, String> = lines.map(|(user, pass)| (user.into(), pass.into())).collect();
        if database_exists && !passwords.contains_key("root") {
            bail!("{} has no password for root: put it back, or forget the data with `make reset`", path.display());
        }
        if let Some((user, _)) = passwords.iter().find(|(_, password)| !is_plain(password)) {
            bail!("the password of {user} in {} has to be letters and digits", path.display());
        }
        let known = passwords.len();
        let ours = [&ORDERS, &NOTIFICATIONS, &PAYMENTS].into_iter().flat_map(|definition| definition.users);
        let users = ["root"].iter().chain(ours).map(|user| (*user).to_owned());
        for user in users.chain(NATS_USERS.iter().map(|user| nats(user.name))) {
            if let Entry::Vacant(place) = passwords.entry(user) {
                place.insert(random().context("cannot read /dev/urandom")?);
            }
        }
        if passwords.len() > known {
            write(path, &passwords).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Passwords::Kept(passwords))
    }

    /// The password of a database user.
    ///
    /// # Panics
    /// If the user was not among those for whom the file was opened.
    #[must_use]
    pub fn of(&self, user: &str) -> String {
        match self {
            Passwords::Kept(passwords) => {
                passwords.get(user).cloned().expect("every user has one since the file was opened")
            }
            Passwords::Same(password) => (*password).to_owned(),
        }
    }

    /// The password of a NATS user, who is kept apart from a database user of the same name.
    ///
    /// # Panics
    /// As [`Passwords::of`].
    #[must_use]
    pub fn of_nats(&self, user: &str) -> String {
        self.of(&nats(user))
    }
}

/// The name under which the password of a NATS user is kept.
fn nats(user: &str) -> String {
    format!("nats:{user}")
}

/// By way of a new file, so that a full disk can't leave half of it.
fn write(path: &Path, passwords: &BTreeMap<String, String>) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    for (user, password) in passwords {
        writeln!(file, "{user}={password}")?;
    }
    file.sync_all()?;
    fs::rename(&new, path)
}

/// 128 random bits.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_plain(password: &str) -> bool {
    !password.is_empty() && password.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::Passwords;

    #[test]
    fn passwords_are_found_again_and_only_their_owner_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let first = Passwords::open(&path, false).unwrap();
        let known = fs::read_to_string(&path).unwrap();
        fs::write(&path, known.lines().filter(|line| !line.starts_with("notify_svc=")).collect::<Vec<_>>().join("\n"))
            .unwrap();
        let second = Passwords::open(&path, true).unwrap();
        assert_eq!(first.of("root"), second.of("root"));
        assert_eq!(first.of("order_svc"), second.of("order_svc"));
        assert_eq!(first.of_nats("operator"), second.of_nats("operator"));
        assert_ne!(first.of("notify_svc"), second.of("notify_svc"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_new_password_is_made_for_a_database_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Passwords::open(&folder.path().join("passwords"), true).is_err());
    }
}
