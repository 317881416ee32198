//! The files of a report: itself, its page and its charts.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::model::Report;
use super::{bars, curves, page};

/// Writes the report with its page and charts.
pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut files = vec![("report.json".to_owned(), serde_json::to_string_pretty(report)? + "\n")];
    files.extend(charts(report));
    files.push(("report.md".to_owned(), page::of(report)));
    for (name, text) in files {
        fs::write(folder.join(&name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// The ratios of each engine, and the curves of each run; each with its file's name.
fn charts(report: &Report) -> Vec<(String, String)> {
    let mut charts = Vec::new();
    for engine in report.engines() {
        let figures: Vec<_> = report.of_engine(engine).flat_map(|run| &run.figures).collect();
        charts.push((format!("ratios-{engine}.svg"), bars::draw(&figures)));
    }
    for run in &report.runs {
        charts.extend(run.curves.iter().map(|curves| (run.chart(curves), curves::draw(curves))));
    }
    charts
}

#[cfg(test)]
mod tests;
