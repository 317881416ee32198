//! A MySQL or MariaDB server.
//!
//! Guarantees what the pipeline relies on: a commit is on disk when it returns (redo log and binary log), times are
//! UTC. The transaction isolation stays at the server's default, REPEATABLE READ: sessions choose their own, and a
//! test should notice one that does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::Connection;

use super::mysql_data;
use crate::home::Home;
use crate::process::{Launch, Output, Probe, Running};
use crate::{Engine, account};

/// Recovery after a crash is part of starting.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How to run a server.
#[derive(Clone, Debug)]
pub struct MySqlOptions {
    /// Which one.
    pub engine: Engine,
    /// Its data folder; initialised when it does not exist.
    pub data: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The password of `root`: letters and digits.
    pub password: String,
    /// The InnoDB buffer pool, in MiB; the redo log is as large, or 96 MiB.
    pub buffer_pool_mib: u32,
    /// Where its output goes.
    pub output: Output,
    /// Which signal it gets when the launcher dies: SIGTERM for data to keep, SIGKILL for a test's.
    pub on_launcher_death: Signal,
    /// Further arguments.
    pub further: Vec<String>,
}

impl MySqlOptions {
    /// Of a server in `folder` for a test, with data that nobody will miss.
    #[must_use]
    pub fn temporary(engine: Engine, folder: &Path, port: u16) -> MySqlOptions {
        MySqlOptions {
            engine,
            data: folder.join(engine.name()),
            port,
            password: mysql_data::TEST_PASSWORD.to_owned(),
            buffer_pool_mib: 64,
            output: Output::File(folder.join(format!("{engine}.log"))),
            on_launcher_death: Signal::SIGKILL,
            further: Vec::new(),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct MySql {
    options: MySqlOptions,
    /// Its process. What was committed survives a kill.
    pub running: Running,
}

impl MySql {
    /// Starts it, and initialises its data folder first if there is none. When this returns it takes connections.
    ///
    /// # Errors
    /// One line: its program is missing, its folder can't be written, it did not start, or `root` has another password.
    pub async fn start(home: &Home, options: MySqlOptions) -> anyhow::Result<MySql> {
        let program = home.program(options.engine.program())?;
        if !options.data.exists() {
            mysql_data::initialise(&program, options.engine, &options.data, &options.password).await?;
        }
        let launch = Launch::new(options.engine.name(), program)
            .args(arguments(options.engine))
            .arg(format!("--datadir={}", options.data.display()))
            .arg(format!("--port={}", options.port))
            .arg(format!("--innodb-buffer-pool-size={}M", options.buffer_pool_mib))
            .arg(redo_log(&options))
            .args(&options.further)
            .output(options.output.clone())
            .on_launcher_death(options.on_launcher_death);
        let first_start = mysql_data::first_start_script(&options.data);
        let script = first_start.map(|script| format!("--init-file={}", script.display()));
        let process = launch.clone().args(script).spawn()?;
        let mut server = MySql { options, running: Running::of(process, launch, STOP_WITHIN) };
        server.until_ready().await?;
        mysql_data::first_start_is_over(&server.options.data)?;
        Ok(server)
    }

    /// As [`MySql::start`], on a copy of the template, which has the password [`MySqlOptions::temporary`] names.
    ///
    /// # Errors
    /// As [`MySql::start`].
    pub async fn start_temporary(home: &Home, options: MySqlOptions) -> anyhow::Result<MySql> {
        mysql_data::copy(&mysql_data::template(home, options.engine).await?, &options.data).await?;
        MySql::start(home, options).await
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.options.data
    }

    /// `mysql://` URL of a database for a user; `database` may be empty.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        mysql_url(self.options.port, user, password, database)
    }

    /// `mysql://` URL of a database for `root`; `database` may be empty.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        self.url("root", &self.options.password, database)
    }

    /// Which one it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.options.engine
    }

    /// Starts it again after it was ended, on the same data and port.
    ///
    /// # Errors
    /// As [`MySql::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.running.start_again()?;
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let (url, data) = (self.admin_url(""), self.options.data.clone());
        let probe = async || match account::connect(&url).await {
            Ok(connection) => match connection.close().await {
                Ok(()) => Probe::Ready,
                Err(error) => Probe::NotYet(error.to_string()),
            },
            Err(error) if is_access_denied(&error) => Probe::Never(format!(
                "the password kept for root is not the one of the data in {}: put the right one back, or forget the \
                 data with `make reset`",
                data.display()
            )),
            Err(error) => Probe::NotYet(error.to_string()),
        };
        self.running.process.until_ready(READY_WITHIN, probe).await
    }
}

/// `mysql://` URL of a database on this machine.
#[must_use]
pub fn mysql_url(port: u16, user: &str, password: &str, database: &str) -> String {
    format!("mysql://{user}:{password}@127.0.0.1:{port}/{database}")
}

fn is_access_denied(error: &sqlx::Error) -> bool {
    const ER_ACCESS_DENIED: &str = "28000";
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(ER_ACCESS_DENIED))
}

fn redo_log(options: &MySqlOptions) -> String {
    let mib = options.buffer_pool_mib.max(96);
    match options.engine {
        Engine::MySql => format!("--innodb-redo-log-capacity={mib}M"),
        Engine::MariaDb => format!("--innodb-log-file-size={mib}M"),
    }
}

/// Options that hold whenever the server runs. Relative paths are below the data folder.
fn arguments(engine: Engine) -> Vec<String> {
    let mut arguments = mysql_data::basic_arguments(engine);
    let both = [
        "--bind-address=127.0.0.1",
        "--socket=mysql.sock",
        "--pid-file=mysql.pid",
        "--skip-name-resolve",
        "--default-time-zone=+00:00",
        "--character-set-server=utf8mb4",
        "--performance-schema=OFF",
        "--max-connections=500",
        "--innodb-flush-log-at-trx-commit=1",
        "--log-bin=binlog",
        "--server-id=1",
        "--sync-binlog=1",
        // A settle changes three small columns of a row whose payload a full image would write twice.
        "--binlog-row-image=MINIMAL",
        "--max-binlog-size=64M",
        "--binlog-expire-logs-seconds=3600",
    ];
    let own: &[&str] = match engine {
        Engine::MySql => &["--mysqlx=OFF", "--secure-file-priv=NULL"],
        Engine::MariaDb => &["--binlog-format=ROW"],
    };
    arguments.extend(both.iter().chain(own).map(|argument| (*argument).to_owned()));
    arguments
}
