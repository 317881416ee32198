//! A fuzzer that reads a service's OpenAPI document and tries to prove it wrong.

use tokio::process::Command;

use super::Service;
use crate::home::Home;

/// Sends a service the requests that its document allows, and some that it does not, the same ones each time, and
/// compares the answers with the document. `hooks` is a file of Python that schemathesis loads. Returns its report.
///
/// # Panics
/// With the report, if an answer is not what the document says.
pub async fn fuzz(service: &Service, hooks: Option<&str>) -> String {
    let mut fuzzer = Command::new(Home::find().and_then(|home| home.program("schemathesis")).expect("fetched"));
    fuzzer
        .args(["run", &service.url("/docs/openapi.json"), "--checks", "all", "--no-color"])
        // A test that fails now and then proves nothing.
        .args(["--seed", "1", "--max-examples", "25", "--max-time", "60", "--generation-database", "none"])
        .current_dir(std::env::temp_dir())
        .kill_on_drop(true);
    if let Some(hooks) = hooks {
        fuzzer.env("SCHEMATHESIS_HOOKS", hooks);
    }
    let output = fuzzer.output().await.expect("schemathesis can be run");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    report
}
