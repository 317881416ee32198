//! Golden files: interfaces that a test holds fast.

use std::{env, fs};

use runtime::http::problem;
use serde_json::Value;

/// Compares a JSON text with a golden file, which `UPDATE_GOLDEN=1` writes again. In which order an object has its members is a
/// matter of how serde_json was built.
///
/// # Panics
/// If they differ.
pub fn assert_golden(generated: &str, golden: &str) {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    let committed = fs::read_to_string(golden).unwrap_or_default();
    if value(&committed) == value(generated) {
        return;
    }
    assert!(
        env::var_os("UPDATE_GOLDEN").is_some(),
        "{golden} is not what the code says: UPDATE_GOLDEN=1 writes it again"
    );
    fs::write(golden, generated).expect("the workspace is writable");
}

/// Each operation of an OpenAPI document says what success is, and what the faults 500 and 503 are, with examples.
///
/// # Panics
/// If one does not.
pub fn assert_documented(document: &Value) {
    for (path, item) in document["paths"].as_object().expect("a document has paths") {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let responses = operation["responses"].as_object().expect("an operation has responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            for status in ["500", "503"] {
                let content = &responses[status]["content"][problem::CONTENT_TYPE];
                let examples = content["examples"].as_object().expect("a fault has examples");
                assert!(!examples.is_empty(), "{method} {path} {status}");
            }
        }
    }
}

/// An OpenAPI document as a service serves it that asks nobody for a token.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn without_tokens(mut document: Value) -> Value {
    document["components"].as_object_mut().expect("a document has components").remove("securitySchemes");
    for item in document["paths"].as_object_mut().expect("a document has paths").values_mut() {
        for operation in item.as_object_mut().expect("a path has operations").values_mut() {
            operation.as_object_mut().expect("an operation is an object").remove("security");
        }
    }
    document
}

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
    assert_eq!(series, fs::read_to_string(golden).unwrap_or_default(), "{golden}; UPDATE_GOLDEN=1 writes it again");
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
