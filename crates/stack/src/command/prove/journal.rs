//! What happens, as it happens: a line to the terminal and to a file beside the servers' logs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use tokio::time::Instant;

/// Takes lines.
pub(super) struct Journal {
    file: File,
    quiet: bool,
    began: Instant,
}

impl Journal {
    /// `quiet`: to the standard error, because the standard output is for a script.
    pub(super) fn open(folder: &Path, quiet: bool) -> anyhow::Result<Journal> {
        let path = folder.join("prove.log");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Journal { file, quiet, began: Instant::now() })
    }

    /// What happened, and to whom.
    pub(super) fn note(&self, whom: &str, what: impl std::fmt::Display) {
        self.say(&format!("{:>6.1} s  {whom:<24} {what}", self.began.elapsed().as_secs_f64()));
    }

    /// A line or several.
    pub(super) fn say(&self, text: &str) {
        let terminal = if self.quiet { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
        // A closed terminal is no reason to stop; a full disk will show elsewhere.
        drop((terminal, writeln!(&self.file, "{text}")));
    }
}
