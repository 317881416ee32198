//! What is said of alerts and dashboards, held to their files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stack::home::Home;

const FOLDER: &str = "k8s/components/monitoring";
const PAGE: &str = "docs/alerts.md";
/// Each scene, and its test.
const SCENES: [(&str, &str); 5] = [
    ("observing.rs", "each_fault_fires_its_alert_and_its_end_ends_it"),
    ("observing/delays.rs", "each_delay_fires_its_alert"),
    ("observing/hangs.rs", "each_hang_fires_its_alert"),
    ("observing/losses.rs", "each_loss_fires_its_alert"),
    ("observing/relays.rs", "each_trouble_between_relay_database_and_broker_fires_its_alert"),
];
const TOP: &str = "# Alerts\n\n\
    Each alert has a page. `make check` tests the rule of each with `promtool`: once it fires, and once it does not though something like \
    it is there.\nThe tests that are named here also break something real, below a Prometheus that scrapes the real programs, until the \
    alert fires; in `each_delay_...`\nages of an hour are written into rows, and so is that of the proof in `each_loss_...`. The series of JetStreamStoreFilling are told by a stand-in for\n\
    prometheus-nats-exporter, which no package registry has, from nats-server's own `/jsz`. Where a rule alone is tested, no test breaks anything for it yet. `UPDATE_GOLDEN=1` writes this page.\n\n\
    | alert | severity | fired by |\n| --- | --- | --- |\n";

struct Alert {
    name: String,
    severity: String,
    runbook: String,
}

fn root() -> PathBuf {
    Home::find().unwrap().root().to_owned()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join(folder)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn texts(folder: &str) -> String {
    files(folder).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// What stands between two marks, after the first of which nothing else is of interest.
fn between<'a>(text: &'a str, from: &str, to: char) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {text}"));
    rest.split(to).next().unwrap_or_default()
}

fn alerts() -> Vec<Alert> {
    let rules = texts(&format!("{FOLDER}/rules"));
    let alerts = rules.split("- alert: ").skip(1).map(|rule| Alert {
        name: rule.lines().next().unwrap().to_owned(),
        severity: between(rule, "severity: ", '}').to_owned(),
        runbook: between(rule, "docs/runbooks/", '\n').to_owned(),
    });
    let mut alerts: Vec<_> = alerts.collect();
    alerts.sort_by(|one, other| one.name.cmp(&other.name));
    alerts
}

#[test]
fn the_page_of_the_alerts_says_how_each_is_proved() {
    let scenes = SCENES.map(|(file, test)| {
        let text = fs::read_to_string(root().join("crates/stack/tests/it").join(file)).unwrap();
        assert!(text.contains(test), "{file} has no {test}");
        (text, test)
    });
    let mut page = TOP.to_owned();
    for Alert { name, severity, runbook } in alerts() {
        assert!(root().join("docs/runbooks").join(&runbook).is_file(), "{name} has no page");
        let fired = scenes.iter().find(|(text, _)| text.contains(&format!("\"{name}\"")));
        let by = fired.map_or("its rule alone is tested".to_owned(), |(_, test)| format!("`{test}`"));
        page.push_str(&format!("| [{name}](runbooks/{runbook}) | {severity} | {by} |\n"));
    }
    held_to(&root().join(PAGE), &page);
}

fn held_to(file: &Path, page: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, page).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap_or_default(), page, "UPDATE_GOLDEN=1 writes it again");
}

/// As far as this can be known without Grafana: what its model of a dashboard wants of these panels.
#[test]
fn the_dashboards_are_of_the_form_that_grafana_reads() {
    let mut uids = BTreeSet::new();
    for file in files(&format!("{FOLDER}/dashboards")) {
        let text = fs::read_to_string(&file).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let name = file.display();
        assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| (36..=41).contains(&version)), "{name}");
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{name}: its uid is another's");
        assert!(dashboard["uid"].as_str().unwrap().len() <= 40 && dashboard.get("id").is_none(), "{name}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let is_source =
            |it: &&Value| it["name"] == "datasource" && it["type"] == "datasource" && it["query"] == "prometheus";
        assert_eq!(variables.iter().filter(is_source).count(), 1, "{name}: no variable for the source");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: an id is there twice");
        let mut taken = BTreeSet::new();
        for panel in panels {
            assert_panel(panel, &format!("{name}: {}", panel["title"]));
            for cell in cells(panel) {
                assert!(taken.insert(cell), "{name}: {} lies upon another", panel["title"]);
            }
        }
    }
}

fn assert_panel(panel: &Value, name: &str) {
    let known = |value: &Value, of: &[&str]| of.contains(&value.as_str().unwrap_or_default());
    assert!(known(&panel["type"], &["timeseries", "stat", "table", "gauge", "bargauge"]), "{name}: {}", panel["type"]);
    assert_eq!(panel["datasource"], serde_json::json!({ "type": "prometheus", "uid": "${datasource}" }), "{name}");
    let unit = &panel["fieldConfig"]["defaults"]["unit"];
    assert!(known(unit, &["short", "s", "ops", "reqps", "percentunit", "bytes", "Bps"]), "{name}: {unit}");
    assert!(panel["fieldConfig"]["overrides"].is_array(), "{name}");
    let targets = panel["targets"].as_array().unwrap();
    let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
    assert!(!targets.is_empty() && letters.len() == targets.len(), "{name}");
    assert!(targets.iter().all(|target| !target["expr"].as_str().unwrap().is_empty()), "{name}");
}

/// The squares of the grid, 24 wide, that a panel takes.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().unwrap());
    assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel["title"]);
    (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).collect()
}
