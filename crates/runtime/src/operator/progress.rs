//! A progress bar on standard error, for people at a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that fills from 0 to its total, and is gone when the answer is printed.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar at 0, which is not shown where there is no terminal.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} %, {eta} to go") {
            bar.set_style(style.progress_chars("##-"));
        }
        Self(bar)
    }

    /// Shows how far it is.
    pub fn at(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
