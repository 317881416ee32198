//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use stack::Engine;
use stack::testing::assert_series;

use crate::support::World;

#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let world = World::new(Engine::MySql).await;
    let relay = world.relay().start().await;
    let text = reqwest::get(relay.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    assert_series(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt"));
}
