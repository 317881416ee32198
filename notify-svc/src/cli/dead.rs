//! `notify-svc dead`: messages that could not be processed, and what a person decides about them.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::operator::{LookConfig, time};
use runtime::terminal::one_line as plain;
use serde::Serialize;

use super::DecisionConfig;
use crate::process::{self, Requeued};
use crate::store::inbox_dead::{self, Dead, DeadId, DeadLine};

/// What to do with dead messages.
#[derive(Debug, Subcommand)]
pub enum DeadVerb {
    /// List those that nobody has decided about, oldest first.
    List(ListConfig),
    /// Show one whole: subject, headers, body and reason.
    Show(OneConfig),
    /// Process one again, now, as if it had just come: parked if an earlier version is missing; exits 1 if it still can't be processed.
    Requeue(DecideConfig),
    /// Give one up. If it was a version of an order, the order's later versions no longer wait for it.
    Discard(DecideConfig),
}

impl DeadVerb {
    /// What every one of them needs.
    pub fn look(&self) -> &LookConfig {
        match self {
            Self::List(config) => &config.look,
            Self::Show(config) => &config.look,
            Self::Requeue(config) | Self::Discard(config) => config.act.look(),
        }
    }
}

/// Settings of `dead list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,

    /// Lines at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only ids above this one: the last of the page before.
    #[arg(long, default_value_t = 0)]
    pub after: DeadId,
}

/// Settings of `dead show`.
#[derive(Debug, Args)]
pub struct OneConfig {
    /// The id that `dead list` shows.
    pub id: DeadId,

    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,
}

/// Settings of `dead requeue` and `dead discard`.
#[derive(Debug, Args)]
pub struct DecideConfig {
    /// The id that `dead list` shows.
    pub id: DeadId,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

#[derive(Serialize)]
struct Line {
    id: DeadId,
    stream_sequence: u64,
    subject: String,
    reason: String,
    dead_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Serialize)]
struct Whole {
    id: DeadId,
    stream_sequence: u64,
    subject: String,
    headers: Vec<(String, String)>,
    /// With replacement characters where it is no UTF-8; the row has the bytes.
    body: String,
    /// Of the whole body, if the row has only its beginning.
    whole_bytes: Option<u64>,
    whole_sha256: Option<String>,
    reason: String,
    dead_at: chrono::DateTime<chrono::Utc>,
    resolution: Option<String>,
    note: Option<String>,
}

#[derive(Serialize)]
struct Decided {
    id: DeadId,
    outcome: &'static str,
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn dead(verb: DeadVerb) -> anyhow::Result<ExitCode> {
    match verb {
        DeadVerb::List(config) => list(config).await,
        DeadVerb::Show(config) => show(config).await,
        DeadVerb::Requeue(config) => requeue(config).await,
        DeadVerb::Discard(config) => discard(config).await,
    }
}

async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let pool = config.look.pool()?;
    let found = inbox_dead::list(&pool, config.after, config.limit).await.context("reading inbox_dead")?;
    let lines: Vec<_> = found
        .into_iter()
        .map(|DeadLine { id, stream_sequence, subject, reason, dead_at }| Line {
            id,
            stream_sequence,
            subject,
            reason,
            dead_at,
        })
        .collect();
    config.look.print(&lines, |lines| {
        let mut table = format!("{:>8} {:>10} {:<19} {:<20} reason\n", "id", "sequence", "dead at", "subject");
        for Line { id, stream_sequence, subject, reason, dead_at } in lines {
            let (at, subject, reason) = (time(*dead_at), plain(subject), plain(reason));
            table.push_str(&format!("{id:>8} {stream_sequence:>10} {at:<19} {subject:<20} {reason}\n"));
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(config: OneConfig) -> anyhow::Result<ExitCode> {
    let pool = config.look.pool()?;
    let found = inbox_dead::show(&pool, config.id).await.context("reading inbox_dead")?;
    let Some(Dead { message, reason, dead_at, resolution, note, whole }) = found else {
        eprintln!("no dead message has the id {}", config.id);
        return Ok(ExitCode::FAILURE);
    };
    let whole = Whole {
        id: config.id,
        stream_sequence: message.stream_sequence,
        subject: message.subject,
        headers: message.headers,
        body: String::from_utf8_lossy(&message.payload).into_owned(),
        whole_bytes: whole.as_ref().map(|(bytes, _)| *bytes),
        whole_sha256: whole.map(|(_, digest)| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        reason,
        dead_at,
        resolution,
        note,
    };
    config.look.print(&whole, table)?;
    Ok(ExitCode::SUCCESS)
}

fn table(whole: &Whole) -> String {
    let mut table = format!(
        "id         {}\nsequence   {}\nsubject    {}\ndead at    {}\nreason     {}\n",
        whole.id,
        whole.stream_sequence,
        plain(&whole.subject),
        time(whole.dead_at),
        plain(&whole.reason),
    );
    if let Some(resolution) = &whole.resolution {
        let note = whole.note.as_deref().map(plain).unwrap_or_default();
        table.push_str(&format!("decision   {resolution} {note}\n"));
    }
    for (name, value) in &whole.headers {
        table.push_str(&format!("header     {}: {}\n", plain(name), plain(value)));
    }
    table.push_str(&format!("body       {}\n", plain(&whole.body)));
    if let (Some(bytes), Some(sha256)) = (whole.whole_bytes, &whole.whole_sha256) {
        table.push_str(&format!(
            "cut        the whole body has {bytes} bytes and the SHA-256 {sha256}; the stream may have it\n"
        ));
    }
    table
}

async fn requeue(DecideConfig { id, act }: DecideConfig) -> anyhow::Result<ExitCode> {
    let pool = act.look().pool()?;
    let (outcome, reason) = match process::requeue(&pool, id, act.by()).await.context("processing the message")? {
        Requeued::Applied => ("applied", None),
        Requeued::Parked => ("parked", None),
        Requeued::Refused(reason) => ("refused", Some(reason)),
        Requeued::Unknown => ("unknown", Some("no open dead message has this id".to_owned())),
    };
    tell(act.look(), Decided { id, outcome, reason })
}

async fn discard(DecideConfig { id, act }: DecideConfig) -> anyhow::Result<ExitCode> {
    let pool = act.look().pool()?;
    let decided = match process::discard(&pool, id, act.by()).await {
        Ok(()) => Decided { id, outcome: "discarded", reason: None },
        Err(process::Failure::Database(error)) => return Err(error).context("writing the decision"),
        Err(refusal) => Decided { id, outcome: "refused", reason: Some(refusal.to_string()) },
    };
    tell(act.look(), decided)
}

/// A decision that was refused is exit 1.
fn tell(look: &LookConfig, decided: Decided) -> anyhow::Result<ExitCode> {
    look.print(&decided, |decided| {
        let reason = decided.reason.as_deref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
        format!("message {} {}{reason}\n", decided.id, decided.outcome)
    })?;
    Ok(if decided.reason.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
