//! `stack demo-downtime`: the walk-through of k8s/README.md with processes of this machine. notify-svc stops, orders go on,
//! the stream holds them, notify-svc starts, and each order has its notification.
//!
//! Guarantees that what is printed was seen: a step whose claim does not hold ends the demonstration with exit 1.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use schema::names::{NOTIFY_DURABLE, STREAM};
use serde_json::{Value, json};
use stack::Engine;
use stack::home::Home;
use stack::pipeline::{Pipeline, Service};
use stack::service::Program;
use tokio::time::{Instant, sleep};

const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// How to demonstrate.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which database server to run.
    #[arg(long, env = "STACK_DB", value_enum, default_value_t = Engine::MySql)]
    db: Engine,

    /// Orders that are placed while notify-svc is down.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    orders: u16,
}

/// Runs it.
pub(crate) async fn run(home: &Home, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { db, orders } = *arguments;
    let pipeline = Pipeline::start(home, db, true).await?;
    pipeline.database(Program::OrderSvc).await?.close().await;
    pipeline.database(Program::NotifySvc).await?.close().await;
    let _relay = pipeline.service(Program::OutboxRelay, &[]).await?;
    let order_svc = pipeline.service(Program::OrderSvc, &[]).await?;
    let settings = [("EMAIL_TRANSPORT", "log")];
    let mut notify_svc = pipeline.service(Program::NotifySvc, &settings).await?;
    let monitor = format!("{}/jsz?streams=true&consumers=true", pipeline.nats.monitor_url());

    say(&format!("The pipeline runs on {}. One order, to see that it works:", db.name()));
    let mut placed = vec![place(&order_svc).await?];
    until_notified(&notify_svc, &placed).await?;

    say("kubectl -n web-notification scale deployment/notification-service --replicas=0");
    notify_svc.running.stop().await?;
    println!("notify-svc has stopped");

    say(&format!("{orders} orders, although nobody reads their events:"));
    for _ in 0..orders {
        placed.push(place(&order_svc).await?);
    }

    say(&format!("kubectl -n web-nats port-forward svc/nats 8222, then {monitor}"));
    let held = until_waiting(&monitor, u64::from(orders)).await?;
    println!("stream {STREAM} holds {held} messages; {orders} of them wait for the consumer {NOTIFY_DURABLE}");
    ensure!(held == u64::from(orders) + 1, "each order is one message, and there are {}", placed.len());

    say("kubectl -n web-notification scale deployment/notification-service --replicas=1");
    let started = Instant::now();
    let notify_svc = pipeline.service(Program::NotifySvc, &settings).await?;
    until_notified(&notify_svc, &placed).await?;
    until_waiting(&monitor, 0).await?;
    println!("caught up {:.1} s after its start; nothing waits in {STREAM}. Its log:", started.elapsed().as_secs_f64());
    for line in notify_svc.running.process.tail(6) {
        println!("  {line}");
    }
    println!("\n{} orders, {} notifications: nothing was lost and nothing came twice.", placed.len(), placed.len());
    Ok(ExitCode::SUCCESS)
}

fn say(step: &str) {
    println!("\n--- {step}");
}

/// Places an order; its id.
async fn place(order_svc: &Service) -> anyhow::Result<String> {
    let order = json!({ "product": "Espresso machine", "quantity": 1, "email": "ada@example.com" });
    let url = format!("http://{}/api/orders", order_svc.address());
    let sent = reqwest::Client::new().post(url).json(&order).send().await;
    let answer = sent.context("order-svc does not answer")?;
    let status = answer.status();
    let body: Value = answer.json().await.context("order-svc answered no JSON")?;
    ensure!(status == 201, "the order was answered {status}: {body}");
    let id = body["id"].as_str().context("an order has an id")?;
    println!("order {id}: {status}");
    Ok(id.to_owned())
}

/// Waits until each order has its notification, and sees that it has one only.
async fn until_notified(notify_svc: &Service, orders: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + SEEN_WITHIN;
    for order in orders {
        loop {
            let url = format!("http://{}/api/notifications?order_id={order}", notify_svc.address());
            let body = get(&url).await?;
            match body["notifications"].as_array().map_or(0, Vec::len) {
                0 if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                1 => break,
                number => bail!("order {order} has {number} notifications"),
            }
        }
        println!("order {order}: notified once");
    }
    Ok(())
}

/// Waits until this many messages wait for notify-svc; how many the stream holds.
async fn until_waiting(monitor: &str, expected: u64) -> anyhow::Result<u64> {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        let body = get(monitor).await?;
        let seen = waiting(&body);
        match seen {
            Some((held, waiting)) if waiting == expected => return Ok(held),
            _ if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Some((_, waiting)) => bail!("{waiting} messages wait, not {expected}"),
            None => bail!("{monitor} shows no {NOTIFY_DURABLE} on {STREAM}"),
        }
    }
}

/// What the monitor says of the stream and its consumer: messages held, and of them not yet acknowledged.
fn waiting(jsz: &Value) -> Option<(u64, u64)> {
    let accounts = jsz["account_details"].as_array()?;
    let stream = accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten();
    let stream = stream.into_iter().find(|stream| stream["name"] == STREAM)?;
    let consumer = stream["consumer_detail"].as_array()?.iter().find(|consumer| consumer["name"] == NOTIFY_DURABLE)?;
    let waiting = consumer["num_pending"].as_u64()? + consumer["num_ack_pending"].as_u64()?;
    Some((stream["state"]["messages"].as_u64()?, waiting))
}

async fn get(url: &str) -> anyhow::Result<Value> {
    let answer = reqwest::get(url).await.with_context(|| format!("{url} does not answer"))?;
    answer.json().await.with_context(|| format!("{url} answered no JSON"))
}
