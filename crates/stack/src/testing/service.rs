//! A built service as a process of a test's own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{BINARIES_VARIABLE, HOW, Port};
use crate::process::{Launch, Output, Probe, Process};
use crate::recipients::Recipients;
use crate::service::{self, Program};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// The path of a service that `stack test` has built, by its name.
///
/// # Panics
/// If tests were not started by `stack test`.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let folder = env::var(BINARIES_VARIABLE).unwrap_or_else(|_| panic!("{BINARIES_VARIABLE} is not set: {HOW}"));
    Path::new(&folder).join(name)
}

/// A service: its program with the verb `run`, on ports of its own. Dropping it kills it; when the test is failing,
/// what it said last is printed first.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    process: Option<Process>,
    http: Port,
    admin: Port,
    log: PathBuf,
    _folder: TempDir,
}

impl Service {
    /// Prepares to run a program: its path, such as `env!("CARGO_BIN_EXE_order-svc")` or [`binary`]`("order-svc")`.
    /// It gets `HTTP_ADDR` and `ADMIN_ADDR`, and notify-svc a stand-in for order-svc; the rest is up to [`Service::env`].
    ///
    /// # Panics
    /// If there is no room for its log.
    #[must_use]
    pub fn new(program: impl AsRef<Path>) -> Service {
        let (http, admin) = (Port::reserve(), Port::reserve());
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let program = program.as_ref();
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let log = folder.path().join(format!("{name}.log"));
        let launch = service::launch(&name, program, [http.number(), admin.number()]).output(Output::File(log.clone()));
        let launch = match name == Program::NotifySvc.file() {
            true => launch.env("ORDERS_URL", Recipients::of_this_process().url()),
            false => launch,
        };
        Service { launch, process: None, http, admin, log, _folder: folder }
    }

    /// Sets an environment variable for the next start.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Service {
        self.launch = self.launch.clone().env(name, value.as_ref());
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready within 30 seconds; with what it said.
    pub async fn start(mut self) -> Service {
        self.spawn();
        self.until_ready().await;
        self
    }

    /// Starts it without waiting, also again after it has ended.
    ///
    /// # Panics
    /// If it runs already or can't be started.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the service runs already");
        self.process = Some(self.launch.spawn().expect("the service can be started"));
    }

    /// Waits until its `/readyz` answers 200, or says that it waits for nothing and only tells of findings, as in a test that
    /// breaks a promise on purpose.
    ///
    /// # Panics
    /// If it does not within 30 seconds; with what it said.
    pub async fn until_ready(&mut self) {
        let admin = self.admin.number();
        let probe = async || match service::readiness(admin).await {
            Probe::NotYet(said) if said.contains(service::UNREADY) && !said.contains("waiting for ") => Probe::Ready,
            probe => probe,
        };
        let ready = self.running().until_ready(READY_WITHIN, probe).await;
        ready.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Starts it again on the same ports and environment, and waits until it is ready.
    ///
    /// # Panics
    /// As [`Service::start`].
    pub async fn restart(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    /// URL of a path on its HTTP port.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http.number())
    }

    /// URL of a path on its admin port: `/livez`, `/readyz`, `/metrics`.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin.number())
    }

    /// Its admin port.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin.number()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn kill(&mut self) {
        self.running().kill().await.expect("a child can be killed");
        self.process = None;
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    ///
    /// # Panics
    /// If it does not run, or not stop within 60 seconds.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.exited().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not run, or not end within 60 seconds.
    pub async fn exited(&mut self) -> ExitStatus {
        let status = tokio::time::timeout(STOP_WITHIN, self.running().wait()).await;
        let status = status.expect("the service ends within 60 s").expect("a child can be waited for");
        self.process = None;
        status
    }

    /// Freezes it (SIGSTOP), as a long pause of its machine would. [`Service::thaw`] ends it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Service::freeze`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&mut self, signal: Signal) {
        self.running().signal(signal).expect("a child can be signalled");
    }

    /// All that it has logged since it was first started.
    ///
    /// # Panics
    /// If it was never started.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the service was started")
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the service runs")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- what {} said last", self.log.file_stem().unwrap_or_default().display());
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}
