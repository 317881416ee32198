//! The report that is kept in the repository, and the tables of docs/benchmarks.md that are made from it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::files;
use super::machine::Machine;
use super::model::{Report, Run};
use super::page::{cell, cells};
use crate::aim;

const BEGIN: &str = "<!-- made by `bench keep`: -->\n";
const END: &str = "<!-- end of what is made -->\n";

/// Keeps a report: copies it to docs/benchmarks, with its charts, and makes the tables again.
///
/// # Errors
/// If it is none of programs that are built as they are delivered, or a file can't be read or written.
pub(crate) fn keep(from: &Path, root: &Path) -> anyhow::Result<()> {
    let report = Report::read(from)?;
    if report.runs.is_empty() {
        bail!("{} has no report", from.display());
    }
    let is_debug = |run: &&Run| run.versions.get("profile").is_none_or(|profile| profile == "debug");
    if let Some(run) = report.runs.iter().find(is_debug) {
        bail!("the section {} was measured by a debug build", run.section);
    }
    files::write(&report, &root.join("docs/benchmarks"))?;
    let path = root.join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).context("cannot read docs/benchmarks.md")?;
    let page = with_tables(&page, &report).context("docs/benchmarks.md has no place for the tables")?;
    fs::write(path, page).context("cannot write docs/benchmarks.md")
}

/// The page with the tables of a report in their place.
fn with_tables(page: &str, report: &Report) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", tables(report)))
}

fn tables(report: &Report) -> String {
    let mut text = String::new();
    for engine in report.engines() {
        let runs: Vec<_> = report.of_engine(engine).collect();
        text += &format!("\n{}\n\n![the ratios](benchmarks/ratios-{engine}.svg)\n\n", origin(&runs));
        text += "| figure | what it is: its limit | value | limit | ratio | what we want | |\n";
        text += "| --- | --- | --- | --- | --- | --- | --- |\n";
        for run in runs {
            if let Some(error) = &run.error {
                text += &format!("| {} | not measured: {} | | | | | FAILED |\n", run.section, cell(error));
            }
            for figure in &run.figures {
                text +=
                    &format!("| `{}` | {} | {} |\n", figure.name, aim::what(&figure.name), cells(figure).join(" | "));
            }
        }
    }
    text + "\n"
}

/// What measured them, where.
fn origin(runs: &[&Run]) -> String {
    let mut origins: Vec<_> = runs
        .iter()
        .map(|run| {
            let version = |name: &str| run.versions.get(name).map_or("unknown", String::as_str);
            let Machine { processor, cores, memory_gib, .. } = &run.machine;
            format!(
                "{} {}, nats-server {}, {cores} cores of {processor} shared by all programs, {memory_gib} GiB, programs {} ({})",
                run.engine,
                version(&run.engine),
                version("nats-server"),
                version("programs"),
                version("profile"),
            )
        })
        .collect();
    origins.dedup();
    format!("On {}. The whole [report](benchmarks/report.md).", origins.join("; and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn the_tables_of_the_docs_are_those_of_the_kept_report() {
        let page = fs::read_to_string(root().join("docs/benchmarks.md")).unwrap();
        let report = Report::read(&root().join("docs/benchmarks")).unwrap();
        assert_eq!(with_tables(&page, &report).unwrap(), page, "run `bench keep`");
    }

    #[test]
    fn only_the_tables_are_made() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let made = with_tables(&page, &Report::default()).unwrap();
        assert_eq!(made, format!("before\n{BEGIN}\n{END}after\n"));
        assert!(with_tables("no place", &Report::default()).is_none());
    }
}
