//! How an outbox stands, in a bounded number of rows at any size.

use chrono::{DateTime, Utc};
use runtime::mysql::Pool;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{outbox_status, relay_lease};
use crate::trouble::Trouble;

pub use crate::store::outbox_status::StuckEvent;

/// The state of the outbox.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OutboxStatus {
    /// Events to be published.
    #[schema(example = 3)]
    pub pending: u64,
    /// Published events that are still in the outbox. Exact below `count_max`; from there on the width of their sequence
    /// numbers, which is a few more than there are.
    #[schema(example = 4711)]
    pub published: u64,
    /// Published events that are still in the outbox and proven: still in the stream after the broker's fsync horizon. Only
    /// they are ever deleted. As exact as `published` while fewer than a thousand events are not proven; else it can be too
    /// small, by what others published to the stream meanwhile.
    #[schema(example = 4700)]
    pub proven: u64,
    /// Events that wait behind a dead event of their aggregate.
    #[schema(example = 0)]
    pub held: u64,
    /// Events that need a person.
    #[schema(example = 0)]
    pub dead: u64,
    /// Where counting stops: a count of pending, held or dead events that equals it means that many or more.
    #[schema(example = 100_000)]
    pub count_max: u64,
    /// The newest dead events, at most ten.
    #[schema(max_items = 10)]
    pub newest_dead: Vec<StuckEvent>,
    /// The newest held events, at most ten.
    #[schema(max_items = 10)]
    pub newest_held: Vec<StuckEvent>,
    /// Time since the first pending event was inserted, without those that wait for their next attempt; null when there is
    /// none.
    #[schema(example = 0.042, minimum = 0)]
    pub oldest_pending_age_seconds: Option<f64>,
    /// Events published a second over the last minute; at high rates, over the newest thousand.
    #[schema(example = 12.5, minimum = 0)]
    pub publish_rate_per_second: f64,
    /// When an event was last published; null when none is left in the outbox.
    #[schema(example = "2026-11-22T11:30:00.125123Z")]
    pub last_published_at: Option<DateTime<Utc>>,
    /// That the broker takes no events now, else that the first pending event could not be published yet, else that the newest
    /// dead event was given up. `outbox-relay status` and `event show` have what the broker said.
    #[schema(example = json!(null))]
    pub last_error: Option<Trouble>,
    /// Whether an outbox-relay holds the lease now: alive, and publishing unless the broker takes no events.
    #[schema(example = true)]
    pub relay_active: bool,
    /// Which one: its host and process; null when none does.
    #[schema(example = "outbox-relay-7c9f:1")]
    pub relay_holder: Option<String>,
    /// How often the lease has changed hands; null when no relay holds it.
    #[schema(example = 3)]
    pub relay_epoch: Option<u64>,
    /// Since when the broker takes no events from the active relay; null when it takes them, or when no relay is active.
    #[schema(example = json!(null))]
    pub broker_outage_since: Option<DateTime<Utc>>,
}

/// Reads it. Cheap at any size of the outbox: large numbers are bounded or derived, as each field says.
///
/// # Errors
/// As the database has it.
pub async fn read(pool: &Pool) -> sqlx::Result<OutboxStatus> {
    let counts = outbox_status::counts(pool).await?;
    let oldest = outbox_status::oldest_pending(pool).await?;
    let newest_dead = if counts.dead > 0 { outbox_status::newest(pool, "dead").await? } else { Vec::new() };
    let newest_held = if counts.held > 0 { outbox_status::newest(pool, "held").await? } else { Vec::new() };
    let dead_error = newest_dead.first().and_then(|event| event.last_error);
    let published = if counts.published < outbox_status::COUNT_MAX {
        counts.published
    } else {
        outbox_status::published_span(pool).await?.max(counts.published)
    };
    let publishing = outbox_status::publishing(pool).await?;
    let relay = relay_lease::active(pool).await?;
    let relay_active = relay.is_some();
    let relay_holder = relay.as_ref().map(|relay| place(&relay.holder).to_owned());
    let relay_epoch = relay.as_ref().map(|relay| relay.epoch);
    let (outage, broker_outage_since) = relay.map_or((None, None), |relay| (relay.outage, relay.outage_since));
    Ok(OutboxStatus {
        pending: counts.pending,
        published,
        proven: published.saturating_sub(publishing.unproven),
        held: counts.held,
        dead: counts.dead,
        newest_dead,
        newest_held,
        count_max: outbox_status::COUNT_MAX,
        oldest_pending_age_seconds: oldest.as_ref().map(|oldest| oldest.age.as_secs_f64()),
        publish_rate_per_second: publishing.rate,
        last_published_at: publishing.last_at,
        last_error: outage.map(|_| Trouble::BrokerUnavailable).or_else(|| oldest?.last_error).or(dead_error),
        relay_active,
        relay_holder,
        relay_epoch,
        broker_outage_since,
    })
}

/// Where a tenure is: what makes it one of its kind is the database's business alone.
fn place(holder: &str) -> &str {
    holder.rsplit_once(':').map_or(holder, |(place, _)| place)
}
