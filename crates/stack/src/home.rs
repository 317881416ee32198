//! Where things are: the workspace and, below its `.stack`, programs, data, logs and what tests need.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::Engine;

/// The workspace's folder.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Finds the workspace that the current folder is in.
    ///
    /// # Errors
    /// If neither the current folder nor one above it holds `crates/stack/setup`.
    pub fn find() -> anyhow::Result<Home> {
        let here = env::current_dir().context("cannot tell the current folder")?;
        let root = here.ancestors().find(|folder| folder.join("crates/stack/setup").is_file());
        let root = root.with_context(|| format!("{} is not inside the workspace", here.display()))?;
        Ok(Home { root: root.to_owned() })
    }

    /// The workspace's folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A server or tool that `crates/stack/setup` provides.
    ///
    /// # Errors
    /// If it is missing; the message says how to get it.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(".stack/dist/bin").join(name);
        if !path.is_file() {
            bail!("{name} is missing: run `make setup`, or `crates/stack/setup` with the parts you want");
        }
        Ok(path)
    }

    /// Everything that `stack up` keeps for one engine: database, stream, mails and passwords.
    #[must_use]
    pub fn data(&self, engine: Engine) -> PathBuf {
        self.root.join(".stack/data").join(engine.name())
    }

    /// The log of one child of `stack up`.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join(".stack/logs").join(format!("{name}.log"))
    }

    /// Initialised data folders that tests copy.
    #[must_use]
    pub fn templates(&self) -> PathBuf {
        self.root.join(".stack/templates")
    }

    /// Where test runs put their servers' data.
    #[must_use]
    pub fn tests(&self) -> PathBuf {
        self.root.join(".stack/test")
    }

    /// What `stack prove` keeps of a run that failed.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.root.join(".stack/kept")
    }

    /// What `stack up` has for shells while it runs.
    #[must_use]
    pub fn shell(&self) -> PathBuf {
        self.root.join(".stack/shell")
    }

    /// Whether `stack up` runs.
    ///
    /// # Errors
    /// If its lock can't be read.
    pub fn is_up(&self) -> anyhow::Result<bool> {
        let path = self.up_lock();
        match File::open(&path).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => Ok(false),
            Ok(Err(TryLockError::WouldBlock)) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Ok(Err(TryLockError::Error(error))) | Err(error) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    fn up_lock(&self) -> PathBuf {
        self.root.join(".stack/up.lock")
    }

    /// Takes the lock that `stack up` holds while it runs.
    ///
    /// # Errors
    /// If the stack is up, or its folder can't be written.
    pub fn lock(&self) -> anyhow::Result<File> {
        create_folder(&self.root.join(".stack"))?;
        let path = self.up_lock();
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!("the stack is up: stop it first"),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// Creates a folder and those above it.
///
/// # Errors
/// If it can't be created; the message names it.
pub fn create_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))
}
