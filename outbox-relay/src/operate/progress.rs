//! A progress bar on standard error, for people at a terminal only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 30;
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that fills from 0 to `total`.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    drawn_at: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// A bar, not drawn yet.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, total: total.max(1), drawn_at: None, is_shown: std::io::stderr().is_terminal() }
    }

    /// Draws it at `done`, unless it was drawn a moment ago and is not full yet.
    pub fn at(&mut self, done: u64) {
        let done = done.min(self.total);
        let was_drawn = self.drawn_at.is_some_and(|drawn_at| drawn_at.elapsed() < REDRAW);
        if !self.is_shown || (was_drawn && done < self.total) {
            return;
        }
        self.drawn_at = Some(Instant::now());
        let filled = usize::try_from(done * WIDTH as u64 / self.total).unwrap_or(WIDTH);
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH - filled));
        eprint!("\r{} [{bar}] {:>3} %", self.what, done * 100 / self.total);
        // A bar that can't be drawn is no fault of the work that it shows.
        std::io::stderr().flush().ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn_at.is_some() {
            eprintln!();
        }
    }
}
