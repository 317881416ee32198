//! `notify-svc email`: emails that are dead or wait, and what a person decides about them.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use runtime::operator::decision::{self, DecisionConfig};
use runtime::operator::table::{Table, fields, or_dash};
use runtime::operator::{LookConfig, time};
use runtime::terminal::one_line;
use schema::ids::NotificationId;
use serde::Serialize;
use uuid::Uuid;

use crate::notification::EmailState;
use crate::store::email_action::{self, Action, Email, Verb};

/// What to do with emails.
#[derive(Debug, Subcommand)]
pub enum EmailVerb {
    /// List those that are dead, and those that wait, each with what the last try said.
    List(ListConfig),
    /// Show one, with all that people decided about it; exits 1 if there is none.
    Show(ShowConfig),
    /// Have emails tried again from now on, with all their attempts: dead ones, or ones that wait. All or none.
    Requeue(RequeueConfig),
    /// Give emails up that are dead or wait. All or none.
    Discard(DiscardConfig),
}

impl EmailVerb {
    /// What every one of them needs.
    pub fn look(&self) -> &LookConfig {
        match self {
            Self::List(config) => &config.look,
            Self::Show(config) => &config.look,
            Self::Requeue(config) => config.act.look(),
            Self::Discard(config) => config.act.look(),
        }
    }
}

/// Which emails are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Those that need a person.
    Dead,
    /// Those that are to be sent.
    Waiting,
}

/// Settings of `email list`.
#[derive(Debug, Args)]
pub struct ListConfig {
    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,

    /// Only those in this state; both without it, the dead first.
    #[arg(long, value_enum)]
    pub state: Option<Listed>,

    /// Lines of each state at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,

    /// Only ids above this one: the last of the page before.
    #[arg(long, default_value_t = Uuid::nil())]
    pub after: Uuid,
}

/// Settings of `email show`.
#[derive(Debug, Args)]
pub struct ShowConfig {
    /// The id that `email list` shows; the left part of the Message-ID.
    pub id: Uuid,

    /// See [`LookConfig`].
    #[command(flatten)]
    pub look: LookConfig,
}

/// Settings of `email requeue`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "dead"]))]
pub struct RequeueConfig {
    /// Ids that `email list` shows.
    pub ids: Vec<Uuid>,

    /// Requeue dead emails, narrowed by --error.
    #[arg(long)]
    pub dead: bool,

    /// With --dead: only emails whose last try said this.
    #[arg(long = "error", requires = "dead")]
    pub error_part: Option<String>,

    /// With --dead: at most so many, oldest first.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

/// Settings of `email discard`.
#[derive(Debug, Args)]
pub struct DiscardConfig {
    /// Ids that `email list` shows.
    #[arg(required = true)]
    pub ids: Vec<Uuid>,

    /// See [`DecisionConfig`].
    #[command(flatten)]
    pub act: DecisionConfig,
}

/// Which emails a decision is about.
enum Chosen {
    Ids(Vec<Uuid>),
    /// The dead ones with this in their reason, at most so many.
    Dead {
        error_part: Option<String>,
        limit: u32,
    },
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    email: Email,
    recipient: String,
    actions: Vec<Action>,
}

#[derive(Serialize)]
struct Decided {
    outcome: &'static str,
    emails: Vec<NotificationId>,
    /// Why nothing was changed.
    reason: Option<String>,
}

/// Does what the verb says.
///
/// # Errors
/// If the database can't be read or written.
pub async fn email(verb: EmailVerb) -> anyhow::Result<ExitCode> {
    match verb {
        EmailVerb::List(config) => list(config).await,
        EmailVerb::Show(config) => show(config).await,
        EmailVerb::Requeue(RequeueConfig { ids, dead, error_part, limit, act }) => {
            let chosen = if dead { Chosen::Dead { error_part, limit } } else { Chosen::Ids(ids) };
            decide(act, Verb::Requeue, chosen).await
        }
        EmailVerb::Discard(DiscardConfig { ids, act }) => decide(act, Verb::Discard, Chosen::Ids(ids)).await,
    }
}

async fn list(config: ListConfig) -> anyhow::Result<ExitCode> {
    let pool = config.look.pool()?;
    let mut emails = Vec::new();
    for (listed, state) in [(Listed::Dead, EmailState::Dead), (Listed::Waiting, EmailState::Pending)] {
        if config.state.is_none_or(|wanted| wanted == listed) {
            let found = email_action::list(&pool, state, NotificationId(config.after), config.limit).await;
            emails.extend(found.context("reading notifications")?);
        }
    }
    config.look.print(&emails, |emails| table(emails))?;
    Ok(ExitCode::SUCCESS)
}

fn table(emails: &[Email]) -> String {
    let mut table = Table::new(&["id", "order", "type", "state", "attempts", "put off", "next attempt", "reason"]);
    for email in emails {
        table.row([
            email.id.to_string(),
            email.order_id.to_string(),
            email.event_type.clone(),
            email.state.as_str().to_owned(),
            email.attempts.to_string(),
            email.put_off.to_string(),
            or_dash((email.state == EmailState::Pending).then(|| time(email.next_attempt_at))),
            or_dash(email.reason.as_deref()),
        ]);
    }
    table.to_string()
}

async fn show(config: ShowConfig) -> anyhow::Result<ExitCode> {
    let pool = config.look.pool()?;
    let id = NotificationId(config.id);
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let found = email_action::by_ids(&mut tx, &[id]).await.context("reading notifications")?.pop();
    let recipient = email_action::recipient(&mut tx, id).await.context("reading notifications")?;
    let (email, recipient) = found.zip(recipient).with_context(|| format!("no email has the id {id}"))?;
    let actions = email_action::actions(&mut tx, id).await.context("reading email_action")?;
    tx.rollback().await.context("ending the transaction")?;
    let whole = Whole { email, recipient, actions };
    config.look.print(&whole, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(Whole { email, recipient, actions }: &Whole) -> String {
    let mut lines = vec![
        ("id", email.id.to_string()),
        ("order", email.order_id.to_string()),
        ("event type", email.event_type.clone()),
        ("recipient", recipient.clone()),
        ("state", email.state.as_str().to_owned()),
        ("attempts", email.attempts.to_string()),
        ("put off", email.put_off.to_string()),
        ("reason", or_dash(email.reason.as_deref())),
    ];
    if email.state == EmailState::Pending {
        let under_way = if email.is_under_way { ", under way" } else { "" };
        lines.push(("next try", format!("{}{under_way}", time(email.next_attempt_at))));
    }
    lines.extend(actions.iter().map(|Action { acted_at, actor, action, reason, .. }| {
        (action.as_str(), format!("{} by {actor}: {reason}", time(*acted_at)))
    }));
    fields(&lines)
}

async fn decide(act: DecisionConfig, verb: Verb, chosen: Chosen) -> anyhow::Result<ExitCode> {
    let pool = act.look().pool()?;
    let mut tx = pool.begin().await.context("connecting to the database")?;
    let emails = match chosen {
        Chosen::Ids(ids) => {
            let ids: Vec<_> = ids.into_iter().map(NotificationId).collect();
            let found = email_action::by_ids(&mut tx, &ids).await.context("reading notifications")?;
            if let Some(refusal) = refusal(&ids, &found) {
                return tell(&act, Decided { outcome: "refused", emails: ids, reason: Some(refusal) });
            }
            found
        }
        Chosen::Dead { error_part, limit } => {
            let ids = email_action::dead_ids(&mut tx, error_part.as_deref(), limit).await;
            email_action::by_ids(&mut tx, &ids.context("reading notifications")?)
                .await
                .context("reading notifications")?
        }
    };
    email_action::record(&mut tx, act.by(), verb, &emails).await.context("recording the action")?;
    let ids: Vec<_> = emails.iter().map(|email| email.id).collect();
    match verb {
        Verb::Requeue => email_action::requeue(&mut tx, &ids).await,
        Verb::Discard => email_action::discard(&mut tx, &ids).await,
    }
    .context("writing the decision")?;
    tx.commit().await.context("committing")?;
    let outcome = match verb {
        Verb::Requeue => "requeued",
        Verb::Discard => "discarded",
    };
    tell(&act, Decided { outcome, emails: ids, reason: None })
}

/// Why nothing may be decided about one of them.
fn refusal(ids: &[NotificationId], found: &[Email]) -> Option<String> {
    ids.iter().find_map(|id| match found.iter().find(|email| email.id == *id) {
        None => Some(format!("no email has the id {id}")),
        Some(email) if email.state == EmailState::Sent => Some(format!("email {id} is sent")),
        Some(email) if email.is_under_way => Some(format!("email {id} is being sent, try again in a minute")),
        Some(_) => None,
    })
}

fn tell(act: &DecisionConfig, decided: Decided) -> anyhow::Result<ExitCode> {
    act.look().print(&decided, |decided| match &decided.reason {
        Some(reason) => format!("refused: {}; nothing was changed\n", one_line(reason)),
        None => format!("{} emails {}\n", decided.emails.len(), decided.outcome),
    })?;
    Ok(decision::decided(decided.reason.is_none()))
}
