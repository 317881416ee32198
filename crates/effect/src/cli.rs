//! The verb `effect` of a service: effects that are dead or wait, and what a person decides about them.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use runtime::exit::NotFound;
use runtime::mysql::Transaction;
use runtime::operator::decision::{DecisionConfig, Verdict as Became};
use runtime::operator::table::{Table, fields, or_dash};
use runtime::operator::{CommonConfig, time};
use runtime::terminal::one_line;
use schema::ids::EffectId;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::store::action::{self, Action, Line, State, Verb};

/// What to do with effects outside of the database.
#[derive(Debug, Subcommand)]
pub enum EffectVerb {
    /// List those that are dead, and those that wait, each with what the last attempt said; or those that were taken back.
    List(ListConfig),
    /// Show one, with all that people decided about it; exits 3 if there is none.
    Show(ShowConfig),
    /// Have effects tried again from now on, with all their attempts: dead or discarded ones, or ones that wait. All or none.
    Requeue(RequeueConfig),
    /// Give effects up that are dead or wait: they are never performed. All or none.
    Discard(DiscardConfig),
}

impl EffectVerb {
    /// What every one of them needs.
    pub fn common(&self) -> &CommonConfig {
        match self {
            Self::List(config) => &config.common,
            Self::Show(config) => &config.common,
            Self::Requeue(config) => &config.decision.common,
            Self::Discard(config) => &config.decision.common,
        }
    }
}

/// Which effects are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Those that need a person.
    Dead,
    /// Those that are to be performed.
    Waiting,
    /// Those that were taken back before they happened, each with the reason.
    Withdrawn,
}

/// Settings of `effect list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,

    /// Only those in this state; without it the dead, and then those that wait.
    #[arg(long, value_enum)]
    pub state: Option<Listed>,

    /// Lines of each state at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only ids above this one: the last of the page before.
    #[arg(long, default_value_t = Uuid::nil())]
    pub after: Uuid,
}

/// Settings of `effect show`.
#[derive(Debug, Args)]
pub struct ShowConfig {
    /// The id that `effect list` shows; the idempotency key at the other side.
    pub id: Uuid,

    /// See [`CommonConfig`].
    #[command(flatten)]
    pub common: CommonConfig,
}

/// Settings of `effect requeue`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "dead"]))]
pub struct RequeueConfig {
    /// Ids that `effect list` shows.
    pub ids: Vec<Uuid>,

    /// Requeue dead effects, narrowed by --error.
    #[arg(long)]
    pub dead: bool,

    /// With --dead: only effects whose last attempt said this.
    #[arg(long = "error", requires = "dead")]
    pub error_part: Option<String>,

    /// With --dead: at most so many, oldest first.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

/// Settings of `effect discard`.
#[derive(Debug, Args)]
pub struct DiscardConfig {
    /// Ids that `effect list` shows.
    #[arg(required = true)]
    pub ids: Vec<Uuid>,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub decision: DecisionConfig,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    effect: Line,
    body: Value,
    actions: Vec<Action>,
}

#[derive(Serialize)]
struct Decided {
    #[serde(skip)]
    became: Became,
    outcome: &'static str,
    effects: Vec<EffectId>,
    /// Why nothing was changed.
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn effect(verb: EffectVerb) -> anyhow::Result<ExitCode> {
    match verb {
        EffectVerb::List(config) => list(config).await,
        EffectVerb::Show(config) => show(config).await,
        EffectVerb::Requeue(config) => requeue(config).await,
        EffectVerb::Discard(config) => discard(config).await,
    }
}

async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let mut effects = Vec::new();
    let states: &[State] = match config.state {
        None => &[State::Dead, State::Pending],
        Some(Listed::Dead) => &[State::Dead],
        Some(Listed::Waiting) => &[State::Pending],
        Some(Listed::Withdrawn) => &[State::Withdrawn],
    };
    for state in states {
        let found = action::list(&pool, *state, EffectId(config.after), config.limit).await;
        effects.extend(found.context("reading effect")?);
    }
    config.common.print(&effects, |effects| table(effects))?;
    Ok(ExitCode::SUCCESS)
}

fn table(effects: &[Line]) -> String {
    let headings =
        ["id", "kind", "subject", "state", "may have happened", "attempts", "put off", "next attempt", "reason"];
    let mut table = Table::new(&headings);
    for effect in effects {
        table.row([
            effect.id.to_string(),
            effect.kind.clone(),
            effect.subject.clone(),
            effect.state.as_str().to_owned(),
            yes_or_no(effect.is_unknown),
            effect.attempts.to_string(),
            effect.put_off.to_string(),
            or_dash((effect.state == State::Pending).then(|| time(effect.next_attempt_at))),
            or_dash(effect.reason.as_deref()),
        ]);
    }
    table.to_string()
}

fn yes_or_no(is_true: bool) -> String {
    if is_true { "yes" } else { "no" }.to_owned()
}

async fn show(config: ShowConfig) -> anyhow::Result<ExitCode> {
    let pool = config.common.pool().await?;
    let id = EffectId(config.id);
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let found = action::by_ids(&mut tx, &[id]).await.context("reading effect")?.pop();
    let body = action::body(&mut tx, id).await.context("reading effect")?;
    let (effect, body) = found.zip(body).ok_or_else(|| NotFound(format!("no effect has the id {id}")))?;
    let actions = action::actions(&mut tx, id).await.context("reading effect_action")?;
    tx.rollback().await.context("ending the transaction")?;
    config.common.print(&Whole { effect, body, actions }, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(Whole { effect, body, actions }: &Whole) -> String {
    let mut lines = vec![
        ("id", effect.id.to_string()),
        ("kind", effect.kind.clone()),
        ("subject", effect.subject.clone()),
        ("body", body.to_string()),
        ("state", effect.state.as_str().to_owned()),
        ("may have happened", yes_or_no(effect.is_unknown)),
        ("attempts", effect.attempts.to_string()),
        ("put off", effect.put_off.to_string()),
        ("reason", or_dash(effect.reason.as_deref())),
    ];
    if effect.state == State::Pending {
        let under_way = if effect.is_under_way { ", under way" } else { "" };
        lines.push(("next try", format!("{}{under_way}", time(effect.next_attempt_at))));
    }
    lines.extend(actions.iter().map(|Action { acted_at, actor, action, reason, .. }| {
        (action.as_str(), format!("{} by {actor}: {reason}", time(*acted_at)))
    }));
    fields(&lines)
}

async fn requeue(config: RequeueConfig) -> anyhow::Result<ExitCode> {
    let RequeueConfig { ids, dead, error_part, limit, decision } = config;
    let mut tx = begin(&decision).await?;
    let ids = if dead {
        action::dead_ids(&mut tx, error_part.as_deref(), limit).await.context("reading effect")?
    } else {
        ids.into_iter().map(EffectId).collect()
    };
    decide(tx, &decision, Verb::Requeue, ids).await
}

async fn discard(config: DiscardConfig) -> anyhow::Result<ExitCode> {
    let tx = begin(&config.decision).await?;
    let ids = config.ids.into_iter().map(EffectId).collect();
    decide(tx, &config.decision, Verb::Discard, ids).await
}

async fn begin(decision: &DecisionConfig) -> anyhow::Result<Transaction> {
    decision.common.pool().await?.begin().await.context("connecting to the database")
}

async fn decide(
    mut tx: Transaction,
    decision: &DecisionConfig,
    verb: Verb,
    ids: Vec<EffectId>,
) -> anyhow::Result<ExitCode> {
    let effects = action::by_ids(&mut tx, &ids).await.context("reading effect")?;
    if let Some((became, reason)) = refusal(&ids, &effects) {
        tx.rollback().await.context("ending the transaction")?;
        return tell(decision, &Decided { became, outcome: became.outcome(""), effects: ids, reason: Some(reason) });
    }
    action::record(&mut tx, decision.by(), verb, &effects).await.context("recording the action")?;
    let outcome = match verb {
        Verb::Requeue => action::requeue(&mut tx, &ids).await.map(|()| "requeued"),
        Verb::Discard => action::discard(&mut tx, &ids).await.map(|()| "discarded"),
    };
    let outcome = outcome.context("writing the decision")?;
    tx.commit().await.context("committing")?;
    tell(decision, &Decided { became: Became::CarriedOut, outcome, effects: ids, reason: None })
}

/// Why nothing may be decided about one of them.
fn refusal(ids: &[EffectId], found: &[Line]) -> Option<(Became, String)> {
    ids.iter().find_map(|id| match found.iter().find(|effect| effect.id == *id) {
        None => Some((Became::NotFound, format!("no effect has the id {id}"))),
        Some(Line { state: state @ (State::Done | State::Withdrawn), .. }) => {
            Some((Became::Refused, format!("effect {id} is {}", state.as_str())))
        }
        Some(effect) if effect.is_under_way => {
            Some((Became::Refused, format!("effect {id} is being performed, try again in a minute")))
        }
        Some(_) => None,
    })
}

fn tell(decision: &DecisionConfig, decided: &Decided) -> anyhow::Result<ExitCode> {
    decision.common.print(decided, |decided| match &decided.reason {
        Some(reason) => format!("{}: {}; nothing was changed\n", decided.outcome, one_line(reason)),
        None => format!("{} effects {}\n", decided.effects.len(), decided.outcome),
    })?;
    Ok(decided.became.status())
}
