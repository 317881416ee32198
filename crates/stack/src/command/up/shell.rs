//! What a shell needs for the verbs and the databases of the stack that runs: a folder with a command for each, which
//! `stack env` puts on its PATH.
//!
//! Guarantees that only its owner may read the folder, which holds passwords, and that it is there only while the stack is up.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use stack::home::Home;
use stack::pipeline::Plan;
use stack::process::{Launch, quoted};
use stack::service::{OWN_CHECK, Program};

use super::settings::Settings;
use super::tokens::Tokens;

/// For people, who read, and change by the verbs only.
const INSPECTORS: [(&str, &str); 3] = [
    (ORDERS.name, "orders_inspector"),
    (NOTIFICATIONS.name, "notifications_inspector"),
    (PAYMENTS.name, "payments_inspector"),
];

/// The folder. Dropping it removes it.
pub(crate) struct Shell(PathBuf);

impl Shell {
    /// Removes what a stack that was killed has left.
    pub(crate) fn none(home: &Home) -> anyhow::Result<Shell> {
        let shell = Shell(home.shell());
        shell.remove().with_context(|| format!("cannot remove {}", shell.0.display()))?;
        Ok(shell)
    }

    /// Makes it, for these services.
    pub(super) fn make(
        &self,
        plan: &Plan,
        services: &[(Program, Launch)],
        settings: &Settings,
        tokens: Option<&Tokens>,
    ) -> anyhow::Result<()> {
        self.write(plan, services, settings, tokens).with_context(|| format!("cannot write {}", self.0.display()))
    }

    fn write(
        &self,
        plan: &Plan,
        services: &[(Program, Launch)],
        settings: &Settings,
        tokens: Option<&Tokens>,
    ) -> io::Result<()> {
        let bin = self.0.join("bin");
        DirBuilder::new().recursive(true).mode(0o700).create(&bin)?;
        for (service, launch) in services {
            command(&bin.join(service.name()), &verbs(plan, *service, launch))?;
        }
        for (database, user) in INSPECTORS {
            command(&bin.join(format!("{database}-sql")), &client(plan, database, user))?;
        }
        let mut variables = variables(plan, &bin, settings);
        if let Some(tokens) = tokens {
            let file = self.0.join("token");
            private(&file, 0o600, tokens.of_the_doctor())?;
            variables += &format!(" TOKEN_FILE={}", quoted(file.as_os_str()));
        }
        // Last: `stack env` finds it when all of it is there.
        command(&self.0.join("env"), &variables)
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

fn command(path: &Path, script: &str) -> io::Result<()> {
    private(path, 0o700, &format!("#!/bin/sh\n{script}\n"))
}

fn private(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// A program's verbs, as the user for people; [`Program::user_of`] in a shell's words.
fn verbs(plan: &Plan, service: Program, launch: &Launch) -> String {
    let operator = plan.database_url(service.operator(), service.database().name);
    let (own, of_people) = (launch.script(), launch.clone().env("DATABASE_URL", operator).script());
    format!("if [ \"$1 $2\" = '{}' ]; then\n{own}\nfi\n{of_people}", OWN_CHECK.join(" "))
}

fn client(plan: &Plan, database: &str, user: &str) -> String {
    let (port, password) = (plan.database_port, plan.passwords.of(user));
    format!(
        "client=$(command -v mysql || command -v mariadb) || {{\n\
         \x20   echo '{database}-sql: there is no mysql or mariadb client: apt-get install mariadb-client' >&2\n\
         \x20   exit 127\n\
         }}\n\
         export MYSQL_PWD='{password}'\n\
         exec \"$client\" --protocol=tcp --host=127.0.0.1 --port={port} --user={user} \"$@\" {database}"
    )
}

fn variables(plan: &Plan, bin: &Path, settings: &Settings) -> String {
    let admin =
        |program: Program| format!("{}=http://{}", program.name(), Settings::address(settings.ports_of(program)[1]));
    let admins = Program::ALL.map(admin).join(",");
    let urls = INSPECTORS.map(|(database, user)| {
        format!("export {}_DATABASE_URL='{}'", database.to_uppercase(), plan.database_url(user, database))
    });
    format!(
        "export PATH={}:\"$PATH\"\n{}\nexport NATS_URL='{}' OPERATOR_PASSWORD='{}'\n\
         export ADMIN_URLS='{admins}' GATEWAY_URL='http://{}'",
        quoted(bin.as_os_str()),
        urls.join("\n"),
        plan.nats_url(),
        plan.passwords.of_nats("operator"),
        Settings::address(settings.gateway_port),
    )
}
