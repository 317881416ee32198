//! The names and labels of /metrics are an interface: dashboards and alerts rely on them.

use stack::Engine;
use stack::testing::assert_series;

use crate::setting::Setting;

/// Every series that operators may build on is there before anything happened. `UPDATE_GOLDEN=1` writes the list again.
#[tokio::test]
async fn metrics_keep_their_names_and_labels() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().env("PAYMENTS_STREAM", schema::names::PAYMENTS_STREAM).start().await;
    reqwest::get(service.url("/api/notifications?state=dead")).await.unwrap();
    let text = reqwest::get(service.admin_url("/metrics")).await.unwrap().text().await.unwrap();
    assert_series(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt"));
}
