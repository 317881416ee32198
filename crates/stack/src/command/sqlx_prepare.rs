//! `stack sqlx-prepare`: what `cargo sqlx prepare` does, for three databases and without sqlx-cli.
//!
//! sqlx's macros, given `DATABASE_URL`, ask that database about each query as they compile it, and write the answer
//! into `SQLX_OFFLINE_DIR`, one file a query. They run when a crate is compiled, so each crate's root files are
//! touched first, and compiled with settings of our own: a cargo that somebody else runs right now could otherwise
//! compile them between our touch and our check, and leave nothing for ours to do. Needs no `.sqlx` to begin with: this program depends on no crate that has queries.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail};
use schema::database::{Definition, NOTIFICATIONS, ORDERS, PAYMENTS};
use sqlx::Connection;
use stack::home::{Home, create_folder};
use stack::port::Port;
use stack::server::{MySql, MySqlOptions};
use stack::{Engine, account};
use tokio::task::spawn_blocking;

use super::cargo::{self, Metadata, cargo};
use stack::scratch::Scratch;
use stack::signals::Signals;

/// Whose queries are about which database.
static CRATES: [(&str, &Definition); 7] = [
    ("outbox", &ORDERS),
    ("order-svc", &ORDERS),
    ("outbox-relay", &ORDERS),
    ("inbox", &NOTIFICATIONS),
    ("notify-svc", &NOTIFICATIONS),
    ("effect", &PAYMENTS),
    ("payment-svc", &PAYMENTS),
];

/// What to do with the descriptions.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail if `.sqlx` is not what the queries and migrations make it.
    #[arg(long)]
    check: bool,
}

/// Describes all queries, and writes or compares `.sqlx`.
pub(crate) async fn run(home: &Home, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let scratch = Scratch::new(home)?;
    let _alone = alone(home).await?;
    let fresh = scratch.path().join("sqlx");
    create_folder(&fresh)?;
    tokio::select! {
        described = describe(home, &scratch, &fresh) => described?,
        () = signals.arrive() => bail!("interrupted"),
    }
    let (described, committed) = (read(&fresh)?, read(&home.root().join(".sqlx"))?);
    if described.is_empty() {
        bail!("cargo described no query at all: .sqlx is left as it is");
    }
    let stale = differences(&committed, &described);
    if stale.is_empty() {
        println!(".sqlx describes all {} queries", described.len());
        return Ok(ExitCode::SUCCESS);
    }
    for line in &stale {
        println!(".sqlx/{line}");
    }
    if arguments.check {
        eprintln!("stack: .sqlx is stale: run `make sqlx-prepare` and commit it");
        return Ok(ExitCode::FAILURE);
    }
    write(&home.root().join(".sqlx"), &committed, &described)?;
    Ok(ExitCode::SUCCESS)
}

/// Two at once would compile for each other.
async fn alone(home: &Home) -> anyhow::Result<File> {
    let lock = File::create(home.tests().join("sqlx-prepare.lock")).context("cannot write a lock")?;
    let lock = spawn_blocking(move || lock.lock().map(|()| lock)).await.context("cannot wait for a lock")?;
    lock.context("cannot lock")
}

/// Compiles each crate against a database of its own.
async fn describe(home: &Home, scratch: &Scratch, folder: &Path) -> anyhow::Result<()> {
    let port = Port::reserve();
    let mut server =
        MySql::start_temporary(home, MySqlOptions::temporary(Engine::MySql, scratch.path(), port.number())).await?;
    let metadata = Metadata::read(home).await?;
    // What several of them have is described as it is in the last one.
    for definition in [&PAYMENTS, &ORDERS, &NOTIFICATIONS] {
        let mut admin = account::connect(&server.admin_url("")).await.context("cannot connect")?;
        account::create_database(&mut admin, definition.name).await.context("cannot create a database")?;
        admin.close().await.context("cannot disconnect")?;
        let url = server.admin_url(definition.name);
        let mut connection = account::connect(&url).await.context("cannot connect")?;
        account::migrate(&mut connection, definition).await?;
        connection.close().await.context("cannot disconnect")?;
        let crates = CRATES.iter().filter(|(_, database)| database.name == definition.name).map(|(name, _)| *name);
        let check = cargo(home, &["check", "--quiet"]).env("DATABASE_URL", &url).env("SQLX_OFFLINE", "false");
        let mut check = check.env("SQLX_OFFLINE_DIR", folder);
        for name in crates {
            let ours = format!("profile.dev.package.{name}.codegen-units=255");
            check = check.args(["--package", name, "--config", &ours]);
            for root in metadata.roots(name) {
                let file = File::options().write(true).open(root);
                let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
                touched.with_context(|| format!("cannot touch {}", root.display()))?;
            }
        }
        cargo::run(&check).await?;
    }
    server.running.kill().await.map(drop)
}

/// File names and contents. A folder that does not exist is empty.
type Descriptions = BTreeMap<String, String>;

fn read(folder: &Path) -> anyhow::Result<Descriptions> {
    let mut descriptions = Descriptions::new();
    for entry in folder.read_dir().into_iter().flatten() {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read .sqlx/{name}"))?;
            descriptions.insert(name, text);
        }
    }
    Ok(descriptions)
}

/// One line for each file that is missing, unused or out of date.
fn differences(committed: &Descriptions, described: &Descriptions) -> Vec<String> {
    let unused = committed.keys().filter(|name| !described.contains_key(*name)).map(|name| format!("{name} unused"));
    let stale = described.iter().filter_map(|(name, text)| match committed.get(name) {
        None => Some(format!("{name} missing: {}", query_of(text))),
        Some(old) if old != text => Some(format!("{name} out of date: {}", query_of(text))),
        Some(_) => None,
    });
    unused.chain(stale).collect()
}

/// The beginning of the query that a file describes.
fn query_of(text: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let query = parsed["query"].as_str().unwrap_or_default();
    query.split_whitespace().take(8).collect::<Vec<_>>().join(" ")
}

fn write(folder: &Path, committed: &Descriptions, described: &Descriptions) -> anyhow::Result<()> {
    create_folder(folder)?;
    for name in committed.keys().filter(|name| !described.contains_key(*name)) {
        fs::remove_file(folder.join(name)).with_context(|| format!("cannot remove .sqlx/{name}"))?;
    }
    for (name, text) in described {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write .sqlx/{name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Descriptions, differences};

    #[test]
    fn a_missing_an_unused_and_a_changed_description_are_each_named() {
        let of =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Descriptions>();
        let committed = of(&[("same", "{}"), ("gone", "{}"), ("changed", "{}")]);
        let described = of(&[("same", "{}"), ("new", r#"{"query":"SELECT\n  1"}"#), ("changed", "[]")]);
        let expected = ["gone unused", "changed out of date: ", "new missing: SELECT 1"];
        assert_eq!(differences(&committed, &described), expected);
    }
}
