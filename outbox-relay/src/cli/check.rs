//! `outbox-relay check`: the preflight that `run` does at its start, for people and for CI.

use std::process::ExitCode;
use std::time::Duration;

use runtime::config::duration;
use runtime::nats::{self, NatsConfig};

use super::operator::LookConfig;
use super::table::one_line;
use crate::config::StreamConfig;
use crate::preflight::{Broker, Demands, Finding, Findings, Preflight, worst_replay};

/// Settings of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckConfig {
    #[command(flatten)]
    pub look: LookConfig,
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

    /// Exit 1 if there is an error or a warning, or if the database or the broker does not answer.
    #[arg(long)]
    pub strict: bool,
}

/// Prints the findings.
///
/// # Errors
/// If a setting can't be used. That a server is away is a finding.
pub async fn check(config: CheckConfig) -> anyhow::Result<ExitCode> {
    let preflight = Preflight {
        pool: config.look.pool()?,
        broker: Broker::new(nats::connect("outbox-relay check", &config.nats).await?),
        demands: Demands {
            stream: config.stream,
            worst_replay: worst_replay(config.publish_timeout, config.lease_time),
        },
    };
    let found = preflight.look().await;
    config.look.print(&found, text)?;
    let is_refused = config.strict && (found.refuse() || !found.is_complete);
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(found: &Findings) -> String {
    if found.findings.is_empty() {
        return "everything is as it should be\n".to_owned();
    }
    let one = |Finding { severity, setting, what, why, mend }: &Finding| {
        let head = format!("{:<8} {setting}: {}", severity.as_str(), one_line(what));
        format!("{head}\n         why:  {why}\n         mend: {}\n", one_line(mend))
    };
    found.findings.iter().map(one).collect()
}
