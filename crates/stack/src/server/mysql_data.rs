//! The data folder of a database server, from nothing to one that its server can start on.
//!
//! Guarantees that a folder under its final name is whole: it is made under another name and renamed. `root` gets its
//! password at the first start, by a script that stays in the folder until a start has succeeded.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Engine;
use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, describe};

const FIRST_START: &str = "first-start.sql";
const INITIALISE_WITHIN: Duration = Duration::from_secs(180);

/// Both servers would otherwise read the machine's configuration, or refuse to run as root. A MariaDB that starts removes
/// the temporary tables of every other from a folder that they share, which /tmp would be; its own is its data folder.
pub(super) fn basic_arguments(engine: Engine) -> Vec<String> {
    let mut arguments = vec!["--no-defaults".to_owned()];
    if Uid::effective().is_root() {
        arguments.push("--user=root".to_owned());
    }
    if engine == Engine::MariaDb {
        arguments.push("--tmpdir=.".to_owned());
    }
    arguments
}

/// Makes the data folder of a new server, where `root` will have this password.
pub(super) async fn initialise(program: &Path, engine: Engine, data: &Path, password: &str) -> anyhow::Result<()> {
    let parent = data.parent().context("a data folder has a parent")?;
    create_folder(parent)?;
    let name = data.file_name().context("a data folder has a name")?.to_string_lossy();
    let unfinished = parent.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    match engine {
        Engine::MySql => initialise_mysql(program, &unfinished).await?,
        Engine::MariaDb => initialise_mariadb(program, &unfinished).await?,
    }
    write_first_start_script(&unfinished, password)?;
    fs::rename(&unfinished, data).with_context(|| format!("cannot create {}", data.display()))
}

async fn initialise_mysql(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let log = folder.with_extension("log");
    let mut process = Launch::new("mysql", program)
        .args(basic_arguments(Engine::MySql))
        .arg("--initialize-insecure")
        .arg("--innodb-redo-log-capacity=8M")
        .arg(format!("--datadir={}", folder.display()))
        .output(Output::File(log.clone()))
        .on_launcher_death(Signal::SIGKILL)
        .spawn()?;
    let status = timeout(INITIALISE_WITHIN, process.wait()).await.context("mysql took too long to initialise")??;
    if !status.success() {
        bail!("mysql can't initialise {} ({}): {}", folder.display(), describe(status), process.last_words());
    }
    fs::remove_file(&log).with_context(|| format!("cannot remove {}", log.display()))
}

/// What `mariadb-install-db` does: the server's own scripts, fed to it without a network or privileges.
async fn initialise_mariadb(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let scripts = mariadb_scripts(program).await?;
    create_folder(folder)?;
    let bootstrap = folder.join("bootstrap.sql");
    let mut sql =
        String::from("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL, @skip_auth_anonymous = 1;\n");
    for name in ["mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data"] {
        let script = scripts.join(format!("{name}.sql"));
        sql += &fs::read_to_string(&script).with_context(|| format!("cannot read {}", script.display()))?;
    }
    // Further roots, without a password, for other names of this machine.
    sql += "DELETE FROM global_priv WHERE User = 'root' AND Host <> 'localhost';\n";
    fs::write(&bootstrap, sql).with_context(|| format!("cannot write {}", bootstrap.display()))?;
    let input = File::open(&bootstrap).with_context(|| format!("cannot read {}", bootstrap.display()))?;
    let output = Command::new(program)
        .args(basic_arguments(Engine::MariaDb))
        .arg("--bootstrap")
        .arg("--innodb-log-file-size=8M")
        .arg(format!("--datadir={}", folder.display()))
        .stdin(Stdio::from(input))
        .kill_on_drop(true)
        .output();
    let output = timeout(INITIALISE_WITHIN, output).await.context("mariadb took too long to initialise")?;
    let output = output.context("cannot run mariadbd")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).collect();
        let folder = folder.display();
        bail!("mariadb can't initialise {folder} ({}): {}", describe(output.status), why.join("; "));
    }
    fs::remove_file(&bootstrap).with_context(|| format!("cannot remove {}", bootstrap.display()))
}

/// They lie beside the server's messages.
async fn mariadb_scripts(program: &Path) -> anyhow::Result<PathBuf> {
    let help = Command::new(program).args(["--no-defaults", "--verbose", "--help"]).output();
    let help = help.await.context("cannot run mariadbd")?;
    let help = String::from_utf8_lossy(&help.stdout);
    let folder = help.lines().find_map(|line| line.strip_prefix("lc-messages-dir "));
    folder.map(|folder| PathBuf::from(folder.trim())).context("mariadbd does not say where its scripts are")
}

fn write_first_start_script(folder: &Path, password: &str) -> anyhow::Result<()> {
    let path = folder.join(FIRST_START);
    let script = format!(
        "CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;\n\
         ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
    );
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(script.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The script to hand to a server that has never been ready on this folder.
pub(super) fn first_start_script(data: &Path) -> Option<PathBuf> {
    Some(data.join(FIRST_START)).filter(|script| script.exists())
}

/// The server was ready, so the script has run.
pub(super) fn first_start_is_over(data: &Path) -> anyhow::Result<()> {
    match first_start_script(data) {
        Some(script) => fs::remove_file(&script).with_context(|| format!("cannot remove {}", script.display())),
        None => Ok(()),
    }
}

/// The password of `root` in templates and in servers made from them.
pub(super) const TEST_PASSWORD: &str = "test";

/// An initialised data folder of this engine, made when there is none yet. Copying it to a new folder saves the
/// seconds that initialising takes. Its `root` has the password `test`.
///
/// # Errors
/// If the server is missing or can't initialise a folder.
pub(super) async fn template(home: &Home, engine: Engine) -> anyhow::Result<PathBuf> {
    let program = home.program(engine.program())?;
    let version = Command::new(&program).arg("--no-defaults").arg("--version").output().await;
    let version = version.with_context(|| format!("cannot run {}", program.display()))?.stdout;
    let version = String::from_utf8_lossy(&version);
    let number = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let folder = home.templates();
    create_folder(&folder)?;
    let data = folder.join(format!("{engine}-{}", number.unwrap_or("unknown")));
    let lock = File::create(folder.join(format!("{engine}.lock"))).context("cannot write a template's lock")?;
    let lock = spawn_blocking(move || lock.lock().map(|()| lock)).await.context("cannot wait for a template")?;
    let _lock = lock.context("cannot lock a template")?; // whoever waited for it finds the template made
    if !data.exists() {
        initialise(&program, engine, &data, TEST_PASSWORD).await?;
    }
    Ok(data)
}

/// Copies a template to a new folder, for a server with an identity of its own.
///
/// # Errors
/// If `cp` fails.
pub(super) async fn copy(template: &Path, data: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(data).status().await;
    if !copied.context("cannot run cp")?.success() {
        bail!("cannot copy {} to {}", template.display(), data.display());
    }
    // Holds the UUID by which replicas of MySQL tell each other apart; the server makes another.
    match fs::remove_file(data.join("auto.cnf")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove auto.cnf"),
        _ => Ok(()),
    }
}
