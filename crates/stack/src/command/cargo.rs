//! Calling cargo.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use stack::home::Home;
use stack::process::{Launch, describe};
use tokio::process::Command;

fn program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// What `cargo run` tells a program of its own package. Build scripts read it too, and would run again, with all that stands
/// on them, whenever a cargo that inherits it alternates with one that does not.
pub(crate) const OF_OUR_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// A call of cargo in the workspace, its output going where ours goes.
pub(crate) fn cargo(home: &Home, arguments: &[&str]) -> Launch {
    let manifest = home.root().join("Cargo.toml");
    let launch = Launch::new("cargo", program()).without(&OF_OUR_PACKAGE).args(arguments);
    launch.arg("--manifest-path").arg(manifest)
}

/// Runs it to its end.
///
/// # Errors
/// If it fails; it has said why.
pub(crate) async fn run(launch: &Launch) -> anyhow::Result<()> {
    let status = launch.spawn()?.wait().await.context("cannot wait for cargo")?;
    if !status.success() {
        bail!("cargo failed ({})", describe(status));
    }
    Ok(())
}

/// What cargo knows about the workspace, as far as we care.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) async fn read(home: &Home) -> anyhow::Result<Metadata> {
        let mut command = Command::new(program());
        command.args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"]);
        let output = command.arg(home.root().join("Cargo.toml")).output().await.context("cannot run cargo")?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).replace('\n', " "))
        })
    }

    /// Where cargo puts debug builds.
    pub(crate) fn debug_binaries(&self) -> PathBuf {
        self.target_directory.join("debug")
    }

    /// The files from which the compiler starts to read a package: its library and its programs.
    pub(crate) fn roots(&self, package: &str) -> Vec<&Path> {
        let package = self.packages.iter().filter(|found| found.name == package);
        let targets = package.flat_map(|package| &package.targets);
        let built = |target: &&Target| target.kind.iter().any(|kind| kind == "lib" || kind == "bin");
        targets.filter(built).map(|target| target.src_path.as_path()).collect()
    }
}
