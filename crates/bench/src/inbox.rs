//! `bench inbox`: how fast notify-svc turns a full stream into effects, against the bare limit of consuming the same
//! messages and inserting the same rows.
//!
//! The limit is a loop of one connection: it pulls ahead, inserts a batch with three plain multi-row statements, commits
//! and acknowledges; it decodes nothing, knows no duplicate and no gate. Both are timed by the database clock, from the
//! first inbox row to the last. No email leaves meanwhile: there is no SMTP server. Both take turns, and the median counts.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use schema::names;
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::Engine;
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use tokio::time::{Instant, sleep};

use crate::events::{self, Event};
use crate::figure::Figure;

const WITHIN: Duration = Duration::from_secs(300);

/// Messages processed a second, with batches of 256 and of 1,000, against the bare limit.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Messages in the stream.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(5_000..))]
    events: u32,
    /// Turns of each; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
}

/// Measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    // Filling the stream is not what is measured.
    let pipeline = Pipeline::start(home, arguments.db, false).await?;
    let jetstream = jetstream::new(async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?);
    let subjects = names::STREAM_SUBJECTS.iter().map(|subject| (*subject).to_owned()).collect();
    let config = stream::Config { name: names::STREAM.to_owned(), subjects, ..stream::Config::default() };
    let stream = jetstream.create_stream(config).await.context("cannot make the stream")?;
    let events = events::make(arguments.events);
    events::publish(&jetstream, &events).await?;

    let pool = pipeline.database(Program::NotifySvc).await?;
    let mut figures = Vec::new();
    for (name, batch_size) in [("inbox", 256), ("inbox_1000", 1000)] {
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds {
            empty(&pool).await?;
            consume_bare(&stream, &pool, &events, batch_size).await?;
            let limit = rate(&pool, &events, batch_size).await?;
            empty(&pool).await?;
            consume_by_service(&pipeline, &stream, batch_size).await?;
            rounds.push((rate(&pool, &events, batch_size).await?, limit));
        }
        figures.push(Figure::of_rounds(name, "events/s", &rounds));
    }
    Ok(figures)
}

async fn empty(pool: &MySqlPool) -> anyhow::Result<()> {
    for table in ["inbox", "inbox_gate", "inbox_position", "inbox_read", "notifications", "effect"] {
        sqlx::raw_sql(AssertSqlSafe(format!("TRUNCATE TABLE {table}"))).execute(pool).await?;
    }
    Ok(())
}

/// What the service does, but for all that makes it safe.
async fn consume_bare(
    stream: &stream::Stream,
    pool: &MySqlPool,
    events: &[Event],
    batch_size: usize,
) -> anyhow::Result<()> {
    const NAME: &str = "bare";
    let config = pull::Config {
        durable_name: Some(NAME.to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 4096,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await?;
    let messages = consumer.stream().max_messages_per_batch(2 * batch_size).messages().await?;
    let mut batches = messages.ready_chunks(batch_size);
    let mut done = 0;
    while done < events.len() {
        let batch = tokio::time::timeout(WITHIN, batches.next()).await.context("no message came")?;
        let batch = batch.context("the messages ended")?.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut tx = pool.begin().await?;
        for statement in events::statements(&events[done..done + batch.len()], done) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        for message in &batch {
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
        done += batch.len();
    }
    stream.delete_consumer(NAME).await?;
    Ok(())
}

async fn consume_by_service(pipeline: &Pipeline, stream: &stream::Stream, batch_size: usize) -> anyhow::Result<()> {
    let batch_size = batch_size.to_string();
    let settings = [
        ("BATCH_SIZE_MAX", batch_size.as_str()),
        ("EMAIL_TRANSPORT", "smtp"),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("EMAIL_FROM", "shop@example.com"),
    ];
    let mut service = pipeline.service(Program::NotifySvc, &settings).await?;
    let deadline = Instant::now() + WITHIN;
    loop {
        let info = stream.consumer_info(names::NOTIFY_DURABLE).await?;
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            break;
        }
        if Instant::now() > deadline {
            bail!("notify-svc did not process the stream within {} s", WITHIN.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
    service.running.kill().await?;
    stream.delete_consumer(names::NOTIFY_DURABLE).await?;
    Ok(())
}

/// Events a second, without the first batch: its beginning left no trace.
async fn rate(pool: &MySqlPool, events: &[Event], batch_size: usize) -> anyhow::Result<f64> {
    let seconds = "SELECT COUNT(*), (SELECT COUNT(*) FROM notifications),
                          CAST(TIMESTAMPDIFF(MICROSECOND, MIN(received_at), MAX(received_at)) AS DOUBLE) / 1e6
                   FROM inbox";
    let (recorded, notified, seconds): (i64, i64, f64) = sqlx::query_as(seconds).fetch_one(pool).await?;
    if [recorded, notified] != [i64::try_from(events.len())?; 2] {
        bail!("{recorded} events were recorded and {notified} notified, of {}", events.len());
    }
    Ok((events.len() - batch_size) as f64 / seconds)
}
