//! A process that is ended, frozen and started again, as machines and people do it to servers.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use super::{Launch, Process};

/// A process and what it takes to start it again.
#[derive(Debug)]
pub struct Running {
    launch: Launch,
    /// The process as it is now.
    pub process: Process,
    stop_within: Duration,
}

impl Running {
    /// Starts it. A stop that takes longer than `stop_within` becomes a kill.
    ///
    /// # Errors
    /// As [`Launch::spawn`].
    pub fn start(launch: Launch, stop_within: Duration) -> anyhow::Result<Running> {
        Ok(Running::of(launch.spawn()?, launch, stop_within))
    }

    /// Of a process that was started otherwise than it will be started again.
    pub(crate) fn of(process: Process, launch: Launch, stop_within: Duration) -> Running {
        Running { launch, process, stop_within }
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// As [`Process::stop`].
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let stopped = self.process.stop(self.stop_within).await;
        stopped.with_context(|| format!("cannot stop {}", self.process.name()))
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.kill().await.with_context(|| format!("cannot kill {}", self.process.name()))
    }

    /// Starts it again after it has ended, without waiting until it is ready.
    ///
    /// # Errors
    /// As [`Launch::spawn`].
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = self.launch.spawn()?;
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers. [`Running::thaw`] ends it.
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Running::freeze`].
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal).with_context(|| format!("cannot send {signal} to {}", self.process.name()))
    }
}
