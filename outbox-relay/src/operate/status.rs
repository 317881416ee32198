//! `outbox-relay status`: the backlog, the dead events, which relay is active, whether the broker takes its events, what is
//! paused, and up to where the stream is proven; and, as its exit status, whether a person should act.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use runtime::config::{EXIT_UNHEALTHY, duration};
use runtime::mysql::Pool;
use runtime::operator::CommonConfig;
use runtime::telemetry::chain;
use runtime::terminal::{self, bad, good, one_line};
use schema::names::OUTBOX_LEASE;
use schema::sequence::{Seq, StreamSeq};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::store::lease;
use crate::store::outbox_count::{self, State};
use crate::store::pause::{self, PauseRow};
use crate::store::relay_stream::{self, StreamRow};

#[derive(Serialize)]
struct Status {
    /// What a person should act on; none if all is well.
    problems: Vec<String>,
    relay: RelayStatus,
    stream: StreamStatus,
    paused: Vec<PauseRow>,
    outbox: Vec<StateStatus>,
}

#[derive(Serialize)]
struct StreamStatus {
    name: Option<String>,
    /// The stream's incarnation.
    created_at: Option<DateTime<Utc>>,
    checked_at: Option<DateTime<Utc>>,
    last_seq: StreamSeq,
    proven_seq: StreamSeq,
    /// What the stream held so long ago is proven, or was until a loss; before the first proof, how long ago a relay first
    /// checked.
    proven_seconds: Option<f64>,
    /// What was published up to this `seq` is still to be compared with the stream.
    history_seq: Option<Seq>,
    /// The sign of a loss that is being examined.
    suspicion: Option<String>,
    /// What the stream drops by itself.
    limits: String,
    /// About how many messages its limits dropped before every durable consumer had them.
    unread_dropped: u64,
    lost_at: Option<DateTime<Utc>>,
    lost_sign: Option<String>,
    healed: u64,
}

impl From<StreamRow> for StreamStatus {
    fn from(row: StreamRow) -> Self {
        Self {
            name: row.stream,
            created_at: row.created_at,
            checked_at: row.checked_at,
            last_seq: row.last_seq,
            proven_seq: row.proven_seq,
            proven_seconds: row.proven_seconds,
            history_seq: row.history_seq,
            suspicion: row.suspicion,
            limits: row.limits,
            unread_dropped: row.unread_dropped,
            lost_at: row.lost_at,
            lost_sign: row.lost_sign,
            healed: row.healed,
        }
    }
}

#[derive(Serialize)]
struct RelayStatus {
    is_active: bool,
    holder: Option<String>,
    epoch: u64,
    /// Why the broker takes no events from it, if it is active and the broker takes none.
    outage: Option<String>,
    outage_since: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct StateStatus {
    state: State,
    events: i64,
    oldest_seconds: Option<f64>,
}

/// Settings of `status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusConfig {
    #[command(flatten)]
    pub common: CommonConfig,

    /// Print it again and again until Ctrl-C, after so long each; a database that is away is waited for. With --json, one line each.
    /// The exit status is that of the last answer.
    #[arg(long, value_name = "PAUSE", num_args = 0..=1, default_missing_value = "2s", value_parser = duration)]
    pub watch: Option<Duration>,
}

/// Prints the status, once or until Ctrl-C. The exit status is about what was printed last.
///
/// # Errors
/// If the database can't be read.
pub async fn status(StatusConfig { common, watch }: StatusConfig) -> anyhow::Result<ExitCode> {
    let pool = common.pool().await?;
    let Some(pause) = watch else { return print(&common, read(&pool).await?) };
    let mut last = Ok(ExitCode::SUCCESS);
    // One for all the time: what arrives while an answer is written counts, too.
    let mut stopped = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    loop {
        let read = tokio::select! { read = read(&pool) => read, _ = stopped.recv() => return last };
        if !common.json {
            terminal::clear().context("writing the answer")?;
        }
        last = match read {
            Ok(status) => Ok(print(&common, status)?),
            Err(error) => {
                terminal::complain(&format!("error: {}", chain(error.as_ref())));
                Err(error)
            }
        };
        tokio::select! { () = tokio::time::sleep(pause) => {}, _ = stopped.recv() => return last }
    }
}

fn print(common: &CommonConfig, status: Status) -> anyhow::Result<ExitCode> {
    common.print(&status, table)?;
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNHEALTHY) })
}

async fn read(pool: &Pool) -> anyhow::Result<Status> {
    let lease = lease::read(pool, OUTBOX_LEASE).await.context("reading relay_lease")?;
    let lease = lease.context("relay_lease has no row named outbox: run the migrations")?;
    // A relay that died can't say that it is over.
    let (outage, outage_since) = if lease.is_alive { (lease.outage, lease.outage_since) } else { (None, None) };
    let stream = relay_stream::read(pool).await.context("reading relay_stream")?;
    let mut status = Status {
        problems: Vec::new(),
        relay: RelayStatus {
            is_active: lease.is_alive,
            holder: lease.holder,
            epoch: lease.epoch,
            outage,
            outage_since,
        },
        stream: stream.into(),
        paused: pause::list(pool).await.context("reading outbox_pause")?,
        outbox: Vec::new(),
    };
    for state in State::ALL {
        let count = outbox_count::count(pool, state).await.context("counting outbox events")?;
        status.outbox.push(StateStatus { state, events: count.events, oldest_seconds: count.oldest_seconds });
    }
    status.problems = problems(&status);
    Ok(status)
}

fn problems(status: &Status) -> Vec<String> {
    let Status { relay, stream, outbox, .. } = status;
    let mut problems = Vec::new();
    if !relay.is_active {
        problems.push("no relay is active".to_owned());
    }
    if relay.outage.is_some() {
        problems.push("the broker takes no events".to_owned());
    }
    if stream.suspicion.is_some() {
        problems.push("the broker may have lost events".to_owned());
    }
    if stream.unread_dropped > 0 {
        problems.push(format!("the stream's limits dropped {} messages unread", stream.unread_dropped));
    }
    // Until what was published again is proven, nobody knows that the loss is over.
    let proven_at =
        stream.proven_seconds.and_then(|seconds| Utc::now().checked_sub_signed(TimeDelta::seconds(seconds as i64)));
    if stream
        .lost_at
        .is_some_and(|lost_at| stream.proven_seq == StreamSeq::ZERO || proven_at.is_none_or(|proven| proven < lost_at))
    {
        problems.push("the broker lost events, and what was published again is not proven yet".to_owned());
    }
    let dead = outbox.iter().filter(|state| state.state == State::Dead && state.events > 0);
    problems.extend(dead.map(|dead| format!("{} events are dead", dead.events)));
    problems
}

fn table(status: &Status) -> String {
    let holder = status.relay.holder.as_deref().map_or("nobody".to_owned(), one_line);
    let active = if status.relay.is_active { good("active") } else { bad("NOT ACTIVE") };
    let mut table = format!(
        "relay     {active}; the lease is held by {holder} and was taken {} times so far\n",
        status.relay.epoch
    );
    if let Some((outage, since)) = status.relay.outage.as_ref().zip(status.relay.outage_since) {
        table.push_str(&format!("broker    {} since {}: {}\n", bad("TAKES NO EVENTS"), said(since), one_line(outage)));
    }
    table.push_str(&stream_lines(&status.stream));
    for PauseRow { pattern, reason, paused_by, paused_at } in &status.paused {
        let (pattern, by, reason) = (one_line(pattern), one_line(paused_by), one_line(reason));
        table.push_str(&format!("paused    {pattern}, since {} by {by}: {reason}\n", said(*paused_at)));
    }
    table.push_str("\nstate         events   oldest\n");
    for state in &status.outbox {
        let oldest = state.oldest_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"));
        table.push_str(&format!("{:<9} {:>10}   {oldest}\n", state.state.as_str(), state.events));
    }
    table.extend(status.problems.iter().map(|problem| format!("\nproblem   {}", bad(problem))));
    if !status.problems.is_empty() {
        table.push('\n');
    }
    table
}

fn stream_lines(stream: &StreamStatus) -> String {
    let Some(created_at) = stream.created_at else { return "stream    no relay has checked it yet\n".to_owned() };
    let StreamStatus { last_seq, proven_seq, healed, .. } = stream;
    let seconds = stream.proven_seconds.unwrap_or(0.0);
    let name = stream.name.as_deref().map_or("of a name that was not kept".to_owned(), one_line);
    let mut lines = format!("stream    {name}, created {}, its last sequence is {last_seq}\n", said(created_at));
    lines.push_str(&match *proven_seq {
        StreamSeq::ZERO => format!("proven    nothing, for {seconds:.0} s\n"),
        proven => format!("proven    up to sequence {proven}: all that the stream held {seconds:.0} s ago\n"),
    });
    if let Some(seq) = stream.history_seq {
        lines.push_str(&format!(
            "history   what was published up to seq {seq} is still to be compared with the stream\n"
        ));
    }
    if stream.unread_dropped > 0 {
        let StreamStatus { unread_dropped, limits, .. } = stream;
        lines.push_str(&format!(
            "limits    DROPPED {unread_dropped} messages before every consumer had them: {limits}; raise or remove the limit, \
             and they are published again\n"
        ));
    }
    if let Some(sign) = &stream.suspicion {
        lines.push_str(&format!("loss      SUSPECTED, being checked: {}\n", one_line(sign)));
    }
    if let Some((lost_at, sign)) = stream.lost_at.zip(stream.lost_sign.as_ref()) {
        let sign = one_line(sign);
        lines.push_str(&format!(
            "loss      last at {} ({sign}); {healed} events were published again in all\n",
            said(lost_at)
        ));
    }
    lines
}

fn said(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
