//! `bench peers`: the relay beside the Debezium engine for MySQL with a publisher to JetStream, on the same outbox.
//!
//! In each round the same events are drained by both, Debezium first, since it would have to read the relay's settles. Its rate
//! is that of the second half of its events, when the JVM is warm: it is started again for each round, as the relay is. It is
//! tuned as its documentation advises, has the full row images that it insists on, publishes in the same atomic batches (`peer/debezium_peer.py` has all of it), and does
//! less: see [`LEAVES_OUT`]. Relies on `crates/stack/setup debezium`.

mod debezium;

use anyhow::{Context, bail};
use async_nats::jetstream::{self, stream};
use schema::database::ORDERS;
use sqlx::{AssertSqlSafe, MySqlPool};
use stack::home::Home;
use stack::pipeline::Pipeline;
use stack::service::Program;
use stack::{Engine, account};

use super::drain::{Drained, drain};
use super::outbox;
use crate::figure::{Figure, median};
use debezium::{Debezium, Published};

const STREAM: &str = "PEER";

/// What Debezium does not do of what the relay does.
const LEAVES_OUT: &str = "Debezium needs full row images in the binary log; it settles nothing, holds no lease or fence, keeps nothing in order behind a faulty event, and \
                          notices no loss at the broker; its publisher is in Python";

/// Events a second of the relay, against the warm half of a Debezium engine on the same events (peer_durable: the broker syncs
/// each batch; peer_default: it does not), against the whole of its run (peer_durable_whole, peer_default_whole), and the
/// relay's peak memory against its (peer_memory). MySQL only.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Arguments {
    /// The database server.
    #[arg(long, value_enum, default_value_t = Engine::MySql)]
    #[serde(skip)]
    pub(crate) db: Engine,
    /// Events of a round.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    events: u64,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
}

/// Measures.
pub(crate) async fn measure(home: &Home, arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    if arguments.db != Engine::MySql {
        bail!("this is the Debezium engine for MySQL");
    }
    let mut figures = Vec::new();
    let mut memory = Vec::new();
    for (names, sync_always) in
        [(["peer_durable", "peer_durable_whole"], true), (["peer_default", "peer_default_whole"], false)]
    {
        let rounds = rounds(home, arguments, sync_always).await?;
        memory.extend(rounds.iter().map(|(ours, theirs)| (ours.memory, theirs.memory)));
        figures.extend(compare(names, &rounds));
    }
    figures.push(Figure::of_rounds("peer_memory", "MB", &memory));
    Ok(figures)
}

fn compare([warm, whole]: [&str; 2], rounds: &[(Drained, Published)]) -> [Figure; 2] {
    let pairs = |rate: fn(&Published) -> f64| {
        rounds.iter().map(move |(ours, theirs)| (ours.rate, rate(theirs))).collect::<Vec<_>>()
    };
    let of =
        |number: fn(&Published) -> f64| median(&rounds.iter().map(|(_, theirs)| number(theirs)).collect::<Vec<_>>());
    let (first, processor) = (of(|theirs| theirs.first_after), of(|theirs| theirs.processor));
    let note = format!(
        "Debezium publishes its first event {first:.1} s after its start, and takes {processor:.0} s of the processor"
    );
    [
        Figure::of_rounds(warm, "events/s", &pairs(|theirs| theirs.warm_rate)).noting(LEAVES_OUT),
        Figure::of_rounds(whole, "events/s", &pairs(|theirs| theirs.rate)).noting(note),
    ]
}

async fn rounds(home: &Home, arguments: &Arguments, sync_always: bool) -> anyhow::Result<Vec<(Drained, Published)>> {
    let pipeline = Pipeline::start(home, arguments.db, sync_always).await?;
    let pool = pipeline.database(Program::OrderSvc).await?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        log_rows(&pool, "FULL").await?;
        let theirs = by_debezium(home, &pipeline, &pool, arguments.events).await?;
        log_rows(&pool, "MINIMAL").await?;
        let ours = drain(&pipeline, &pool, &[]).await?;
        rounds.push((ours, theirs));
    }
    Ok(rounds)
}

/// What the server logs of each row. Debezium refuses minimal images, the relay's settles are cheaper with them.
async fn log_rows(pool: &MySqlPool, image: &str) -> sqlx::Result<()> {
    let set = format!("SET GLOBAL binlog_row_image = {image}");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(pool).await.map(drop)
}

/// Fills the outbox and has Debezium publish it.
async fn by_debezium(home: &Home, pipeline: &Pipeline, pool: &MySqlPool, events: u64) -> anyhow::Result<Published> {
    let client = async_nats::connect(pipeline.nats.url()).await.context("cannot connect to NATS")?;
    let jetstream = jetstream::new(client);
    let config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["peer.>".to_owned()],
        allow_atomic_publish: true,
        ..stream::Config::default()
    };
    let mut stream = jetstream.create_stream(config).await.context("cannot make the peer's stream")?;
    sqlx::raw_sql("TRUNCATE TABLE outbox").execute(pool).await.context("cannot empty the outbox")?;
    // A session of its own: those of the pool keep the row images that were set when they began.
    let mut writer = account::connect(&pipeline.url("root", ORDERS.name)).await?;
    let debezium = Debezium::at_the_end(home, pipeline, &mut writer).await?;
    outbox::append_logged(&mut writer, events).await?;
    let published = debezium.publish(events).await?;
    let stored = stream.info().await?.state.messages;
    if stored != events {
        bail!("Debezium published {stored} of {events} events");
    }
    jetstream.delete_stream(STREAM).await?;
    Ok(published)
}
