//! The verbs as a person or a program runs them.

use std::process::Command;

use serde_json::Value;
use stack::service::Program;

use crate::support::World;

/// What a verb answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub said: String,
    pub complained: String,
}

impl Answer {
    /// What it said with `--json`, when it succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.shown()
    }

    /// What it said with `--json`, whatever it thinks of it.
    pub fn shown(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl World {
    /// Runs a verb with the rights of the user for people; the check of the relay with the relay's own, which it looks at.
    pub fn verb(&self, arguments: &[&str]) -> Answer {
        self.verb_with(arguments, &[])
    }

    /// As [`World::verb`], with further environment.
    pub fn verb_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
        let output = self.command(arguments).envs(environment.iter().copied()).output().unwrap();
        Answer {
            code: output.status.code(),
            said: String::from_utf8(output.stdout).unwrap(),
            complained: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The process of a verb, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-relay"));
        command
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", self.database.url(Program::OutboxRelay.user_of(arguments)))
            .env("NATS_URL", self.nats.url())
            .env("USER", "ada")
            .envs(Program::OutboxRelay.settings());
        command
    }

    /// Runs a verb with `--json` that must succeed.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        self.verb(&[arguments, &["--json"]].concat()).json()
    }
}
