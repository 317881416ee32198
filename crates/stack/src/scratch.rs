//! A folder for one run of `stack`, removed when the run ends, however it ends.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::home::{Home, create_folder};
use anyhow::Context;
use tempfile::TempDir;

/// The folder. A lock in it says that its owner lives; the next run removes the folder of one that was killed.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one below `.stack/test`.
    pub fn new(home: &Home) -> anyhow::Result<Scratch> {
        let parent = home.tests();
        create_folder(&parent)?;
        let sweeping = File::create(parent.join("lock")).context("cannot write the lock of the test folders")?;
        sweeping.lock().context("cannot lock the test folders")?; // lest a folder be swept before it has its lock
        sweep(&parent);
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&parent);
        let folder = folder.with_context(|| format!("cannot create a folder in {}", parent.display()))?;
        let lock = File::create(folder.path().join("lock")).context("cannot write a test folder's lock")?;
        lock.try_lock().context("cannot lock a test folder")?;
        Ok(Scratch { folder, _lock: lock })
    }

    /// Keeps it beyond the run, under a name, in the place of an earlier one of that name; where it is.
    pub fn keep(self, home: &Home, name: &str) -> anyhow::Result<PathBuf> {
        let parent = home.kept();
        create_folder(&parent)?;
        let kept = parent.join(name);
        match fs::remove_dir_all(&kept) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", kept.display()));
            }
            _ => {}
        }
        let renamed = fs::rename(self.folder.path(), &kept);
        renamed.with_context(|| format!("cannot keep {}", self.folder.path().display()))?;
        drop(self.folder.keep()); // there is nothing left in its old place to remove
        Ok(kept)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose owner is gone. What can't be removed stays for the next time.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with("run-") {
            continue;
        }
        let free = File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if free && let Err(error) = fs::remove_dir_all(entry.path()) {
            eprintln!("cannot remove {}: {error}", entry.path().display());
        }
    }
}
