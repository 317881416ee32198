//! What the verbs of every program share: how they reach the database, who acts, and how they answer.

pub mod decision;
pub mod progress;
pub mod table;

use std::fs;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::config::{self, Validate};
use crate::mysql::{self, DatabaseConfig, Pool};
use crate::terminal;

/// What every verb takes: where the database is, and how to answer.
#[derive(Clone, Debug, Args)]
pub struct CommonConfig {
    /// See [`DatabaseConfig`].
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Settings of a verb that changes something.
#[derive(Clone, Debug, Args)]
pub struct ActConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Who you are, for the record: without it $USER, or the name of this machine or pod.
    #[arg(long, default_value_t = config::user().unwrap_or_else(machine), hide_default_value = true, value_parser = config::actor)]
    pub actor: String,
}

impl Validate for CommonConfig {
    fn validate(&self) -> Result<(), String> {
        self.database.validate()
    }
}

impl CommonConfig {
    /// Connects when first used.
    ///
    /// # Errors
    /// If the URL can't be parsed.
    pub fn pool(&self) -> anyhow::Result<Pool> {
        Ok(mysql::pool(&self.database).context("DATABASE_URL is malformed")?.patient())
    }

    /// Prints what a program would read, or what a person would: lines in which the texts of others are escaped, each of
    /// which the caller keeps in its line by [`crate::terminal::one_line`].
    ///
    /// # Errors
    /// If it can't be written.
    pub fn print<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        terminal::print(answer, self.json, text).context("writing the answer")
    }
}

/// A moment in a cell, in UTC as the inspection SQL shows it.
pub fn time(moment: DateTime<Utc>) -> String {
    moment.format("%F %T").to_string()
}

/// Who acts, if nobody says it: the name of this machine or pod.
pub fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { format!("process {}", std::process::id()) } else { name.to_owned() }
}
