//! `outbox-relay stream check`: the preflight that `run` does at its start and once a minute, for people and for CI. Changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use runtime::config::{EXIT_UNHEALTHY, duration};
use runtime::nats::{self, NatsConfig};
use runtime::terminal::one_line;

use super::preflight::stream::{Broker, Demands, worst_replay};
use super::preflight::{Finding, Findings, Preflight};
use crate::config::StreamConfig;
use runtime::operator::CommonConfig;

/// Settings of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckConfig {
    #[command(flatten)]
    pub common: CommonConfig,
    #[command(flatten)]
    pub nats: NatsConfig,
    #[command(flatten)]
    pub stream: StreamConfig,

    /// LEASE_TIME of the relays.
    #[arg(long, env = "LEASE_TIME", default_value = "3s", value_parser = duration)]
    pub lease_time: Duration,

    /// PUBLISH_TIMEOUT of the relays.
    #[arg(long, env = "PUBLISH_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub publish_timeout: Duration,

    /// Exit 4 also if there is only a warning.
    #[arg(long)]
    pub strict: bool,
}

/// Prints the findings: the exit status is 4 if one is an error, else 1 if the database or the broker does not answer.
///
/// # Errors
/// If a setting can't be used. That a server is away is a finding.
pub async fn check(config: CheckConfig) -> anyhow::Result<ExitCode> {
    let preflight = Preflight {
        pool: config.common.pool().await?,
        broker: Broker::new(nats::connect("outbox-relay stream check", &config.nats).await?),
        demands: Demands {
            stream: config.stream,
            worst_replay: worst_replay(config.publish_timeout, config.lease_time),
        },
    };
    let found = preflight.check().await;
    config.common.print(&found, text)?;
    Ok(match () {
        () if found.has_errors() => ExitCode::from(EXIT_UNHEALTHY),
        // What was not checked may be wrong.
        () if !found.is_complete => ExitCode::FAILURE,
        () if config.strict && found.refuse() => ExitCode::from(EXIT_UNHEALTHY),
        () => ExitCode::SUCCESS,
    })
}

fn text(found: &Findings) -> String {
    if found.findings.is_empty() {
        return "everything is as it should be\n".to_owned();
    }
    let one = |Finding { severity, setting, what, why, fix }: &Finding| {
        let head = format!("{:<8} {}: {}", severity.as_str(), one_line(setting), one_line(what));
        format!("{head}\n         why:  {why}\n         fix:  {}\n", one_line(fix))
    };
    found.findings.iter().map(one).collect()
}
