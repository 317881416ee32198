//! Golden files: interfaces that a test holds fast.

use std::{env, fs};

/// Compares the series of a `/metrics` page with a golden file: names, types, help and labels, but no values, and the bounds
/// of a histogram in one line in place of its buckets. What a library reports of the process is left out. `UPDATE_GOLDEN=1`
/// writes the file again, and `.ci/metrics --write` the page of docs/ that is made from these files.
///
/// # Panics
/// If they differ.
pub fn assert_series(page: &str, golden: &str) {
    let series = series(page);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &series).expect("the workspace is writable");
    }
    assert_eq!(series, fs::read_to_string(golden).unwrap_or_default(), "{golden}; UPDATE_GOLDEN=1 writes it anew");
}

fn series(page: &str) -> String {
    let mut series = String::new();
    let mut bounds = String::new();
    for line in page.lines() {
        if let Some((_, bound)) = line.split_once("le=\"") {
            let bound = bound.split('"').next().unwrap_or_default();
            if bound != "+Inf" && !bounds.split(' ').any(|known| known == bound) {
                bounds = format!("{bounds} {bound}");
            }
            continue;
        }
        if !bounds.is_empty() && line.starts_with("# ") {
            series.push_str(&format!("# BOUNDS{bounds}\n"));
            bounds.clear();
        }
        let of = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        if of.starts_with("process_") {
            continue;
        }
        let name = if line.starts_with('#') { line } else { line.rsplit_once(' ').map_or(line, |(name, _)| name) };
        series.push_str(&name.replace(concat!("version=\"", env!("CARGO_PKG_VERSION"), '"'), "version=\"...\""));
        series.push('\n');
    }
    if !bounds.is_empty() {
        series.push_str(&format!("# BOUNDS{bounds}\n"));
    }
    series
}
