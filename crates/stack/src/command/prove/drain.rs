//! The end of a trial: everything recovers and drains, and the services stop.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use schema::names::{
    NOTIFY_DURABLE, NOTIFY_PAYMENTS_DURABLE, ORDERS_DURABLE, PAYMENT_DURABLE, PAYMENTS_STREAM, STREAM,
};
use sqlx::MySqlConnection;
use tokio::time::{Instant, sleep};

use super::faults::Trial;
use super::pipeline::{Databases, Victim};

/// The minute for which a killed service had leased charges and emails, then their attempts, a few at a time, an ack wait, should
/// the last kill have left messages unanswered, and time for a busy machine.
const DRAINED_WITHIN: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Who reads which stream.
const CONSUMERS: [(&str, &str); 4] = [
    (STREAM, NOTIFY_DURABLE),
    (STREAM, PAYMENT_DURABLE),
    (PAYMENTS_STREAM, ORDERS_DURABLE),
    (PAYMENTS_STREAM, NOTIFY_PAYMENTS_DURABLE),
];

/// How a pipeline stands.
struct Standing {
    /// What was ever appended and received. Events follow from others, in a circle: what is on its way from a place that is
    /// looked at later to one that was looked at before is seen by this.
    total: i64,
    /// What is left to do.
    left: Vec<String>,
}

impl Trial<'_> {
    /// Waits until nothing is left to do, for as long as is reasonable; what is left the claims will report.
    pub(super) async fn drain(&self) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + DRAINED_WITHIN;
        let mut told = Instant::now();
        let mut idle_at = None;
        loop {
            let (total, left) = match self.standing().await {
                Ok(Standing { total, left }) => (Some(total), left),
                Err(error) => (None, vec![format!("{error:#}")]),
            };
            let is_idle = left.is_empty() && total.is_some();
            if is_idle && idle_at == total || Instant::now() >= deadline {
                return Ok(left);
            }
            idle_at = total.filter(|_| is_idle);
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                self.journal.note("", format_args!("left: {}", left.join(", ")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn standing(&self) -> anyhow::Result<Standing> {
        let Databases { mut orders, mut notifications, mut payments } = self.pipeline.databases().await?;
        let appended = count(&mut orders, "SELECT COUNT(*) FROM outbox").await?;
        let paid = count(&mut payments, "SELECT COUNT(*) FROM outbox").await?;
        let received = "SELECT COUNT(*) FROM inbox";
        let received = [
            count(&mut orders, received).await?,
            count(&mut notifications, received).await?,
            count(&mut payments, received).await?,
        ];
        let pending = "SELECT COUNT(*) FROM outbox WHERE state = 'pending'";
        let mut left = vec![
            (count(&mut orders, pending).await?, "order events to be published"),
            (count(&mut payments, pending).await?, "payment events to be published"),
            (paid - received[0], "payment events to be received by order-svc"),
            (appended + paid - received[1], "events to be received by notify-svc"),
            (appended - received[2], "order events to be received by payment-svc"),
        ];
        left.extend(self.undelivered().await?);
        let pending = "SELECT COUNT(*) FROM effect WHERE state = 'pending'";
        left.push((count(&mut notifications, pending).await?, "emails to be sent"));
        left.push((count(&mut payments, pending).await?, "charges and refunds to be made"));
        let left = left.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let left = left.chain(self.pipeline.unready().await).collect();
        Ok(Standing { total: appended + paid + received.iter().sum::<i64>(), left })
    }

    async fn undelivered(&self) -> anyhow::Result<Vec<(i64, &'static str)>> {
        let jetstream = jetstream::new(self.pipeline.admin().await?);
        let (mut pending, mut unanswered) = (0, 0);
        for (stream, durable) in CONSUMERS {
            let stream = jetstream.get_stream(stream).await?;
            let mut consumer = stream.get_consumer::<pull::Config>(durable).await.map_err(anyhow::Error::from_boxed)?;
            let consumer = consumer.info().await?;
            pending += consumer.num_pending.cast_signed();
            unanswered += i64::try_from(consumer.num_ack_pending)?;
        }
        Ok(vec![(pending, "messages to be delivered"), (unanswered, "messages to be acknowledged")])
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
