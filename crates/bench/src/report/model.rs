//! What a report is: runs of sections.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::figure::Figure;
use crate::findings::Curves;

/// The last run of each section on each engine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) runs: Vec<Run>,
}

/// One section on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) section: String,
    pub(crate) engine: String,
    pub(crate) began_at: DateTime<Utc>,
    pub(crate) seconds: u64,
    pub(crate) machine: Machine,
    /// Of each program that took part.
    pub(crate) versions: BTreeMap<String, String>,
    /// What the section was told.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curves>,
    /// Why there are no figures.
    pub(crate) error: Option<String>,
}

impl Report {
    /// Of a folder; empty if there is none.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Report> {
        let path = folder.join("report.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Report::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Takes a run in place of an earlier one of its section and engine. They stay in the order of `sections`.
    pub(crate) fn add(&mut self, run: Run, sections: &[&str]) {
        self.runs.retain(|earlier| (&earlier.section, &earlier.engine) != (&run.section, &run.engine));
        self.runs.push(run);
        let place = |run: &Run| sections.iter().position(|section| *section == run.section);
        self.runs.sort_by_key(|run| (run.engine != "mysql", place(run)));
    }

    /// In the order of the runs.
    pub(crate) fn engines(&self) -> Vec<&str> {
        let mut engines: Vec<&str> = self.runs.iter().map(|run| run.engine.as_str()).collect();
        engines.dedup();
        engines
    }

    pub(crate) fn of_engine<'a>(&'a self, engine: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.engine == engine)
    }
}

impl Run {
    /// The file of a chart.
    pub(crate) fn chart(&self, curves: &Curves) -> String {
        format!("{}-{}.svg", curves.name, self.engine)
    }
}
