//! The programs, by their admin ports: whether they are ready, show metrics, and are of one version.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Client;

use super::finding::Finding;

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const ADVICE: &str = "start it, or read its log; what it waits for is in its /readyz";

/// The admin port of a program.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    program: String,
    url: String,
}

impl FromStr for Admin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (program, url) = text.split_once('=').ok_or("it is such as order-svc=http://127.0.0.1:9081")?;
        Ok(Self { program: program.to_owned(), url: url.trim_end_matches('/').to_owned() })
    }
}

pub(super) async fn check(admins: &[Admin]) -> Vec<Finding> {
    if admins.is_empty() {
        return vec![Finding::unasked("services".to_owned())];
    }
    let client = Client::builder().timeout(ANSWERS_WITHIN).build().unwrap_or_default();
    let (mut findings, mut versions) = (Vec::new(), BTreeSet::new());
    for admin in admins {
        let ready = ready(&client, admin).await;
        let fault = ready.err().map(|error| format!("{error:#}"));
        findings.push(Finding::of(admin.program.clone(), fault, "is ready".to_owned(), ADVICE));
        match version(&client, admin).await {
            Ok(version) => {
                findings.push(Finding::well(format!("metrics of {}", admin.program), format!("version {version}")));
                versions.insert(version);
            }
            Err(error) => {
                let check = format!("metrics of {}", admin.program);
                findings.push(Finding::unwell(check, format!("{error:#}"), ADVICE));
            }
        }
    }
    let found = versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let fault = (versions.len() > 1).then(|| format!("they differ: {found}"));
    let advice = "a rollout that has not ended, or one that was forgotten: bring all to one version";
    findings.push(Finding::of("versions".to_owned(), fault, found, advice));
    findings
}

async fn ready(client: &Client, admin: &Admin) -> anyhow::Result<()> {
    let answer = client.get(format!("{}/readyz", admin.url)).send().await.context("it does not answer")?;
    let is_ready = answer.status().is_success();
    let said = answer.text().await.unwrap_or_default();
    ensure!(is_ready, "it is not ready: {}", said.trim());
    Ok(())
}

/// The label of its metric `build_info`.
async fn version(client: &Client, admin: &Admin) -> anyhow::Result<String> {
    let answer = client.get(format!("{}/metrics", admin.url)).send().await.context("it does not answer")?;
    let text = answer.error_for_status().context("it shows no metrics")?.text().await.context("it breaks off")?;
    let version = text.lines().find_map(|line| line.strip_prefix("build_info{")?.split("version=\"").nth(1));
    let version = version.and_then(|rest| rest.split('"').next());
    Ok(version.context("its metrics have no build_info")?.to_owned())
}
