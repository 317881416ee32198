//! Where a child's output goes: through to ours, into a file, or into a file and, prefixed, to the terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::home::create_folder;

/// Destination of a child's standard output and error.
#[derive(Clone, Debug)]
pub enum Output {
    /// Ours.
    Inherit,
    /// A file, appended to.
    File(PathBuf),
    /// A file, appended to, and our standard output, each line after the child's name.
    Prefixed(PathBuf),
}

impl Output {
    /// The file, if any.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            Output::Inherit => None,
            Output::File(path) | Output::Prefixed(path) => Some(path),
        }
    }

    /// Points the command's output there. What is returned has to be run for lines to arrive.
    pub(super) fn attach(&self, command: &mut Command, name: &str) -> anyhow::Result<Option<Reader>> {
        match self {
            Output::Inherit => Ok(None),
            Output::File(path) => {
                let file = open(path)?;
                command.stderr(file.try_clone().context("cannot share a log file")?).stdout(file);
                Ok(None)
            }
            Output::Prefixed(path) => {
                let file = open(path)?;
                let (read, write) = io::pipe().context("cannot make a pipe")?;
                command.stderr(Stdio::from(write.try_clone().context("cannot share a pipe")?)).stdout(write);
                let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(read)).context("cannot read a pipe")?;
                Ok(Some(Reader { pipe, file, prefix: format!("{name:<12} | ") }))
            }
        }
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// Moves the log of an earlier run aside, to `<name>.log.1`, so that a log holds one run.
///
/// # Errors
/// If it can't be renamed.
pub fn rotate(path: &Path) -> anyhow::Result<()> {
    match fs::rename(path, path.with_extension("log.1")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot rename {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a child's lines until it and its own children are gone.
#[derive(Debug)]
pub(super) struct Reader {
    pipe: pipe::Receiver,
    file: File,
    prefix: String,
}

impl Reader {
    pub(super) async fn run(mut self) {
        let mut lines = BufReader::new(self.pipe);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            // With a full disk or a closed terminal the child goes on, unheard.
            let _written = self.file.write_all(&line);
            let mut terminal = io::stdout().lock();
            let _shown = terminal.write_all(self.prefix.as_bytes()).and_then(|()| terminal.write_all(&line));
            line.clear();
        }
    }
}

/// The last lines of a file, read from its last 64 KiB; nothing when it can't be read.
pub(super) fn tail(path: &Path, lines: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}
