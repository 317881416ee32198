//! `message`: messages that could not be processed, and what a person decides about them.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use runtime::exit::NotFound;
use runtime::operator::decision::{DecisionConfig, Verdict};
use runtime::operator::progress::Progress;
use runtime::operator::table::{Table, fields, or_dash};
use runtime::operator::{CommonConfig, time};
use serde::Serialize;

use crate::handler::Handler;
use crate::message::Claimed;
use crate::process::{Failure, Inbox, Requeued};
use crate::store::inbox_dead::{self, Dead, DeadId};
use crate::store::inbox_dead_list::{self, DeadLine, Wanted};

/// What to do with dead messages.
#[derive(Debug, Subcommand)]
pub enum MessageVerb {
    /// List those that nobody has decided about, oldest first, with the event that each says it is.
    List(ListConfig),
    /// Show one whole: subject, headers, body and reason.
    Show(ShowConfig),
    /// Process some again, now, as if they had just come: parked if an earlier version is missing. Exits 2 if one of them still
    /// can't be processed; that one stays dead. Exits 3 if one is not there, or decided already.
    Requeue(DecideConfig),
    /// Give some up. If one was a version of an aggregate, the later versions no longer wait for it. Exits 2 if one was
    /// refused, 3 if one is not there, or decided already.
    Discard(DecideConfig),
}

impl MessageVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::List(config) => &config.common,
            Self::Show(config) => &config.common,
            Self::Requeue(config) | Self::Discard(config) => &config.act.common,
        }
    }
}

/// Settings of `message list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Only those whose reason has this text in it.
    #[arg(long = "error")]
    pub reason_part: Option<String>,

    /// Lines at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only ids above this one: the last of the page before.
    #[arg(long, default_value_t = 0)]
    pub after: DeadId,
}

/// Settings of `message show`.
#[derive(Debug, Args)]
pub struct ShowConfig {
    /// The id that `message list` shows.
    pub id: DeadId,

    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,
}

/// Settings of `message requeue` and `message discard`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "dead"]))]
pub struct DecideConfig {
    /// Ids that `message list` shows.
    pub ids: Vec<DeadId>,

    /// All of them, narrowed by --error.
    #[arg(long)]
    pub dead: bool,

    /// With --dead: only those whose reason has this text in it.
    #[arg(long = "error", requires = "dead")]
    pub reason_part: Option<String>,

    /// With --dead: at most so many, oldest first.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

#[derive(Serialize)]
struct Whole {
    id: DeadId,
    stream_sequence: u64,
    subject: String,
    #[serde(flatten)]
    claimed: Claimed,
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
    #[serde(skip)]
    verdict: Verdict,
    outcome: &'static str,
    reason: Option<String>,
}

/// What became of a decision, the word for it if it was carried out, and the reason if it was not.
type Answer = (Verdict, &'static str, Option<String>);

#[derive(Clone, Copy)]
enum Decision {
    Requeue,
    Discard,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub(super) async fn message<H: Handler>(verb: MessageVerb, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    match verb {
        MessageVerb::List(config) => list(config, inbox).await,
        MessageVerb::Show(config) => show(config, inbox).await,
        MessageVerb::Requeue(config) => decide(config, inbox, Decision::Requeue).await,
        MessageVerb::Discard(config) => decide(config, inbox, Decision::Discard).await,
    }
}

async fn list<H: Handler>(config: ListConfig, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    let ListConfig { common, reason_part, limit, after } = config;
    let wanted = Wanted { after, reason_part: reason_part.as_deref(), lines_max: limit };
    let lines = inbox_dead_list::list(&inbox.pool, &inbox.source, wanted).await.context("reading inbox_dead")?;
    common.print(&lines, |lines| table(lines))?;
    Ok(ExitCode::SUCCESS)
}

fn table(lines: &[DeadLine]) -> String {
    let mut table = Table::new(&["id", "event", "type", "aggregate", "version", "sequence", "dead at", "reason"]);
    for line in lines {
        table.row([
            line.id.to_string(),
            or_dash(line.claimed.event_id.as_deref()),
            or_dash(line.claimed.event_type.as_deref()),
            or_dash(line.claimed.aggregate_id.as_deref()),
            or_dash(line.claimed.version.as_deref()),
            line.stream_sequence.to_string(),
            time(line.dead_at),
            line.reason.clone(),
        ]);
    }
    table.to_string()
}

async fn show<H: Handler>(ShowConfig { id, common }: ShowConfig, inbox: &Inbox<H>) -> anyhow::Result<ExitCode> {
    let found = inbox_dead::show(&inbox.pool, &inbox.source, id).await.context("reading inbox_dead")?;
    let Dead { message, reason, dead_at, resolution, note, whole } =
        found.ok_or_else(|| NotFound(format!("no dead message has the id {id}")))?;
    let whole = Whole {
        id,
        stream_sequence: message.stream_sequence,
        subject: message.subject,
        claimed: Claimed::by(&message.headers),
        headers: message.headers,
        body: String::from_utf8_lossy(&message.payload).into_owned(),
        whole_bytes: whole.as_ref().map(|(bytes, _)| *bytes),
        whole_sha256: whole.map(|(_, digest)| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        reason,
        dead_at,
        resolution,
        note,
    };
    common.print(&whole, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(whole: &Whole) -> String {
    let Claimed { event_id, event_type, aggregate_id, version } = &whole.claimed;
    let mut lines = vec![
        ("id", whole.id.to_string()),
        ("event", or_dash(event_id.as_deref())),
        ("type", or_dash(event_type.as_deref())),
        ("aggregate", or_dash(aggregate_id.as_deref())),
        ("version", or_dash(version.as_deref())),
        ("sequence", whole.stream_sequence.to_string()),
        ("subject", whole.subject.clone()),
        ("dead at", time(whole.dead_at)),
        ("reason", whole.reason.clone()),
    ];
    let note = whole.note.as_deref().unwrap_or_default();
    lines.extend(whole.resolution.as_ref().map(|resolution| ("decision", format!("{resolution} {note}"))));
    lines.extend(whole.headers.iter().map(|(name, value)| ("header", format!("{name}: {value}"))));
    lines.push(("body", whole.body.clone()));
    lines.extend(whole.whole_bytes.zip(whole.whole_sha256.as_ref()).map(|(bytes, sha256)| {
        ("cut", format!("the whole body has {bytes} bytes and the SHA-256 {sha256}; the stream may have it"))
    }));
    fields(&lines)
}

/// Each message is a transaction of its own: what is refused holds up nothing else.
async fn decide<H: Handler>(config: DecideConfig, inbox: &Inbox<H>, decision: Decision) -> anyhow::Result<ExitCode> {
    let DecideConfig { mut ids, dead, reason_part, limit, act } = config;
    if dead {
        let wanted = Wanted { after: 0, reason_part: reason_part.as_deref(), lines_max: limit };
        let lines = inbox_dead_list::list(&inbox.pool, &inbox.source, wanted).await.context("reading inbox_dead")?;
        ids = lines.iter().map(|line| line.id).collect();
    }
    let progress = Progress::new("deciding", ids.len() as u64);
    let mut answers = Vec::new();
    for id in ids {
        let (verdict, done, reason) = match decision {
            Decision::Requeue => requeue(inbox, id, &act).await?,
            Decision::Discard => discard(inbox, id, &act).await?,
        };
        answers.push(Decided { id, verdict, outcome: verdict.outcome(done), reason });
        progress.at(answers.len() as u64);
    }
    drop(progress);
    act.common.print(&answers, |answers| answers.iter().map(line).collect())?;
    Ok(answers.iter().map(|answer| answer.verdict).max().unwrap_or(Verdict::CarriedOut).status())
}

fn line(Decided { id, outcome, reason, .. }: &Decided) -> String {
    let reason = reason.as_deref().map(|reason| format!(": {}", runtime::terminal::one_line(reason)));
    format!("message {id} {outcome}{}\n", reason.unwrap_or_default())
}

async fn requeue<H: Handler>(inbox: &Inbox<H>, id: DeadId, act: &DecisionConfig) -> anyhow::Result<Answer> {
    let requeued = inbox.requeue(id, act.by()).await;
    Ok(match requeued.with_context(|| format!("processing message {id}"))? {
        Requeued::Applied => (Verdict::CarriedOut, "applied", None),
        Requeued::Parked => (Verdict::CarriedOut, "parked", None),
        Requeued::Refused(reason) => (Verdict::Refused, "", Some(reason)),
        Requeued::Unknown => (Verdict::NotFound, "", Some(Failure::Unknown(id).to_string())),
    })
}

async fn discard<H: Handler>(inbox: &Inbox<H>, id: DeadId, act: &DecisionConfig) -> anyhow::Result<Answer> {
    match inbox.discard(id, act.by()).await {
        Ok(()) => Ok((Verdict::CarriedOut, "discarded", None)),
        Err(Failure::Database(error)) => Err(error).with_context(|| format!("discarding message {id}")),
        Err(unknown @ Failure::Unknown(_)) => Ok((Verdict::NotFound, "", Some(unknown.to_string()))),
        Err(refusal @ Failure::EarlierMissing { .. }) => Ok((Verdict::Refused, "", Some(refusal.to_string()))),
    }
}
