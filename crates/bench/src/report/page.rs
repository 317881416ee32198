//! The page of a report, in Markdown.

use std::fmt::Write as _;

use super::machine::Machine;
use super::model::{Report, Run};
use super::svg::number;
use crate::aim;
use crate::figure::Figure;

/// Everything, section by section, with the charts beside it.
pub(crate) fn of(report: &Report) -> String {
    let mut page =
        "# Benchmark report\n\nWritten by `bench`; what each figure means is in docs/benchmarks.md.\n".to_owned();
    for engine in report.engines() {
        add(&mut page, &format!("\n![ratios on {engine}](ratios-{engine}.svg)\n"));
    }
    for run in &report.runs {
        add(&mut page, &section(run));
    }
    page
}

fn section(run: &Run) -> String {
    let mut text = format!("\n## {} on {}\n\n", run.section, run.engine);
    let Run { machine, began_at, seconds, .. } = run;
    let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    add(
        &mut text,
        &format!("{}, {seconds} s. Versions: {}. ", began_at.format("%Y-%m-%d %H:%M UTC"), pairs(&run.versions)),
    );
    add(&mut text, &format!("Settings: {}.\n\n", pairs(&run.settings)));
    let Machine { processor, cores, memory_gib, system, kernel } = machine;
    add(&mut text, &format!("Machine: {cores} cores of {processor}, {memory_gib} GiB, {system}, Linux {kernel}.\n"));
    if let Some(error) = &run.error {
        add(&mut text, &format!("\n**Not measured:** {}\n", cell(error)));
    }
    if !run.figures.is_empty() {
        text.push_str("\n| figure | value | limit | ratio | what we want | | remarks |\n| --- | --- | --- | --- | --- | --- | --- |\n");
    }
    for figure in &run.figures {
        let remarks: Vec<_> = figure.failure.iter().chain(&figure.note).map(|remark| cell(remark)).collect();
        let row = format!("| `{}` | {} | {} |\n", figure.name, cells(figure).join(" | "), remarks.join("; "));
        add(&mut text, &row);
    }
    for curves in &run.curves {
        add(&mut text, &format!("\n![{}]({})\n", curves.title, run.chart(curves)));
    }
    text
}

/// Value, limit, ratio, aim and verdict.
pub(crate) fn cells(figure: &Figure) -> [String; 5] {
    let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
    [
        format!("{} {}", number(figure.value), figure.unit),
        optional(figure.limit),
        optional(figure.ratio),
        aim::of(&figure.name).map(|aim| aim.to_string()).unwrap_or_default(),
        figure.verdict().to_string(),
    ]
}

/// Text that can stand in a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn add(page: &mut String, text: &str) {
    page.write_str(text).expect("a String takes everything");
}
