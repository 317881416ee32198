//! The sections: what can be measured at once, one file each.

use std::collections::BTreeMap;

use clap::{Command, FromArgMatches, Subcommand};
use serde::Serialize;
use stack::Engine;
use stack::home::Home;

use crate::findings::Findings;
use crate::{e2e, inbox, latency, open, relay, write};

/// In the order in which they are measured and reported.
pub(crate) const NAMES: [&str; 9] = ["write", "open", "relay", "scale", "recover", "inbox", "latency", "e2e", "peers"];

/// One of them, with its settings.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Section {
    Write(write::Arguments),
    Open(open::Arguments),
    Relay(relay::Arguments),
    Scale(relay::scale::Arguments),
    Recover(relay::recover::Arguments),
    Inbox(inbox::Arguments),
    Latency(latency::Arguments),
    #[command(name = "e2e")]
    EndToEnd(e2e::Arguments),
    Peers(relay::peers::Arguments),
}

/// What a section was told.
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) settings: BTreeMap<String, String>,
}

impl Section {
    /// One by its name.
    pub(crate) fn with_defaults(name: &str, db: Engine) -> Result<Section, clap::Error> {
        let sections = Section::augment_subcommands(Command::new("bench"));
        let matches = sections.try_get_matches_from(["bench", name, "--db", db.name()])?;
        Section::from_arg_matches(&matches)
    }

    pub(crate) async fn measure(&self, home: &Home) -> anyhow::Result<Findings> {
        match self {
            Section::Write(arguments) => write::measure(home, arguments).await.map(Findings::from),
            Section::Open(arguments) => open::measure(home, arguments).await,
            Section::Relay(arguments) => relay::measure(home, arguments).await.map(Findings::from),
            Section::Scale(arguments) => relay::scale::measure(home, arguments).await.map(Findings::from),
            Section::Recover(arguments) => relay::recover::measure(home, arguments).await.map(Findings::from),
            Section::Inbox(arguments) => inbox::measure(home, arguments).await.map(Findings::from),
            Section::Latency(arguments) => latency::measure(home, arguments).await.map(Findings::from),
            Section::EndToEnd(arguments) => e2e::measure(home, arguments).await,
            Section::Peers(arguments) => relay::peers::measure(home, arguments).await.map(Findings::from),
        }
    }

    pub(crate) fn told(&self) -> Told {
        match self {
            Section::Write(arguments) => Told::new("write", arguments.db, arguments),
            Section::Open(arguments) => Told::new("open", arguments.db, arguments),
            Section::Relay(arguments) => Told::new("relay", arguments.db, arguments),
            Section::Scale(arguments) => Told::new("scale", arguments.db, arguments),
            Section::Recover(arguments) => Told::new("recover", arguments.db, arguments),
            Section::Inbox(arguments) => Told::new("inbox", arguments.db, arguments),
            Section::Latency(arguments) => Told::new("latency", arguments.db, arguments),
            Section::EndToEnd(arguments) => Told::new("e2e", arguments.db, arguments),
            Section::Peers(arguments) => Told::new("peers", arguments.db, arguments),
        }
    }
}

impl Told {
    fn new(name: &'static str, engine: Engine, arguments: &impl Serialize) -> Told {
        let settings = serde_json::to_value(arguments).ok().and_then(|value| value.as_object().cloned());
        let pairs = settings.into_iter().flatten().map(|(name, value)| (name, value.to_string()));
        Told { name, engine, settings: pairs.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_has_defaults_and_says_what_it_was_told() {
        for name in NAMES {
            let told = Section::with_defaults(name, Engine::MariaDb).unwrap().told();
            assert_eq!((told.name, told.engine), (name, Engine::MariaDb));
            assert!(!told.settings.is_empty(), "{name}");
        }
    }
}
