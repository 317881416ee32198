//! What the verbs of every program share: how they reach the database, who acts, and how they answer.
//!
//! Guarantees that a verb shows an address only after a record of that is committed, whichever verb it is: the way to the database
//! writes the record, and there is no other way (`a_verb_shows_addresses_only_if_asked_and_on_record`).

pub mod decision;
pub mod progress;
pub mod table;

use std::fs;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::asked::asked;
use crate::config::{self, Validate};
use crate::mysql::{self, DatabaseConfig, Pool};
use crate::store::disclosure;
use crate::terminal::{self, Addresses};

/// What every verb takes: where the database is, who acts, and how to answer.
#[derive(Clone, Debug, Args)]
pub struct CommonConfig {
    /// Nobody else has it: who wants the database calls [`CommonConfig::pool`].
    #[command(flatten)]
    database: DatabaseConfig,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,

    /// Print email addresses as they are; without it ada@example.com is a***@example.com. That you did is recorded before, in the table
    /// disclosure; if it can't be, as by a user who only reads, nothing is shown or changed. Errors never show one.
    #[arg(long)]
    show_personal_data: bool,

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
    /// The way to the database, once for each verb. Connects when first used; if addresses are to be shown, now, to record that.
    ///
    /// # Errors
    /// If the URL can't be parsed, or the record can't be written.
    pub async fn pool(&self) -> anyhow::Result<Pool> {
        let pool = mysql::pool(&self.database).context("DATABASE_URL is malformed")?.patient();
        if self.show_personal_data {
            let recorded = disclosure::record(&pool, &self.actor, asked()).await;
            recorded.context(
                "--show-personal-data can't be recorded, so nothing was shown or changed: writing disclosure",
            )?;
        }
        Ok(pool)
    }

    /// Prints what a program would read, or what a person would: lines in which the texts of others are escaped, each of
    /// which the caller keeps in its line by [`crate::terminal::one_line`].
    ///
    /// # Errors
    /// If it can't be written.
    pub fn print<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let addresses = if self.show_personal_data { Addresses::Shown } else { Addresses::Masked };
        terminal::print(answer, addresses, self.json, text).context("writing the answer")
    }

    /// Prints JSON with all addresses in it, after the caller has recorded that.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn hand_over<T: Serialize>(&self, recorded: &T) -> anyhow::Result<()> {
        terminal::print(recorded, Addresses::Shown, true, |_| String::new()).context("writing the answer")
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
