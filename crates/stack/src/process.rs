//! Child processes: started in a group of their own, watched, and ended by process id.
//!
//! Guarantees that no child outlives its launcher: dropping a [`Process`] kills its group, and should the launcher
//! itself be killed, the kernel signals the child (`setpriv --pdeathsig`, which needs no unsafe code). The kernel
//! watches the thread that spawned, so spawn from a thread that stays: not from `spawn_blocking`.

mod output;
mod ready;
mod running;
mod script;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use output::{Output, rotate};
pub use ready::{Probe, until_ready};
pub use running::Running;
pub use script::quoted;

/// What to start, kept so that it can be started again.
#[derive(Clone, Debug)]
pub struct Launch {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    not_inherited: Vec<OsString>,
    output: Output,
    on_launcher_death: Signal,
    stop_signal: Signal,
}

impl Launch {
    /// A program under the name that logs and messages use. It inherits our environment.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Launch {
        Launch {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            not_inherited: Vec::new(),
            output: Output::Inherit,
            on_launcher_death: Signal::SIGTERM,
            stop_signal: Signal::SIGTERM,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Launch {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Launch {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Launch {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable, unless our own environment has it.
    #[must_use]
    pub fn env_default(self, name: &str, value: impl AsRef<OsStr>) -> Launch {
        let inherited = std::env::var_os(name);
        self.env(name, inherited.as_deref().unwrap_or(value.as_ref()))
    }

    /// Has it not inherit the environment variables whose names begin with one of these.
    #[must_use]
    pub fn without(mut self, prefixes: &[&str]) -> Launch {
        let names = std::env::vars_os().map(|(name, _)| name);
        let is_meant =
            |name: &OsString| prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
        self.not_inherited.extend(names.filter(is_meant));
        self
    }

    /// Says where its output goes.
    #[must_use]
    pub fn output(mut self, output: Output) -> Launch {
        self.output = output;
        self
    }

    /// Which signal it gets when the launcher dies: SIGTERM unless told otherwise.
    #[must_use]
    pub fn on_launcher_death(mut self, signal: Signal) -> Launch {
        self.on_launcher_death = signal;
        self
    }

    /// Which signal asks it to stop: SIGTERM unless told otherwise.
    #[must_use]
    pub fn stop_signal(mut self, signal: Signal) -> Launch {
        self.stop_signal = signal;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// If its log can't be written or `setpriv` can't be run. A program that can't be run exits with 127.
    pub fn spawn(&self) -> anyhow::Result<Process> {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg(&self.on_launcher_death.as_str()["SIG".len()..]).arg(&self.program);
        for name in &self.not_inherited {
            command.env_remove(name);
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).process_group(0);
        let reader = self.output.attach(&mut command, &self.name)?;
        let child = command.spawn().with_context(|| format!("cannot start {} through setpriv", self.name))?;
        drop(command); // and with it our writing end of the pipe
        let pid = child.id().context("a child that was just started has an id")?;
        let pid = Pid::from_raw(i32::try_from(pid).context("process id out of range")?);
        let reader = reader.map(|reader| tokio::spawn(reader.run()));
        Ok(Process {
            name: self.name.clone(),
            child,
            pid,
            log: self.output.log().map(Path::to_owned),
            reader,
            stop_signal: self.stop_signal,
        })
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: Option<PathBuf>,
    reader: Option<JoinHandle<()>>,
    stop_signal: Signal,
}

impl Process {
    /// Its name in logs and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it has exited and its output is written. May be dropped and called again.
    ///
    /// # Errors
    /// As the operating system has it; none in practice.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.sweep();
        if let Some(reader) = &mut self.reader {
            // A grandchild that still holds the pipe must not hold us up.
            if timeout(Duration::from_secs(1), &mut *reader).await.is_err() {
                reader.abort();
            }
            self.reader = None;
        }
        Ok(status)
    }

    /// Sends a signal, unless it has exited.
    ///
    /// # Errors
    /// As `kill(2)`.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        if self.child.id().is_none() {
            return Ok(());
        }
        match kill(self.pid, signal) {
            Err(Errno::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Asks it to stop; kills it when it has not stopped within `grace`.
    ///
    /// # Errors
    /// As the operating system has it; none in practice.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        self.signal(self.stop_signal)?;
        self.signal(Signal::SIGCONT)?; // a stopped process would not see it
        match timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Kills it and its group with SIGKILL.
    ///
    /// # Errors
    /// As the operating system has it; none in practice.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.child.id().is_some() {
            self.sweep();
        }
        self.wait().await
    }

    /// The last lines of its log; empty when it has none.
    #[must_use]
    pub fn tail(&self, lines: usize) -> Vec<String> {
        self.log.as_deref().map(|log| output::tail(log, lines)).unwrap_or_default()
    }

    /// The line that most likely says why it ended: the last one that mentions an error, or the last one.
    #[must_use]
    pub fn last_words(&self) -> String {
        let lines = self.tail(50);
        let says_why = |line: &&String| {
            let line = line.to_lowercase();
            !line.ends_with("aborting") // what databases say after they said why
                && ["error", "emerg", "fatal", "[ftl]", "cannot", "panic"].iter().any(|word| line.contains(word))
        };
        lines.iter().rfind(says_why).or(lines.last()).map_or_else(|| "it said nothing".to_owned(), Clone::clone)
    }

    /// Waits until `probe` says that it serves.
    ///
    /// # Errors
    /// If it exits, does not become ready within `limit`, or the probe gives up: one line that says why. It is gone
    /// then, and its port is free.
    pub async fn until_ready(&mut self, limit: Duration, probe: impl AsyncFn() -> Probe) -> anyhow::Result<()> {
        let ready = self.probe_until_ready(limit, probe).await;
        if ready.is_err() {
            self.kill().await.context("cannot kill what did not start")?;
        }
        ready
    }

    async fn probe_until_ready(&mut self, limit: Duration, probe: impl AsyncFn() -> Probe) -> anyhow::Result<()> {
        let name = self.name.clone();
        let status = tokio::select! {
            biased;
            status = self.wait() => status.context("cannot tell whether it runs")?,
            ready = until_ready(&name, limit, probe) => return ready,
        };
        bail!("{name} did not start ({}): {}", describe(status), self.last_words());
    }

    fn sweep(&self) {
        // ESRCH: nobody is left in the group, which is what we want.
        if let Err(error) = killpg(self.pid, Signal::SIGKILL)
            && error != Errno::ESRCH
        {
            eprintln!("cannot kill {} ({}): {error}", self.name, self.pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.sweep();
        }
    }
}

/// An exit status in words: `exit 1`, `SIGKILL`.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.to_string()),
        (None, None) => status.to_string(),
    }
}
