//! The console, in a browser without a window, on what `stack up` runs: every click is a person's, every number real.

mod browser;

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use sqlx::MySqlPool;
use stack::Engine;
use stack::smtp::SmtpServer;
use stack::testing::eventually_within;
use thirtyfour::Key;
use uuid::Uuid;

use browser::Browser;

use crate::up::Place;

/// What the form says of an order that was taken.
const PLACED: &str = "The order is placed.";

#[tokio::test]
async fn an_order_is_placed_by_the_form_seen_to_travel_and_cancelled() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "All is up.").await;
    browser.until_text(".scroll", "No order was placed yet").await;
    browser.pictures("empty").await;

    browser.fill("#order-product", "Grinder").await;
    browser.click(".place button").await;
    browser.until_text(".said", PLACED).await;
    browser.until_count(".travel .step.done", 5).await;
    browser.until_text(".travel .step:nth-child(2) .note", "seq 1").await;
    browser.until_count(".orders tbody tr:first-child .cell.done", 4).await;

    browser.fill("#order-product", "test-declined").await;
    browser.click(".place button").await;
    browser.until_text(".orders tbody tr:first-child", "cancelled").await;
    browser.until_text(".orders tbody tr:first-child .cell.failed", "declined").await;
    browser.pictures("overview").await;

    browser.click(".orders tbody tr:first-child a").await;
    browser.until_text(".timeline", "Payment declined").await;
    browser.until_text(".timeline", "Order cancelled, committed").await;
    browser.until_no(".timeline .waiting").await;
    browser.pictures("declined").await;

    browser.click(".back a").await;
    browser.click(".orders tbody tr:nth-child(2) a").await;
    browser.until_text("h1", "Grinder × 2").await;
    browser.click(".head .danger").await;
    browser.pictures("question").await;
    browser.click("dialog .danger").await;
    browser.until_text(".outcome", "The order is cancelled.").await;
    browser.until_text(".timeline", "Refunded").await;
    browser.until_no(".timeline .waiting").await;
    browser.until_no(".head .danger").await;
    browser.pictures("cancelled").await;
    browser.close().await;
    up.stop().await;
}

#[tokio::test]
async fn what_is_down_is_shown_as_down_until_it_is_back() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "All is up.").await;

    let relay = up.relay("ORDERS");
    kill(relay, Signal::SIGSTOP).unwrap();
    browser.until_text("#alarm", "No order relay is active").await;
    browser.click(".place button").await;
    browser.until_text(".said", PLACED).await;
    browser.until_text(".orders tbody tr:first-child .cell", "waiting").await;
    browser.until_text("#alarm", "1 event waits in the outbox").await;
    browser.pictures("relay-down").await;
    kill(relay, Signal::SIGCONT).unwrap();
    browser.until_text("#alarm", "All is up.").await;
    browser.until_count(".orders tbody tr:first-child .cell.done", 4).await;

    let order_svc = up.service("order-svc");
    kill(order_svc, Signal::SIGSTOP).unwrap();
    browser.until_text("#alarm", "Order service: no answer").await;
    browser.until_count(".stage.bad", 1).await;
    browser.until_text(".stage.bad .since", "as of").await;
    browser.until_count("table.stale tbody tr", 1).await;
    browser.pictures("order-service-down").await;
    kill(order_svc, Signal::SIGCONT).unwrap();
    browser.until_text("#alarm", "All is up.").await;
    browser.until_no(".stale").await;
    browser.close().await;
    up.stop().await;
}

#[tokio::test]
async fn what_a_person_has_to_decide_is_listed_with_its_reason() {
    let (place, mut smtp) = (Place::new(), SmtpServer::new());
    smtp.start().await.unwrap();
    smtp.refuse("nobody@example.com", "550 5.1.1 no such user");
    let mut command = place.command(Engine::MariaDb);
    command.env("EMAIL_TRANSPORT", "smtp").env("SMTP_URL", smtp.url());
    let up = place.up_by(command).await;
    let orders = MySqlPool::connect(&up.variable("order-svc", "DATABASE_URL")).await.unwrap();
    append(&orders, "order.*").await; // no event may have such a subject
    append(&orders, "order.created").await; // nobody can read it
    let browser = Browser::open(up.gateway).await;
    browser.fill("#order-email", "nobody@example.com").await;
    browser.fill("#order-product", "test-invalid").await; // the provider can't do it
    browser.click(".place button").await;
    browser.until_text(".said", PLACED).await;
    // Whose fault a refusal is, emails that follow it show.
    eventually_within(Duration::from_secs(60), "the email is dead", async || {
        up.place().await;
        up.get("/api/events/stats").await.is_some_and(|stats| stats["emails"]["dead"] == 1)
    })
    .await;
    let reasons = [
        ("1 dead event", "tried no more"),
        ("1 dead message", "order.created"),
        ("1 dead message of payments", "message show"),
        ("1 stuck payment", "Charge of an order"),
        ("1 dead email", "has what was said"),
    ];
    for (kind, reason) in reasons {
        browser.until_text(".decide", kind).await;
        browser.until_text(".decide", reason).await;
    }
    browser.pictures("decide").await;
    browser.click(".decide [href*=orders]").await;
    browser.until_text("h1", "Order").await;
    browser.close().await;
    up.stop().await;
}

/// An event by plain SQL.
async fn append(orders: &MySqlPool, subject: &str) {
    let insert =
        "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload)
         VALUES (?, 'order', ?, 1, 'order.created', ?, '{}')";
    let insert = sqlx::query(insert).bind(Uuid::now_v7()).bind(Uuid::now_v7().to_string());
    insert.bind(subject).execute(orders).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_down_is_shown_as_down_until_it_is_back() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "All is up.").await;

    let nats = up.service("nats-server");
    kill(nats, Signal::SIGSTOP).unwrap();
    browser.click(".place button").await;
    browser.until_text(".said", PLACED).await;
    browser.until_text("#alarm", "NATS has taken no order events since").await;
    browser.until_text(".stages", "Takes no events").await;
    browser.until_text(".orders tbody tr:first-child .cell", "waiting").await;
    browser.pictures("broker-down").await;
    kill(nats, Signal::SIGCONT).unwrap();
    browser.until_text("#alarm", "All is up.").await;
    browser.until_no(".stage.bad").await;
    browser.until_count(".orders tbody tr:first-child .cell.done", 4).await;
    browser.close().await;
    up.stop().await;
}

#[tokio::test]
async fn a_token_opens_the_console_to_what_it_permits() {
    let place = Place::new();
    let mut command = place.command(Engine::MariaDb);
    command.arg("--auth");
    let up = place.up_by(command).await;
    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "shown to whoever has a token").await;
    browser.pictures("token").await;
    browser.fill("#token-text", "nonsense").await;
    browser.click("#token button").await;
    browser.until_text("#token-fault", "no JWT").await;
    browser.fill("#token-text", &up.token("CUSTOMER")).await;
    browser.click("#token button").await;
    browser.until_text("#alarm", "Your token does not show how things stand.").await;
    browser.click(".place button").await;
    browser.until_text(".said", PLACED).await;
    browser.until_count(".orders tbody tr", 1).await;
    browser.close().await;

    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "shown to whoever has a token").await;
    browser.fill("#token-text", &up.token("OPERATOR")).await;
    browser.click("#token button").await;
    browser.until_text("#alarm", "All is up.").await;
    browser.until_count(".orders tbody tr:first-child .cell.done", 4).await;
    browser.close().await;
    up.stop().await;
}

#[tokio::test]
async fn the_console_works_by_keyboard_and_says_what_is_wrong_with_an_order() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    let browser = Browser::open(up.gateway).await;
    browser.until_text("#alarm", "All is up.").await;

    browser.tab_to("#order-quantity").await;
    browser.press("0").await;
    browser.press(Key::Enter).await;
    browser.until_text("#order-quantity-fault", "from 1 to 1000").await;
    browser.until_focus("#order-quantity").await;
    browser.pictures("refused").await;
    browser.press(Key::Backspace).await;
    browser.press("3").await;
    browser.press(Key::Enter).await;
    browser.until_text(".said", PLACED).await;
    browser.until_count(".orders tbody tr:first-child .cell.done", 4).await;

    browser.tab_to(".orders tbody tr:first-child a").await;
    browser.press(Key::Enter).await;
    browser.until_text("h1", "Espresso machine × 3").await;
    browser.until_focus("h1").await;
    browser.tab_to(".head .danger").await;
    browser.press(Key::Enter).await;
    browser.until_focus("dialog [value=no]").await;
    browser.press(Key::Escape).await;
    browser.until_focus(".head .danger").await;
    browser.press(Key::Enter).await;
    browser.tab_to("dialog .danger").await;
    browser.press(Key::Enter).await;
    browser.until_text(".outcome", "The order is cancelled.").await;

    browser.tab_to("#theme").await;
    browser.press(Key::Space).await;
    browser.press(Key::Space).await;
    browser.until_count("[data-theme=dark]", 1).await;
    browser.close().await;
    up.stop().await;
}

#[tokio::test]
async fn the_example_of_a_swagger_ui_can_be_sent_as_it_stands() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    let browser = Browser::open(up.gateway).await;
    browser.click(".menu summary").await;
    browser.click(".menu a").await;
    let place_an_order = ".opblock-post:has([data-path='/api/orders'])";
    browser.click(&format!("{place_an_order} .opblock-summary-control")).await;
    browser.click(&format!("{place_an_order} .try-out__btn")).await;
    browser.click(&format!("{place_an_order} .execute")).await;
    browser.until_text(&format!("{place_an_order} .live-responses-table .response"), "201").await;
    browser.close().await;
    up.stop().await;
}
