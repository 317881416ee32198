//! Debian's Prometheus scrapes the real programs: each fault fires its alert, and every panel of the dashboards has something
//! to show. The rules are those of production, hastened a hundred and twenty times.

mod delays;
mod exporter;
mod hangs;
mod losses;
mod relays;
mod replica;
mod watched;

use std::fs;

use serde_json::{Value, json};
use stack::home::Home;
use stack::smtp::{Fault, Stage};
use stack::testing::eventually;

use watched::{Event, Watched};

/// What fires in a pipeline with one relay for each outbox that is well: they have no standby.
const ALWAYS: &str = "RelayNoStandby";

#[tokio::test]
async fn each_fault_fires_its_alert_and_its_end_ends_it() {
    let mut watched = Watched::start().await;
    watched.place("ada@example.com").await.unwrap();
    watched.until(&[ALWAYS]).await;

    watched.append(&Event { subject: "order.*", ..Event::created() }).await; // no event may have such a subject
    watched.append(&Event { payload: json!({}), ..Event::created() }).await; // nobody can read it
    watched.smtp.refuse("nobody@example.com", "550 5.1.1 no such user");
    watched.place("nobody@example.com").await.unwrap();
    // An email is given up only once another one went through after it: others have to follow it.
    watched.until_placing(&["OutboxEventsDead", "InboxMessagesDead", "EmailsDead"]).await;

    watched.place_of("test-invalid", "ada@example.com").await.unwrap();
    watched.until(&["PaymentsStuck", "PaymentEffectsDead"]).await;
    let away = watched.provider.with_extension("away");
    fs::rename(&watched.provider, &away).unwrap();
    watched.until_placing(&["PaymentProviderDown"]).await;
    fs::rename(&away, &watched.provider).unwrap();
    watched.until_no("PaymentProviderDown").await;

    watched.smtp.fail(Stage::Mail, Fault::Say("421 4.3.2 closed for the day")); // on connections that were kept, too
    watched.until_placing(&["EmailTransportDown"]).await;
    watched.smtp.heal();

    watched.nats.stop().await;
    watched.until_placing(&["NatsUnreachable", "RelayPaused", "OutboxNotPublished"]).await;
    watched.nats.restart().await;
    watched.until_no("NatsUnreachable").await;
    watched.until_no("RelayPaused").await;

    watched.services.notify_svc.kill().await;
    watched.until_placing(&["PublishedNotApplied", "TargetDown"]).await;
    watched.services.notify_svc.restart().await;
    watched.until_no("TargetDown").await;

    watched.services.relay.kill().await;
    watched.until(&["RelayNoneActive", "TargetDown", "SeriesAbsent"]).await;
    watched.services.relay.restart().await;
    watched.until_no("RelayNoneActive").await;

    watched.mysql.stop().await;
    watched.until_placing(&["DatabaseUnreachable", "OrdersFailingFast", "OrdersFailingSlow"]).await;
    watched.mysql.restart().await;
    watched.until_no("DatabaseUnreachable").await;
    watched.until_no("EmailTransportDown").await; // the queue tries again after half a minute at most
}

#[tokio::test]
async fn every_panel_of_the_dashboards_has_something_to_show() {
    let watched = Watched::start().await;
    for (dashboard, panel, query) in queries() {
        eventually(&format!("{dashboard}: {panel}: {query} has an answer"), async || {
            watched.place("ada@example.com").await.unwrap();
            !watched.query(&query).await.is_empty()
        })
        .await;
    }
}

/// Dashboard, panel and query.
fn queries() -> Vec<(String, String, String)> {
    let folder = Home::find().unwrap().root().join("k8s/components/monitoring/dashboards");
    let mut queries = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let dashboard: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let [title, name] =
                    [&dashboard["title"], &panel["title"]].map(|text| text.as_str().unwrap().to_owned());
                let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "30s");
                queries.push((title, name, query));
            }
        }
    }
    assert!(!queries.is_empty());
    queries
}
