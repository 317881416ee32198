//! Servers of a test's own, for tests that stop, kill or rewind them.

use std::env;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{FOLDER_VARIABLE, HOW, Port};
use crate::Engine;
use crate::home::Home;
use crate::process::Output;
use crate::server;

fn home() -> Home {
    Home::find().expect("tests run inside the workspace")
}

/// A folder that lives as long as the server in it. When the test is killed, `stack test` removes it.
fn folder() -> TempDir {
    let parent = env::var_os(FOLDER_VARIABLE).unwrap_or_else(|| panic!("{FOLDER_VARIABLE} is not set: {HOW}"));
    tempfile::Builder::new().prefix("own-").tempdir_in(parent).expect("the workspace is writable")
}

/// A nats-server with an empty JetStream store. Dropping it kills it and removes the store.
#[derive(Debug)]
pub struct Nats {
    server: server::Nats,
    ports: [Port; 2],
    _folder: TempDir,
}

impl Nats {
    /// Starts one that flushes to disk now and then, as nats-server does by default.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Nats {
        let (home, ports) = (home(), [Port::reserve(), Port::reserve()]);
        let folder = folder();
        let options = server::NatsOptions {
            data: folder.path().join("nats"),
            port: ports[0].number(),
            monitor_port: ports[1].number(),
            sync_always: false,
            output: Output::File(folder.path().join("nats.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let server = server::Nats::start(&home, options).await.unwrap_or_else(|error| panic!("{error:#}"));
        Nats { server, ports, _folder: folder }
    }

    /// `nats://` URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Its port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[0].number()
    }

    /// `http://` URL of the monitor, without a slash at the end.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        self.server.monitor_url()
    }

    /// The folder of its streams: remove or rewind it while the server is down, and the broker has forgotten.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.server.store()
    }

    /// Stops it in an orderly way.
    ///
    /// # Panics
    /// If it can't be stopped.
    pub async fn stop(&mut self) {
        self.server.stop().await.expect("nats-server stops");
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it can't be killed.
    pub async fn kill(&mut self) {
        self.server.kill().await.expect("nats-server can be killed");
    }

    /// Starts it again on the same store and ports.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.server.restart().await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers. [`Nats::thaw`] ends it.
    ///
    /// # Panics
    /// If it can't be signalled.
    pub fn freeze(&self) {
        self.server.process().signal(Signal::SIGSTOP).expect("nats-server can be signalled");
    }

    /// Lets it go on after [`Nats::freeze`].
    ///
    /// # Panics
    /// If it can't be signalled.
    pub fn thaw(&self) {
        self.server.process().signal(Signal::SIGCONT).expect("nats-server can be signalled");
    }
}

/// A database server with nothing in it. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct MySql {
    server: server::MySql,
    port: Port,
    _folder: TempDir,
}

impl MySql {
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(engine: Engine) -> MySql {
        let (home, port) = (home(), Port::reserve());
        let folder = folder();
        let server = server::MySql::start_from_template(&home, engine, folder.path(), port.number()).await;
        let server = server.unwrap_or_else(|error| panic!("{error:#}"));
        MySql { server, port, _folder: folder }
    }

    /// `mysql://` URL for the administrator; `database` may be empty.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        self.server.admin_url(database)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Stops it in an orderly way.
    ///
    /// # Panics
    /// If it can't be stopped.
    pub async fn stop(&mut self) {
        self.server.stop().await.expect("the database stops");
    }

    /// Kills it with SIGKILL. What was committed survives.
    ///
    /// # Panics
    /// If it can't be killed.
    pub async fn kill(&mut self) {
        self.server.kill().await.expect("the database can be killed");
    }

    /// Starts it again on the same data and port.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.server.restart().await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers. [`MySql::thaw`] ends it.
    ///
    /// # Panics
    /// If it can't be signalled.
    pub fn freeze(&self) {
        self.server.process().signal(Signal::SIGSTOP).expect("the database can be signalled");
    }

    /// Lets it go on after [`MySql::freeze`].
    ///
    /// # Panics
    /// If it can't be signalled.
    pub fn thaw(&self) {
        self.server.process().signal(Signal::SIGCONT).expect("the database can be signalled");
    }
}
