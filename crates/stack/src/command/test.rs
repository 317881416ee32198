//! `stack test`: the workspace's tests, against servers that are started for them.
//!
//! Guarantees that a missing server fails the run, that the run ends, and that its servers and their data are gone
//! afterwards.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use stack::Engine;
use stack::home::Home;
use stack::port::Port;
use stack::process::Launch;
use stack::server::{MySql, MySqlOptions};
use stack::testing::{BINARIES_VARIABLE, FOLDER_VARIABLE};

use super::cargo::{self, Metadata, OF_OUR_PACKAGE, cargo};
use stack::scratch::Scratch;
use stack::signals::Signals;

/// Building included.
const RUN_WITHIN: Duration = Duration::from_secs(3600);

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for `cargo nextest run`, such as a test's name, or `-p stack`. Without `-p`: the whole workspace.
    #[arg(last = true)]
    nextest: Vec<String>,
}

impl Arguments {
    /// The packages to build and test: those that are named, else all.
    fn scope(&self) -> Vec<&str> {
        let named: Vec<&str> = self.split().filter(|(is_package, _)| *is_package).map(|(_, word)| word).collect();
        if named.is_empty() { vec!["--workspace"] } else { named }
    }

    /// What is only nextest's business.
    fn others(&self) -> Vec<&str> {
        self.split().filter(|(is_package, _)| !is_package).map(|(_, word)| word).collect()
    }

    /// Each word, and whether it is part of naming a package.
    fn split(&self) -> impl Iterator<Item = (bool, &str)> {
        let words = self.nextest.iter().map(String::as_str);
        words.scan(false, |is_value, word| {
            let is_package = *is_value || word.starts_with("-p") || word.starts_with("--package");
            *is_value = matches!(word, "-p" | "--package");
            Some((is_package, word))
        })
    }
}

/// Runs the tests and returns their verdict.
pub(crate) async fn run(home: &Home, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let nextest = home.program("cargo-nextest")?;
    for server in ["nats-server", "nginx", "prometheus"] {
        home.program(server)?; // the tests start these themselves
    }
    let scratch = Scratch::new(home)?;
    let testing = async {
        cargo::run(&cargo(home, &["build", "--quiet", "--bins"]).args(arguments.scope())).await?;
        let binaries = Metadata::read(home).await?.debug_binaries();
        let mut servers = Servers::start(home, &scratch).await?;
        let tests = Launch::new("nextest", nextest)
            .without(&OF_OUR_PACKAGE)
            .args(["nextest", "run", "--manifest-path"])
            .arg(home.root().join("Cargo.toml"))
            .args(arguments.scope())
            .args(arguments.others())
            .env(BINARIES_VARIABLE, binaries)
            .env(FOLDER_VARIABLE, scratch.path());
        let mut tests = servers.introduce(tests).spawn()?;
        let status = tests.wait().await.context("cannot wait for the tests")?;
        servers.kill().await?;
        anyhow::Ok(status)
    };
    // What is still running when one of the other two wins is dropped, and with it killed.
    let status = tokio::select! {
        status = testing => status?,
        () = signals.arrive() => bail!("interrupted"),
        () = tokio::time::sleep(RUN_WITHIN) => bail!("the tests took more than {} minutes", RUN_WITHIN.as_secs() / 60),
    };
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// One database server of each kind, for all tests.
struct Servers {
    running: Vec<MySql>,
    _ports: Vec<Port>,
}

impl Servers {
    async fn start(home: &Home, scratch: &Scratch) -> anyhow::Result<Servers> {
        let ports: Vec<Port> = Engine::ALL.iter().map(|_| Port::reserve()).collect();
        let starting = Engine::ALL.iter().zip(&ports);
        let starting = starting.map(|(engine, port)| {
            MySql::start_temporary(home, MySqlOptions::temporary(*engine, scratch.path(), port.number()))
        });
        Ok(Servers { running: try_join_all(starting).await?, _ports: ports })
    }

    /// Tells tests where they are.
    fn introduce(&self, mut tests: Launch) -> Launch {
        for server in &self.running {
            tests = tests.env(server.engine().test_url_variable(), server.admin_url(""));
        }
        tests
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        for server in &mut self.running {
            server.running.kill().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    #[test]
    fn named_packages_are_what_is_built_and_tested() {
        let of = |line: &str| Arguments { nextest: line.split_whitespace().map(str::to_owned).collect() };
        let some = of("-p stack --no-fail-fast --package=schema a_cut");
        assert_eq!(some.scope(), ["-p", "stack", "--package=schema"]);
        assert_eq!(some.others(), ["--no-fail-fast", "a_cut"]);
        assert_eq!(of("a_cut").scope(), ["--workspace"]);
    }
}
