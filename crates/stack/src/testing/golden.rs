//! Golden files: interfaces that a test holds fast.

use std::{env, fs};

/// Compares the series of a `/metrics` page, names and labels but no values, with a golden file. What a library reports of
/// the process and the buckets of histograms are left out. `UPDATE_GOLDEN=1` writes the file again.
///
/// # Panics
/// If they differ.
pub fn assert_series(page: &str, golden: &str) {
    let is_ours = |line: &&str| !line.starts_with('#') && !line.contains("le=\"") && !line.starts_with("process_");
    let series = page.lines().filter(is_ours).filter_map(|line| line.rsplit_once(' '));
    let mut series: Vec<&str> = series.map(|(series, _)| series).collect();
    series.sort_unstable();
    let series = series.join("\n") + "\n";
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &series).expect("the workspace is writable");
    }
    assert_eq!(series, fs::read_to_string(golden).unwrap_or_default(), "{golden}; UPDATE_GOLDEN=1 writes it anew");
}
