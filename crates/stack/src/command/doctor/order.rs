//! One order, all the way: taken, published, processed.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::finding::Finding;

const NOTIFIED_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn check(gateway: &str) -> Finding {
    let check = "an order".to_owned();
    let advice = "the lines above say where it stopped; each part's log has the order's id";
    match place(gateway.trim_end_matches('/')).await {
        Ok(found) => Finding::well(check, found),
        Err(error) => Finding::unwell(check, format!("{error:#}"), advice),
    }
}

async fn place(gateway: &str) -> anyhow::Result<String> {
    let client = Client::builder().timeout(NOTIFIED_WITHIN).build()?;
    let order = json!({ "product": "Espresso machine", "quantity": 1, "email": "doctor@example.com" });
    let sent = client.post(format!("{gateway}/api/orders")).json(&order).send().await;
    let answer = sent.context("the gateway does not answer")?;
    let status = answer.status();
    let body: Value = answer.json().await.context("it was answered no JSON")?;
    ensure!(status == 201, "it was answered {status}: {}", body["title"]);
    let (id, began) = (body["id"].as_str().context("it has no id")?.to_owned(), Instant::now());
    while began.elapsed() < NOTIFIED_WITHIN {
        let asked = client.get(format!("{gateway}/api/notifications?order_id={id}")).send().await;
        let body: Value = asked.context("the gateway does not answer")?.json().await.unwrap_or_default();
        if body["notifications"].as_array().is_some_and(|notifications| !notifications.is_empty()) {
            return Ok(format!("{id} was taken, and its customer notified {} ms later", began.elapsed().as_millis()));
        }
        sleep(PAUSE).await;
    }
    anyhow::bail!("{id} was taken, and its customer not notified within {NOTIFIED_WITHIN:?}")
}
