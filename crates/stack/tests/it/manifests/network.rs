//! The network policies: every arrow of the design is open at both ends, and no other is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rendered::{OVERLAYS, Overlay, list, name_of, namespace_of, template_of};

/// From pods, to pods, on a port.
type Arrow = (String, String, u64);

const DESIGN: [(&str, &str, u64); 12] = [
    ("web-gateway/gateway", "web-order/order-service", 8081),
    ("web-gateway/gateway", "web-notification/notification-service", 8082),
    ("web-gateway/gateway", "web-payment/payment-service", 8084),
    ("web-order/order-service", "web-nats/nats", 4222),
    ("web-order/outbox-relay", "web-nats/nats", 4222),
    ("web-notification/notification-service", "web-nats/nats", 4222),
    ("web-notification/notification-service", "web-order/order-service", 8081),
    ("web-payment/payment-service", "web-nats/nats", 4222),
    ("web-payment/payment-relay", "web-nats/nats", 4222),
    // What people run.
    ("web-order/orders-operator", "web-nats/nats", 4222),
    ("web-notification/notifications-operator", "web-nats/nats", 4222),
    ("web-payment/payments-operator", "web-nats/nats", 4222),
];

const DEV: [(&str, &str, u64); 11] = [
    ("web-order/order-service", "web-mysql/mysql", 3306),
    ("web-order/outbox-relay", "web-mysql/mysql", 3306),
    ("web-order/orders-migrate", "web-mysql/mysql", 3306),
    ("web-notification/notification-service", "web-mysql/mysql", 3306),
    ("web-notification/notifications-migrate", "web-mysql/mysql", 3306),
    ("web-payment/payment-service", "web-mysql/mysql", 3306),
    ("web-payment/payment-relay", "web-mysql/mysql", 3306),
    ("web-payment/payments-migrate", "web-mysql/mysql", 3306),
    ("web-order/orders-operator", "web-mysql/mysql", 3306),
    ("web-notification/notifications-operator", "web-mysql/mysql", 3306),
    ("web-payment/payments-operator", "web-mysql/mysql", 3306),
];

const PROD: [(&str, &str, u64); 1] = [("web-nats/nats", "web-nats/nats", 6222)];

/// Prometheus comes from outside: its end is not ours to open.
const PROMETHEUS: [(&str, &str, u64); 7] = [
    ("monitoring/prometheus", "web-order/order-service", 9081),
    ("monitoring/prometheus", "web-order/outbox-relay", 9083),
    ("monitoring/prometheus", "web-notification/notification-service", 9082),
    ("monitoring/prometheus", "web-payment/payment-service", 9084),
    ("monitoring/prometheus", "web-payment/payment-relay", 9085),
    ("monitoring/prometheus", "web-nats/nats", 7777),
    ("monitoring/prometheus", "web-gateway/gateway", 9113),
];

fn arrows(literal: &[(&str, &str, u64)]) -> BTreeSet<Arrow> {
    literal.iter().map(|(from, to, port)| ((*from).to_owned(), (*to).to_owned(), *port)).collect()
}

#[test]
fn only_the_arrows_of_the_design_are_open_and_each_at_both_ends() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let more = if overlay.name == "dev" { &DEV[..] } else { &PROD[..] };
        let expected = &arrows(&DESIGN) | &arrows(more);
        assert_eq!(open(&overlay, "egress"), expected, "{}: egress", overlay.name);
        let scraped = if overlay.name == "dev" { BTreeSet::new() } else { arrows(&PROMETHEUS) };
        assert_eq!(open(&overlay, "ingress"), &expected | &scraped, "{}: ingress", overlay.name);
    }
}

#[test]
fn every_namespace_with_pods_closes_what_no_policy_opens() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let closed: BTreeSet<_> = overlay
            .of_kind("NetworkPolicy")
            .filter(|policy| policy["spec"]["podSelector"].as_object().unwrap().is_empty())
            .filter(|policy| policy["spec"]["policyTypes"].as_array().unwrap().len() == 2)
            .map(namespace_of)
            .collect();
        for workload in overlay.workloads() {
            assert!(closed.contains(namespace_of(workload)), "{}: {}", overlay.name, namespace_of(workload));
        }
    }
}

/// Only the gateway is open to all, and only ways to a database, a mail server, an issuer or a payment provider lead out of the cluster.
#[test]
fn what_has_no_pod_at_its_other_end_is_the_public_the_database_and_the_mail() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let mut others = BTreeSet::new();
        for policy in overlay.of_kind("NetworkPolicy") {
            let spec = &policy["spec"];
            let unbounded = |rule: &&Value, end: &str| {
                rule[end].as_array().is_none_or(|peers| peers.iter().any(|peer| !peer["ipBlock"].is_null()))
            };
            let ways = list(&spec["ingress"]).filter(|rule| unbounded(rule, "from"));
            for rule in ways.chain(list(&spec["egress"]).filter(|rule| unbounded(rule, "to"))) {
                for port in list(&rule["ports"]) {
                    others.insert(format!("{} {}", name_of(policy), port["port"].to_string().trim_matches('"')));
                }
            }
        }
        let expected: &[&str] = match overlay.name {
            "dev" => &["public public"],
            _ => {
                &["public public", "to-database 3306", "to-issuer 443", "to-provider 443", "to-smtp 465", "to-smtp 587"]
            }
        };
        assert_eq!(others, expected.iter().map(|way| (*way).to_owned()).collect(), "{}", overlay.name);
    }
}

/// The arrows between pods that the policies open at one end. The name service is everybody's and no arrow.
fn open(overlay: &Overlay, end: &str) -> BTreeSet<Arrow> {
    let far = if end == "egress" { "to" } else { "from" };
    let mut found = BTreeSet::new();
    for policy in overlay.of_kind("NetworkPolicy") {
        let here = selected(overlay, namespace_of(policy), &policy["spec"]["podSelector"]);
        for rule in list(&policy["spec"][end]) {
            let there = list(&rule[far]).flat_map(|peer| peers(overlay, namespace_of(policy), peer));
            let pairs = there.flat_map(|there| here.iter().map(move |here| (here.clone(), there.clone())));
            for (here, there) in pairs {
                let (from, to) = if end == "egress" { (here, there) } else { (there, here) };
                let ports = list(&rule["ports"]).filter_map(|port| port["port"].as_u64()).filter(|port| *port != 53);
                found.extend(ports.map(|port| (from.clone(), to.clone(), port)));
            }
        }
    }
    found
}

fn peers(overlay: &Overlay, own: &str, peer: &Value) -> Vec<String> {
    if peer["podSelector"].is_null() {
        return Vec::new(); // an address
    }
    let labels = &peer["namespaceSelector"]["matchLabels"];
    let namespace = labels["kubernetes.io/metadata.name"].as_str().unwrap_or(own);
    selected(overlay, namespace, &peer["podSelector"])
}

/// The pods that a selector means. Those of our namespaces have to exist.
fn selected(overlay: &Overlay, namespace: &str, selector: &Value) -> Vec<String> {
    const NAME: &str = "app.kubernetes.io/name";
    let expression = list(&selector["matchExpressions"]).next();
    let named: Vec<&str> = match (&selector["matchLabels"][NAME], expression) {
        (Value::String(name), _) => vec![name],
        (_, Some(expression)) => list(&expression["values"]).filter_map(Value::as_str).collect(),
        _ => {
            let own = overlay.workloads().filter(|workload| namespace_of(workload) == namespace);
            own.filter_map(|workload| template_of(workload)["metadata"]["labels"][NAME].as_str()).collect()
        }
    };
    for name in &named {
        let exists = overlay.workloads().any(|workload| {
            namespace_of(workload) == namespace && template_of(workload)["metadata"]["labels"][NAME] == **name
        });
        assert!(exists || !namespace.starts_with("web-"), "{}: no pod is {namespace}/{name}", overlay.name);
    }
    named.iter().map(|name| format!("{namespace}/{name}")).collect()
}
