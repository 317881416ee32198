//! What people run in a cluster: each verb as the database's user for people, whose password no service has.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use stack::service::Program;

use super::Servers;
use super::rendered::{Container, OVERLAYS, Overlay, list, name_of, namespace_of, pod_of};
use crate::services::run;

/// Namespace, CronJob, program, and a verb with the status that it ends with where nothing runs.
const VERBS: [(&str, &str, Program, &[&str], i32); 5] = [
    (
        "web-order",
        "order-service-verb",
        Program::OrderSvc,
        &["customer", "export", "--customer", "eve", "--reason", "x"],
        3,
    ),
    (
        "web-order",
        "outbox-relay-verb",
        Program::OutboxRelay,
        &["subject", "pause", "order.created", "--reason", "x"],
        0,
    ),
    ("web-notification", "notification-service-verb", Program::NotifySvc, &["suppression", "list"], 0),
    ("web-payment", "payment-service-verb", Program::PaymentSvc, &["message", "list"], 0),
    (
        "web-payment",
        "payment-relay-verb",
        Program::PaymentRelay,
        &["subject", "pause", "payment.refunded", "--reason", "x"],
        0,
    ),
];

/// The secrets that a workload mounts, whole or in part.
fn secrets_of(workload: &serde_json::Value) -> BTreeSet<&str> {
    let volumes = list(&pod_of(workload)["volumes"]);
    let names = volumes.flat_map(|volume| {
        let projected = list(&volume["projected"]["sources"]).map(|source| &source["secret"]["name"]);
        projected.chain([&volume["secret"]["secretName"]])
    });
    names.filter_map(serde_json::Value::as_str).collect()
}

/// The name of a secret without the hash that kustomize may have given it.
fn is_of_people(secret: &str) -> bool {
    ["orders-operator", "notifications-operator", "payments-operator"].iter().any(|name| secret.starts_with(name))
}

#[test]
fn only_what_people_run_is_given_the_password_of_the_user_for_people() {
    for overlay in OVERLAYS.map(Overlay::render) {
        for workload in overlay.workloads() {
            let is_given = secrets_of(workload).into_iter().any(is_of_people);
            assert_eq!(is_given, workload["kind"] == "CronJob", "{}: {}", overlay.name, name_of(workload));
        }
    }
}

#[test]
fn what_people_run_waits_for_a_person() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let all: Vec<_> =
            overlay.of_kind("CronJob").map(|cron_job| (namespace_of(cron_job), name_of(cron_job))).collect();
        let expected: BTreeSet<_> = VERBS.map(|(namespace, name, ..)| (namespace, name)).into();
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected, "{}", overlay.name);
        for cron_job in overlay.of_kind("CronJob") {
            assert_eq!(cron_job["spec"]["suspend"], true);
            assert_eq!(pod_of(cron_job)["automountServiceAccountToken"], false);
        }
    }
}

/// With the settings of each overlay, places and passwords apart.
#[tokio::test]
async fn a_verb_runs_with_these_settings_as_the_user_for_people() {
    let servers = Servers::start().await;
    for overlay in OVERLAYS.map(Overlay::render) {
        for (namespace, name, program, verb, status) in VERBS {
            let workload = overlay.object("CronJob", namespace, name);
            let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
            assert_eq!(container.spec["name"], program.file());
            let given = [
                ("DATABASE_URL", servers.database(namespace).url(program.operator())),
                ("NATS_URL", servers.nats.url()),
                ("USER", "ada".to_owned()),
            ];
            let settings = overlay.environment(&container).into_iter();
            let settings = settings.filter(|(name, _)| !name.ends_with("_FILE") && name != "NATS_URL");
            let settings = settings.filter_map(|(name, value)| Some((name, value?)));
            let environment: Vec<_> = settings.chain(given.map(|(name, value)| (name.to_owned(), value))).collect();
            let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
            let output = run(program.file(), verb, &environment);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(status), "{}: {name}: {said}", overlay.name);
        }
        // For the next overlay.
        for database in [&servers.orders, &servers.payments] {
            sqlx::query("DELETE FROM outbox_pause").execute(&database.admin_pool().await).await.unwrap();
        }
    }
}

/// The jobs of `dev` set the password that its secrets have.
#[test]
fn dev_opens_the_users_for_people_with_the_passwords_that_it_gives_them() {
    let overlay = Overlay::render("dev");
    for (namespace, name, program, ..) in VERBS {
        let secrets = secrets_of(overlay.object("CronJob", namespace, name));
        let of_people = secrets.into_iter().find(|secret| is_of_people(secret)).unwrap();
        let url = text(&overlay, namespace, of_people, "DATABASE_URL");
        let (user, rest) = url.strip_prefix("mysql://").unwrap().split_once(':').unwrap();
        let (password, _) = rest.split_once('@').unwrap();
        assert_eq!(user, program.operator());
        let job = format!("{}-migrate", program.database().name);
        let secrets = secrets_of(overlay.object("Job", namespace, &job));
        let of_an_admin = secrets.into_iter().find(|secret| secret.starts_with("database-admin")).unwrap();
        let users = text(&overlay, namespace, of_an_admin, "users.sql");
        assert!(
            users.contains(&format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK;")),
            "{users}"
        );
    }
}

fn text(overlay: &Overlay, namespace: &str, secret: &str, key: &str) -> String {
    let data = overlay.object("Secret", namespace, secret)["data"][key].as_str().unwrap();
    let in_one_line: String = data.split_whitespace().collect();
    String::from_utf8(BASE64_STANDARD.decode(in_one_line).unwrap()).unwrap()
}
