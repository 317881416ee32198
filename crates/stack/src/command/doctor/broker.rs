//! The broker: whether it answers, has the streams, and whether their consumers keep up.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::{Client, ConnectOptions};
use chrono::{DateTime, Utc};
use runtime::config::Secret;
use serde_json::Value;
use tokio::time::timeout;

use super::finding::Finding;

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Messages that may wait for a consumer.
const LAG_MAX: u64 = 1000;

pub(super) async fn check(url: &Secret, password: Option<&Secret>, readers: &[(&str, Vec<&str>)]) -> Vec<Finding> {
    let client = match timeout(ANSWERS_WITHIN, connect(url, password)).await {
        Ok(Ok(client)) => client,
        failed => {
            let fault = match failed {
                Ok(Err(error)) => format!("{error:#}"),
                _ => format!("it does not answer within {ANSWERS_WITHIN:?}"),
            };
            let advice = "start nats-server, or check its log and the password of `operator`";
            return vec![Finding::unwell("broker".to_owned(), fault, advice)];
        }
    };
    let version = client.server_info().version;
    let mut findings = vec![Finding::well("broker".to_owned(), format!("answers, version {version}"))];
    let mut is_timed = false;
    for (stream, consumers) in readers {
        let before = Utc::now();
        match ask(&client, &format!("STREAM.INFO.{stream}")).await {
            Ok(answer) => {
                let told = answer["ts"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
                if let Some(told) = told.filter(|_| !is_timed) {
                    findings.push(Finding::clock("the broker", told, (before, Utc::now())));
                    is_timed = true;
                }
                let found = format!("{} messages", answer["state"]["messages"]);
                findings.push(Finding::well(format!("stream {stream}"), found));
            }
            Err(error) => {
                let advice =
                    "the relay makes the stream when it starts; `outbox-relay stream check` says what it should be";
                findings.push(Finding::unwell(format!("stream {stream}"), format!("{error:#}"), advice));
                continue;
            }
        }
        for consumer in consumers {
            findings.push(read_by(&client, stream, consumer).await);
        }
    }
    findings
}

async fn connect(url: &Secret, password: Option<&Secret>) -> anyhow::Result<Client> {
    let options = match password {
        Some(password) => ConnectOptions::with_user_and_password("operator".to_owned(), password.expose().to_owned()),
        None => ConnectOptions::new(),
    };
    let addresses: Vec<&str> = url.expose().split(',').collect();
    let options = options.custom_inbox_prefix("_INBOX.operator").max_reconnects(1);
    options.connect(addresses).await.context("it can't be connected to")
}

async fn ask(client: &Client, what: &str) -> anyhow::Result<Value> {
    let asked = client.request(format!("$JS.API.{what}"), "".into());
    let answer = timeout(ANSWERS_WITHIN, asked).await.context("JetStream does not answer")??;
    let answer: Value = serde_json::from_slice(&answer.payload).context("JetStream answers no JSON")?;
    if let Some(refusal) = answer["error"]["description"].as_str() {
        bail!("{refusal}");
    }
    Ok(answer)
}

async fn read_by(client: &Client, stream: &str, consumer: &str) -> Finding {
    let check = format!("consumer {consumer} of {stream}");
    let answer = match ask(client, &format!("CONSUMER.INFO.{stream}.{consumer}")).await {
        Ok(answer) => answer,
        Err(error) => {
            return Finding::unwell(check, format!("{error:#}"), "start its service, which makes the consumer");
        }
    };
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let waiting = number("num_pending") + number("num_ack_pending");
    let fault = if number("num_waiting") == 0 && number("num_ack_pending") == 0 {
        Some(format!("nobody reads; {waiting} messages wait"))
    } else {
        (waiting > LAG_MAX).then(|| format!("{waiting} messages wait"))
    };
    Finding::of(check, fault, format!("{waiting} messages wait"), "start its service, or read its log and its /readyz")
}
