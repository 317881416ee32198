//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use std::path::Path;

use stack::Engine;

use crate::support::World;

#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    let text = reqwest::get(relay.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    let mut names: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("le=\"") && !line.starts_with("process_"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, names.join("\n") + "\n").unwrap();
    }
    assert_eq!(names.join("\n") + "\n", std::fs::read_to_string(golden).unwrap());
}
