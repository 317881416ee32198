//! The end of a trial: everything recovers and drains, and the services stop.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use schema::names::{NOTIFY_DURABLE, STREAM};
use sqlx::MySqlConnection;
use tokio::time::{Instant, sleep};

use super::faults::Trial;
use super::pipeline::Victim;

/// An ack wait, should the last kill have left messages unanswered, then the 35 s for which a killed notify-svc had leased
/// emails, and time for a busy machine.
const DRAINED_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const TELL_EVERY: Duration = Duration::from_secs(5);

impl Trial<'_> {
    /// Waits until nothing is left to do, for as long as is reasonable; what is left the claims will report.
    pub(super) async fn drain(&self) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + DRAINED_WITHIN;
        let mut told = Instant::now();
        loop {
            let left = match self.left().await {
                Ok(left) => left,
                Err(error) => vec![format!("{error:#}")],
            };
            if left.is_empty() || Instant::now() >= deadline {
                return Ok(left);
            }
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                self.journal.note("", format_args!("left: {}", left.join(", ")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn left(&self) -> anyhow::Result<Vec<String>> {
        let (mut orders, mut notifications) = self.pipeline.databases().await?;
        let stream = jetstream::new(self.pipeline.operator().await?).get_stream(STREAM).await?;
        let mut consumer =
            stream.get_consumer::<pull::Config>(NOTIFY_DURABLE).await.map_err(anyhow::Error::from_boxed)?;
        let consumer = consumer.info().await?;
        let events = count(&mut orders, "SELECT COUNT(*) FROM outbox").await?;
        let left = [
            (
                count(&mut orders, "SELECT COUNT(*) FROM outbox WHERE state = 'pending'").await?,
                "events to be published",
            ),
            (events - count(&mut notifications, "SELECT COUNT(*) FROM inbox").await?, "events to be received"),
            (consumer.num_pending.cast_signed(), "messages to be delivered"),
            (i64::try_from(consumer.num_ack_pending)?, "messages to be acknowledged"),
            (
                count(&mut notifications, "SELECT COUNT(*) FROM effect WHERE state = 'pending'").await?,
                "emails to be sent",
            ),
        ];
        let left = left.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        Ok(left.chain(self.pipeline.unready().await).collect())
    }

    /// Stops the services, so that nothing moves while the evidence is read.
    pub(super) async fn stop_services(&self) -> anyhow::Result<()> {
        for (name, victim) in self.pipeline.services() {
            let mut victim = victim.lock().await;
            if let Victim::Process(running) = &mut *victim {
                self.stop(name, running).await?;
            }
            *victim = Victim::Ended;
        }
        Ok(())
    }
}

async fn count(database: &mut MySqlConnection, query: &'static str) -> sqlx::Result<i64> {
    sqlx::query_scalar(query).fetch_one(database).await
}
