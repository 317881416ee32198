//! Servers of a test's own, for tests that stop, kill or rewind them.

use std::env;
use std::path::{Path, PathBuf};

use async_nats::{Client, ConnectOptions};
use futures::future::join_all;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{FOLDER_VARIABLE, HOW, Port};
use crate::Engine;
use crate::home::Home;
use crate::process::Output;
use crate::proxy::TcpProxy;
use crate::server::{self, MySqlOptions, NATS_USERS, NatsPeer, NatsSetup, NatsUser};

pub(super) fn home() -> Home {
    Home::find().expect("tests run inside the workspace")
}

/// A folder that lives as long as the server in it. When the test is killed, `stack test` removes it.
pub(super) fn folder() -> TempDir {
    let parent = env::var_os(FOLDER_VARIABLE).unwrap_or_else(|| panic!("{FOLDER_VARIABLE} is not set: {HOW}"));
    tempfile::Builder::new().prefix("own-").tempdir_in(parent).expect("the workspace is writable")
}

/// A nats-server with an empty JetStream store. Dropping it kills it and removes the store.
#[derive(Debug)]
pub struct Nats {
    server: server::Nats,
    ports: [Port; 3],
    _folder: TempDir,
}

impl Nats {
    /// Starts one that flushes to disk now and then, as nats-server does by default.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Nats {
        Nats::start_with(NatsSetup::default()).await
    }

    /// As [`Nats::start`], with the accounts of production: each user has the password [`Nats::PASSWORD`].
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_with_accounts() -> Nats {
        Nats::start_with(NatsSetup { accounts: Nats::accounts(), ..NatsSetup::default() }).await
    }

    /// As [`Nats::start`], with more to it.
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_with(setup: NatsSetup) -> Nats {
        Nats::start_on(Nats::ports(), setup).await
    }

    /// Three servers that are a cluster, with the accounts of production.
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_cluster() -> Vec<Nats> {
        let ports: Vec<[Port; 3]> = (0..3).map(|_| Nats::ports()).collect();
        let routes: Vec<u16> = ports.iter().map(|[.., peers]| peers.number()).collect();
        let starting = ports.into_iter().enumerate().map(|(index, ports)| {
            let peer = NatsPeer { name: format!("n{index}"), port: routes[index], routes: routes.clone() };
            Nats::start_on(ports, NatsSetup { accounts: Nats::accounts(), cluster: Some(peer), ..NatsSetup::default() })
        });
        join_all(starting).await
    }

    /// Three servers that are a cluster open to everybody, and the routes between each two of them, for tests that cut these.
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_cluster_with_routes() -> (Vec<Nats>, Vec<([usize; 2], TcpProxy)>) {
        let ports: Vec<[Port; 3]> = (0..3).map(|_| Nats::ports()).collect();
        let peers: Vec<u16> = ports.iter().map(|[.., peers]| peers.number()).collect();
        let mut routes = Vec::new();
        for [from, to] in [[0, 1], [0, 2], [1, 2]] {
            routes.push(([from, to], TcpProxy::start(peers[to]).await));
        }
        let starting = ports.into_iter().enumerate().map(|(index, ports)| {
            let from_here = routes.iter().filter(|([from, _], _)| *from == index).map(|(_, proxy)| proxy.port());
            let routes = from_here.chain([peers[index]]).collect();
            let peer = NatsPeer { name: format!("n{index}"), port: peers[index], routes };
            Nats::start_on(ports, NatsSetup { cluster: Some(peer), ..NatsSetup::default() })
        });
        (join_all(starting).await, routes)
    }

    async fn start_on(ports: [Port; 3], setup: NatsSetup) -> Nats {
        let home = home();
        let folder = folder();
        let options = server::NatsOptions {
            data: folder.path().join("nats"),
            port: ports[0].number(),
            monitor_port: ports[1].number(),
            sync_always: false,
            output: Output::File(folder.path().join("nats.log")),
            on_launcher_death: Signal::SIGKILL,
        };
        let server = server::Nats::start(&home, options, &setup).await;
        let server = server.unwrap_or_else(|error| panic!("{error:#}"));
        Nats { server, ports, _folder: folder }
    }

    /// For clients, for the monitor and for the others of a cluster.
    fn ports() -> [Port; 3] {
        [Port::reserve(), Port::reserve(), Port::reserve()]
    }

    /// Every user's password on test servers.
    pub const PASSWORD: &str = "test";

    /// For [`NatsSetup::accounts`].
    #[must_use]
    pub fn accounts() -> Vec<(NatsUser, String)> {
        NATS_USERS.iter().map(|user| (*user, Nats::PASSWORD.to_owned())).collect()
    }

    /// A connection of the user `operator` to a server, or to those of a cluster.
    ///
    /// # Panics
    /// If none takes it.
    pub async fn operator(url: &str) -> Client {
        Nats::client(url, "operator").await
    }

    /// As [`Nats::operator`], of the user `admin`.
    ///
    /// # Panics
    /// If none takes it.
    pub async fn admin(url: &str) -> Client {
        Nats::client(url, "admin").await
    }

    /// As [`Nats::operator`], of any user.
    ///
    /// # Panics
    /// If none takes it.
    pub async fn client(url: &str, user: &str) -> Client {
        let addresses: Vec<&str> = url.split(',').collect();
        let options = ConnectOptions::with_user_and_password(user.to_owned(), Nats::PASSWORD.to_owned());
        let connecting = options.custom_inbox_prefix(format!("_INBOX.{user}")).connect(addresses).await;
        connecting.unwrap_or_else(|error| panic!("nats-server does not take {user}: {error}"))
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

    /// See [`server::Nats::set_further`].
    ///
    /// # Panics
    /// If its configuration can't be written.
    pub fn set_further(&self, further: &str) {
        self.server.set_further(further).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// See [`server::Nats::set_passwords`].
    ///
    /// # Panics
    /// If the server can't be told.
    pub fn set_passwords(&self, passwords: &[(NatsUser, &str)]) {
        self.server.set_passwords(passwords).unwrap_or_else(|error| panic!("{error:#}"));
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
        MySql::start_with(engine, &[]).await
    }

    /// As [`MySql::start`], with further arguments.
    ///
    /// # Panics
    /// As [`MySql::start`].
    pub async fn start_with(engine: Engine, further: &[String]) -> MySql {
        let (home, port) = (home(), Port::reserve());
        let folder = folder();
        let options = MySqlOptions::temporary(engine, folder.path(), port.number());
        let options = MySqlOptions { further: further.to_vec(), ..options };
        let server = server::MySql::start_temporary(&home, options).await;
        let server = server.unwrap_or_else(|error| panic!("{error:#}"));
        MySql { server, port, _folder: folder }
    }

    /// Its data folder: put an earlier copy in its place while the server is down, and the database has stepped back.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.server.data()
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
}

/// What a test does to a server's process.
macro_rules! harmed {
    ($($server:ident)*) => {$(
        impl $server {
            /// Stops it in an orderly way.
            ///
            /// # Panics
            /// If it can't be stopped.
            pub async fn stop(&mut self) {
                self.server.running.stop().await.expect("a server stops");
            }

            /// Kills it with SIGKILL. What it said to have stored survives.
            ///
            /// # Panics
            /// If it can't be killed.
            pub async fn kill(&mut self) {
                self.server.running.kill().await.expect("a server can be killed");
            }

            /// Starts it again on the same data and ports.
            ///
            /// # Panics
            /// If it does not start.
            pub async fn restart(&mut self) {
                self.server.restart().await.unwrap_or_else(|error| panic!("{error:#}"));
            }

            /// Freezes it (SIGSTOP): connections stay open and nothing answers. `thaw` ends it.
            ///
            /// # Panics
            /// If it can't be signalled.
            pub fn freeze(&self) {
                self.server.running.freeze().expect("a server can be signalled");
            }

            /// Lets it go on after `freeze`.
            ///
            /// # Panics
            /// If it can't be signalled.
            pub fn thaw(&self) {
                self.server.running.thaw().expect("a server can be signalled");
            }
        }
    )*};
}

harmed!(Nats MySql);
