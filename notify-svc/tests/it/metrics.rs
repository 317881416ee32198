//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use std::path::Path;

use stack::Engine;

use crate::setting::Setting;

/// Every series that operators may build on is there before anything happened. `UPDATE_GOLDEN=1` writes the list anew.
#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    let text = reqwest::get(service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    let mut names: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("le=\"") && !line.starts_with("process_"))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, names.join("\n") + "\n").unwrap();
    }
    assert_eq!(names.join("\n") + "\n", std::fs::read_to_string(golden).unwrap_or_default());
}
