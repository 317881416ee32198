//! Runs the program.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program, its report in a folder.
pub(crate) fn run(arguments: &[&str], report: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments).arg("--json").arg("--report").arg(report).output().unwrap()
}

/// A figure as scripts get it.
#[derive(Debug)]
pub(crate) struct Found(Vec<Value>);

impl Found {
    /// Runs a section and takes its figures, all of which can be believed.
    pub(crate) fn of(arguments: &[&str]) -> Found {
        let folder = tempfile::tempdir().unwrap();
        let output = run(arguments, folder.path());
        let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {told}\n{said}", output.status);
        let answer: Value = serde_json::from_str(&told).unwrap();
        Found(answer["figures"].as_array().unwrap().clone())
    }

    /// Whether these figures, and no others, were found, each with a number.
    pub(crate) fn assert_names(&self, names: &[&str]) {
        let found: Vec<_> = self.0.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
        assert_eq!(found, names);
        for figure in &self.0 {
            assert!(figure["value"].as_f64().is_some_and(|value| value >= 0.0), "{figure}");
        }
    }
}
