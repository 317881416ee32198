//! A parcel is ordered from a carrier in the transaction that packs it, and its number is recorded when the carrier answers.

use std::time::Duration;

use effect::{Attempt, Effect, EffectConfig, Hold, Metrics, New, Perform, Queue, Wake};
use runtime::mysql::{Pool, Transaction};
use runtime::telemetry::trace::TraceParent;
use schema::ids::EffectId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The queue's name in the table.
const QUEUE: &str = "carrier";

/// In the transaction that packs the parcel.
pub async fn pack(tx: &mut Transaction, parcel: &str, wake: &Wake) -> sqlx::Result<()> {
    let new = New {
        id: EffectId::generate(),
        subject: parcel.to_owned(),
        kind: "collect",
        body: json!({ "grams": 740 }),
        traceparent: TraceParent::current(),
    };
    effect::enqueue(tx, QUEUE, &new).await?;
    // After the commit.
    wake.hint();
    Ok(())
}

/// Speaks to the carrier.
#[derive(Clone, Debug)]
struct Carrier;

impl Perform for Carrier {
    type Outcome = String;
    type Conclusion = ();

    async fn perform(&self, effect: &Effect, hold: &Hold) -> Attempt<String> {
        let key = effect.id.to_string();
        if effect.is_unknown {
            // An earlier attempt may have ordered it: ask the carrier for what it has under this key.
            return Attempt::PutOff { reason: "the carrier is asked tomorrow".to_owned(), retry_after: None };
        }
        if !hold.let_go().await {
            return Attempt::PutOff { reason: "another process has it".to_owned(), retry_after: None };
        }
        Attempt::Done(format!("parcel-number-for-{key}"))
    }

    async fn conclude(&self, tx: &mut Transaction, effect: &Effect, number: &String) -> anyhow::Result<()> {
        sqlx::query("UPDATE parcels SET number = ? WHERE id = ?")
            .bind(number)
            .bind(&effect.subject)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    fn committed(&self, (): ()) {}
}

/// As a part of the process.
pub async fn run(
    pool: Pool,
    config: EffectConfig,
    wake: Wake,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let queue = Queue {
        pool,
        name: QUEUE,
        performer: Carrier,
        limits: config.limits(Duration::from_secs(30), Duration::from_secs(1)),
        wake,
        metrics,
        shutdown,
    };
    queue.run().await
}

fn main() {}
