//! One order, all the way: taken, published, processed.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Client, RequestBuilder, StatusCode};
use runtime::config::Secret;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::finding::Finding;

const NOTIFIED_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn check(gateway: &str, token: Option<&Secret>) -> Finding {
    let check = "an order".to_owned();
    let advice = "the lines above say where it stopped; each part's log has the order's id";
    match place(gateway.trim_end_matches('/'), token).await {
        Ok(found) => Finding::well(check, found),
        Err(error) if error.is::<Refused>() => Finding::unwell(
            check,
            format!("{error:#}"),
            "name a token with the scopes orders and notifications by --token-file; docs/access.md",
        ),
        Err(error) => Finding::unwell(check, format!("{error:#}"), advice),
    }
}

/// The gateway's answer to a request without the token that it wants.
#[derive(Debug, thiserror::Error)]
#[error("{what} was answered {status}: {title}")]
struct Refused {
    what: &'static str,
    status: StatusCode,
    title: Value,
}

async fn place(gateway: &str, token: Option<&Secret>) -> anyhow::Result<String> {
    let client = Client::builder().timeout(NOTIFIED_WITHIN).build()?;
    let asked = async |what, request: RequestBuilder| {
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token.expose()));
        let answer = request.send().await.context("the gateway does not answer")?;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
            return Err(Refused { what, status, title: body["title"].clone() }.into());
        }
        anyhow::Ok((status, body))
    };
    let order = json!({ "product": "Espresso machine", "quantity": 1, "email": "doctor@example.com" });
    let (status, body) = asked("it", client.post(format!("{gateway}/api/orders")).json(&order)).await?;
    ensure!(status == StatusCode::CREATED, "it was answered {status}: {}", body["title"]);
    let (id, began) = (body["id"].as_str().context("it has no id")?.to_owned(), Instant::now());
    while began.elapsed() < NOTIFIED_WITHIN {
        let notifications = client.get(format!("{gateway}/api/notifications?order_id={id}"));
        let (_, body) = asked("what came of it", notifications).await?;
        if body["notifications"].as_array().is_some_and(|notifications| !notifications.is_empty()) {
            return Ok(format!("{id} was taken, and its customer notified {} ms later", began.elapsed().as_millis()));
        }
        sleep(PAUSE).await;
    }
    anyhow::bail!("{id} was taken, and its customer not notified within {NOTIFIED_WITHIN:?}")
}
