//! `outbox-relay status`: the backlog, the dead events and which relay is active.

use std::process::ExitCode;

use anyhow::Context;
use schema::names::OUTBOX_LEASE;
use serde::Serialize;

use crate::config::StatusConfig;
use crate::store::lease;
use crate::store::outbox::{self, State};

#[derive(Serialize)]
struct Status {
    relay: RelayStatus,
    outbox: Vec<StateStatus>,
}

#[derive(Serialize)]
struct RelayStatus {
    is_active: bool,
    holder: Option<String>,
    epoch: u64,
}

#[derive(Serialize)]
struct StateStatus {
    state: &'static str,
    events: i64,
    oldest_seconds: Option<f64>,
}

/// Prints the status.
///
/// # Errors
/// If the database can't be read.
pub async fn status(config: StatusConfig) -> anyhow::Result<ExitCode> {
    let pool = runtime::mysql::pool(&config.database)?;
    let lease = lease::look(&pool, OUTBOX_LEASE).await.context("reading relay_lease")?;
    let lease = lease.context("relay_lease has no row named outbox: run the migrations")?;
    let mut status = Status {
        relay: RelayStatus { is_active: lease.is_alive, holder: lease.holder, epoch: lease.epoch },
        outbox: Vec::new(),
    };
    for state in State::ALL {
        let count = outbox::count(&pool, state).await.context("counting outbox events")?;
        let state = state.as_str();
        status.outbox.push(StateStatus { state, events: count.events, oldest_seconds: count.oldest_seconds });
    }
    if config.json {
        println!("{}", serde_json::to_string(&status)?);
    } else {
        print!("{}", table(&status));
    }
    Ok(if status.relay.is_active { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(status: &Status) -> String {
    let holder = status.relay.holder.as_deref().unwrap_or("nobody");
    let active = if status.relay.is_active { "active" } else { "NOT ACTIVE" };
    let mut table = format!("relay     {active}, lease epoch {}, held by {holder}\n\n", status.relay.epoch);
    table.push_str("state         events   oldest\n");
    for state in &status.outbox {
        let oldest = state.oldest_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
        table.push_str(&format!("{:<9} {:>10}   {oldest}\n", state.state, state.events));
    }
    table
}
