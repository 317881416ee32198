//! Manifests and programs held together: what is written in k8s/ against what the programs say and do.

mod images;
mod network;
mod rendered;
mod verbs;

use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use stack::Engine;
use stack::home::Home;
use stack::testing::{Database, Nats, Service, binary};

use rendered::{Container, OVERLAYS, Overlay, kustomize, list, name_of, namespace_of, pod_of, port_of};

/// Program, namespace, deployment, port of its API, port of its admin server.
const SERVICES: [(&str, &str, &str, Option<u64>, u64); 5] = [
    ("order-svc", "web-order", "order-service", Some(8081), 9081),
    ("outbox-relay", "web-order", "outbox-relay", None, 9083),
    ("notify-svc", "web-notification", "notification-service", Some(8082), 9082),
    ("payment-svc", "web-payment", "payment-service", Some(8084), 9084),
    ("outbox-relay", "web-payment", "payment-relay", None, 9085),
];

#[test]
fn the_names_that_people_type_are_there() {
    for overlay in OVERLAYS.map(Overlay::render) {
        for namespace in ["web-order", "web-notification", "web-payment", "web-nats", "web-gateway"] {
            let labels = &overlay.object("Namespace", "", namespace)["metadata"]["labels"];
            assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted", "{namespace}");
        }
        for (program, namespace, deployment, http, admin) in SERVICES {
            let workload = overlay.object("Deployment", namespace, deployment);
            let container = &pod_of(workload)["containers"][0];
            assert_eq!(container["name"], program);
            assert_eq!(port_of(container, "admin"), admin);
            if let Some(http) = http {
                assert_eq!(port_of(container, "http"), http);
                assert_eq!(overlay.object("Service", namespace, deployment)["spec"]["ports"][0]["port"], http);
            }
        }
        assert_eq!(overlay.object("Deployment", "web-order", "outbox-relay")["spec"]["replicas"], 2);
        let nats = &overlay.object("Service", "web-nats", "nats")["spec"];
        let ports: Vec<_> = list(&nats["ports"]).map(|port| port["port"].as_u64().unwrap()).collect();
        assert_eq!(ports, [4222, 8222]);
    }
}

#[test]
fn every_setting_is_one_that_its_program_knows() {
    for overlay in OVERLAYS.map(Overlay::render) {
        for (program, ..) in SERVICES {
            let containers = overlay.containers_of(program);
            assert!(!containers.is_empty(), "{}: nothing runs {program}", overlay.name);
            for container in containers {
                // What people run has the settings of its service.
                let is_of_people = container.workload["kind"] == "CronJob";
                let verb = if is_of_people { "run" } else { container.spec["args"][0].as_str().unwrap() };
                let help = Command::new(binary(program)).args([verb, "--help"]).output().unwrap();
                let help = String::from_utf8(help.stdout).unwrap();
                let help = help.split_whitespace().collect::<Vec<_>>().join(" "); // wrapped at any space
                for name in overlay.environment(&container).keys() {
                    let known = [format!("[env: {name}]"), format!("[env: {name}="), format!("[in a file: {name}]")];
                    let known = known.iter().any(|known| help.contains(known));
                    assert!(known, "{}: {program} {verb} does not know {name}", overlay.name);
                }
            }
        }
    }
}

/// Who consumes can't ask the relay how long it keeps what it may publish again.
#[test]
fn who_consumes_is_told_how_long_the_relay_keeps_events() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let told = |program, name| {
            let containers = overlay.containers_of(program).into_iter();
            let running = containers.filter(|container| container.spec["args"][0] == "run");
            // The events that are consumed are those of the orders.
            let running = running.filter(|container| name_of(container.workload) != "payment-relay");
            let settings = running.map(|container| overlay.environment(&container).remove(name).flatten());
            let settings: Vec<_> = settings.map(|value| value.unwrap_or_else(|| default_of(program, name))).collect();
            let [setting] = &settings[..] else { panic!("{}: {program} runs as {settings:?}", overlay.name) };
            runtime::config::duration(setting).unwrap()
        };
        let kept = told("outbox-relay", "RETENTION");
        for program in ["notify-svc", "payment-svc"] {
            let told = told(program, "OUTBOX_RETENTION");
            assert_eq!(kept, told, "{}: RETENTION of the relay and OUTBOX_RETENTION of {program}", overlay.name);
        }
    }
}

/// What a program takes for a setting of `run` that nobody set.
fn default_of(program: &str, name: &str) -> String {
    let help = Command::new(binary(program)).args(["run", "--help"]).env_remove(name).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" "); // wrapped at any space
    let (_, rest) = help.split_once(&format!("[env: {name}=] [default: ")).unwrap_or_else(|| panic!("{name}: {help}"));
    rest.split(']').next().unwrap().to_owned()
}

/// Of an issuer that nobody has a token of.
const JWKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/identity/jwks.json");

#[test]
fn production_does_not_render_without_an_issuer_and_nobody_is_asked_only_where_it_says_so() {
    let production = Home::find().unwrap().root().join("k8s/overlays/prod");
    assert!(kustomize(&production).unwrap_err().contains("issuer.env"), "nobody has said who issues tokens");
    for none in ["", "AUTH_ISSUER=\nAUTH_AUDIENCE=web-store\n", "AUTH=none\n"] {
        let refused = Overlay::of("prod", &[], none).err().unwrap();
        assert!(refused.contains("replacement source") || refused.contains("out of bounds"), "{none:?}: {refused}");
    }
    for overlay in OVERLAYS.map(Overlay::render) {
        for (program, namespace, deployment, http, _) in SERVICES {
            let workload = overlay.object("Deployment", namespace, deployment);
            let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
            let environment = overlay.environment(&container);
            let said = ["AUTH", "AUTH_ISSUER"].map(|name| environment.get(name).cloned().flatten());
            let expected = match (http, overlay.name) {
                (None, _) => [None, None],
                (Some(_), "dev") => [Some("none".to_owned()), None],
                (Some(_), _) => [None, Some("https://issuer.example.com/".to_owned())],
            };
            assert_eq!(said, expected, "{}: {program}", overlay.name);
        }
    }
}

/// What the programs of the manifests connect to.
struct Servers {
    orders: Database,
    notifications: Database,
    payments: Database,
    nats: Nats,
}

impl Servers {
    async fn start() -> Self {
        let create = async |definition| Database::create(Engine::MySql, definition).await;
        Self {
            orders: create(&schema::database::ORDERS).await,
            notifications: create(&schema::database::NOTIFICATIONS).await,
            payments: create(&schema::database::PAYMENTS).await,
            nats: Nats::start().await,
        }
    }

    /// The one of the programs in a namespace.
    fn database(&self, namespace: &str) -> &Database {
        match namespace {
            "web-order" => &self.orders,
            "web-payment" => &self.payments,
            _ => &self.notifications,
        }
    }
}

/// Each service runs with the settings of the manifests, secrets and places apart, and every probe is asked of it.
#[tokio::test]
async fn the_services_start_with_these_settings_and_answer_every_probe() {
    let servers = Servers::start().await;
    for overlay in OVERLAYS.map(Overlay::render) {
        let mut running = Vec::new();
        for (program, namespace, deployment, http, admin) in SERVICES {
            let workload = overlay.object("Deployment", namespace, deployment);
            let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
            let user = match deployment {
                "order-service" => "order_svc",
                "outbox-relay" => "outbox_relay",
                "payment-service" => "payment_svc",
                "payment-relay" => "payment_relay",
                _ => "notify_svc",
            };
            let url = servers.database(namespace).url(user);
            let mut service =
                Service::new(binary(program)).env("DATABASE_URL", url).env("NATS_URL", servers.nats.url());
            for (name, value) in overlay.environment(&container) {
                service = with_setting(service, &name, value);
            }
            if let Some(http) = http {
                assert_eq!(overlay.environment(&container)["HTTP_ADDR"], Some(format!("0.0.0.0:{http}")));
            }
            assert_eq!(overlay.environment(&container)["ADMIN_ADDR"], Some(format!("0.0.0.0:{admin}")));
            running.push((service.start().await, container));
        }
        for (service, container) in &running {
            for url in probes(service, container) {
                let answer = reqwest::get(&url).await.unwrap();
                assert_eq!(answer.status(), 200, "{}: {url}", overlay.name);
            }
        }
    }
}

/// One setting of the manifests, unless it names a place: those are the test's own.
fn with_setting(service: Service, name: &str, value: Option<String>) -> Service {
    match (name, value) {
        ("HTTP_ADDR" | "ADMIN_ADDR" | "NATS_URL", _) => service,
        ("STREAM_REPLICAS", _) => service, // there is one server
        ("PAYMENT_SIMULATOR_DIR", _) => service.env(name, concat!(env!("CARGO_TARGET_TMPDIR"), "/provider")),
        ("AUTH_JWKS_URL", _) => service.env("AUTH_JWKS_FILE", JWKS),
        ("STRIPE_API_KEY_FILE", _) => service.env("STRIPE_API_KEY", "sk_test_manifests"),
        ("SMTP_URL_FILE", _) => service.env("SMTP_URL", "smtp://127.0.0.1:1"),
        (file, _) if file.ends_with("_FILE") => service,
        (_, Some(value)) => service.env(name, value),
        (secret, None) => panic!("what is {secret} to be?"),
    }
}

#[test]
fn every_file_that_a_setting_names_is_mounted_from_a_secret_that_has_it() {
    for overlay in OVERLAYS.map(Overlay::render) {
        for (program, ..) in SERVICES {
            for container in overlay.containers_of(program) {
                let environment = overlay.environment(&container);
                // What people run signs in to the database and NATS only.
                let is_of_people = container.workload["kind"] == "CronJob";
                let files = environment.iter().filter(|(name, _)| name.ends_with("_FILE"));
                let files = files.filter(|(name, _)| {
                    !is_of_people || ["DATABASE_", "NATS_"].iter().any(|server| name.starts_with(server))
                });
                for (name, path) in files {
                    let (folder, key) = path.as_ref().unwrap().rsplit_once('/').unwrap();
                    let mount = list(&container.spec["volumeMounts"]).find(|mount| mount["mountPath"] == folder);
                    let mount = mount.unwrap_or_else(|| panic!("{}: {program}: {name} is not mounted", overlay.name));
                    assert_secret_has(&overlay, &container, &mount["name"], key);
                }
            }
        }
    }
}

#[test]
fn production_is_told_of_complaints_if_its_overlay_lists_the_component() {
    let setting = |components: &[&str]| {
        let overlay = Overlay::render_with("prod", components);
        let workload = overlay.object("Deployment", "web-notification", "notification-service");
        let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
        overlay.environment(&container).remove("SUPPRESSION_WEBHOOK_SECRET_FILE").flatten()
    };
    assert_eq!(setting(&[]), None);
    let file = setting(&["suppression-webhook"]).unwrap();
    assert_eq!(file, "/run/secrets/notification-service/SUPPRESSION_WEBHOOK_SECRET", "beside the other secrets");
}

#[test]
fn in_production_what_crosses_the_cluster_is_encrypted() {
    let overlay = Overlay::render("prod");
    for (program, namespace, deployment, http, _) in SERVICES {
        let workload = overlay.object("Deployment", namespace, deployment);
        let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
        let environment = overlay.environment(&container);
        let has = |name: &str| environment.contains_key(name);
        assert!(has("DATABASE_CA_FILE") && has("NATS_CA_FILE"), "{program}");
        assert_eq!(has("HTTP_CERT_FILE") && has("HTTP_KEY_FILE"), http.is_some(), "{program}");
        let plain = environment.iter().find(|(name, value)| {
            name.ends_with("_URL") && value.as_ref().is_some_and(|value| value.starts_with("http://"))
        });
        assert_eq!(plain, None, "{program}");
    }
}

/// Looks into the secrets that an overlay makes; those of `prod` are not ours to make.
fn assert_secret_has(overlay: &Overlay, container: &Container<'_>, volume: &Value, key: &str) {
    let volume = list(&pod_of(container.workload)["volumes"]).find(|candidate| candidate["name"] == *volume).unwrap();
    let of_a_key = |source: &&Value| list(&source["secret"]["items"]).any(|item| item["key"] == key);
    let secret = match list(&volume["projected"]["sources"]).find(of_a_key) {
        Some(source) => &source["secret"]["name"],
        None => &volume["secret"]["secretName"],
    };
    let secret = secret.as_str().unwrap_or_else(|| panic!("no secret is to have {key}: {volume}"));
    if overlay.name == "dev" {
        let data = &overlay.object("Secret", namespace_of(container.workload), secret)["data"];
        assert!(data[key].is_string(), "{secret} has no {key}");
    }
}

/// The URLs, at a service of the test's, of a pod's probes and of what its annotations tell Prometheus.
fn probes(service: &Service, container: &Container<'_>) -> Vec<String> {
    let mut urls = Vec::new();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container.spec[probe]["httpGet"];
        assert_eq!(get["port"], "admin", "{probe}");
        urls.push(service.admin_url(get["path"].as_str().unwrap()));
    }
    let annotations = &container.workload["spec"]["template"]["metadata"]["annotations"];
    let port = annotations["prometheus.io/port"].as_str().unwrap();
    assert_eq!(port, port_of(container.spec, "admin").to_string());
    urls.push(service.admin_url(annotations["prometheus.io/path"].as_str().unwrap()));
    urls
}

#[test]
fn a_pod_is_given_longer_to_end_than_its_program_takes() {
    let gateway = std::fs::read_to_string(Home::find().unwrap().root().join("gateway/nginx.conf")).unwrap();
    let nats = std::fs::read_to_string(Home::find().unwrap().root().join("k8s/base/nats/nats.conf")).unwrap();
    for overlay in OVERLAYS.map(Overlay::render) {
        for workload in
            overlay.workloads().filter(|workload| !matches!(workload["kind"].as_str(), Some("Job" | "CronJob")))
        {
            let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
            let drain = match container.spec["name"].as_str().unwrap() {
                "nginx" => seconds(gateway.split("worker_shutdown_timeout ").nth(1).unwrap()),
                "nats" => seconds(nats.split("lame_duck_duration: \"").nth(1).unwrap()),
                "mysql" => 60, // none of ours: it writes back what it has to
                _ => {
                    let grace = overlay.environment(&container)["SHUTDOWN_GRACE"].clone().unwrap();
                    runtime::config::duration(&grace).unwrap().as_secs()
                }
            };
            let sleep = container.spec["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or_default();
            let grace = pod_of(workload)["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(grace >= sleep + drain + 5, "{}: {grace} s, {sleep} s + {drain} s", name_of(workload));
        }
    }
}

/// The number at the start of a text such as `20s;`.
fn seconds(text: &str) -> u64 {
    text.split('s').next().unwrap().parse().unwrap()
}

#[test]
fn nginx_and_nats_accept_the_configurations_in_the_manifests() {
    let home = Home::find().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    for overlay in OVERLAYS.map(Overlay::render) {
        let folder = tempfile::tempdir().unwrap();
        for file in ["tls.crt", "ca.crt"] {
            std::fs::write(folder.path().join(file), cert.pem()).unwrap();
        }
        std::fs::write(folder.path().join("tls.key"), signing_key.serialize_pem()).unwrap();
        // Names of the cluster mean nothing here, and what is mounted lies elsewhere.
        let here = |text: &str| {
            let here = folder.path().display().to_string();
            let text = text.replace("/run/secrets/gateway-tls", &here).replace("/run/secrets/nats-tls", &here);
            let text = text.replace("/run/secrets/services-ca", &here);
            text.lines()
                .map(|line| match line.split_once(".svc.cluster.local") {
                    Some((before, after)) if before.starts_with("server ") => format!("server 127.0.0.1{after}\n"),
                    _ => format!("{line}\n"),
                })
                .collect()
        };
        overlay.write_files(overlay.object("Deployment", "web-gateway", "gateway"), "config", folder.path(), here);
        overlay.write_files(overlay.object("StatefulSet", "web-nats", "nats"), "config", folder.path(), here);
        let mut nginx = Command::new(home.program("nginx").unwrap());
        nginx.arg("-t").arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        nginx.args(["-e", "stderr"]);
        let mut nats = Command::new(home.program("nats-server").unwrap());
        nats.arg("-t").arg("--config").arg(folder.path().join("nats.conf")).env("POD_NAME", "nats-0");
        for user in stack::server::NATS_USERS {
            nats.env(user.variable, "\"secret\"");
        }
        for mut program in [nginx, nats] {
            let tested = program.output().unwrap();
            assert!(tested.status.success(), "{}: {}", overlay.name, String::from_utf8_lossy(&tested.stderr));
        }
    }
}

/// MySQL lets in 151 unless told otherwise.
#[test]
fn all_replicas_connections_fit_into_mysqls_default() {
    for overlay in OVERLAYS.map(Overlay::render) {
        let mut connections = 0;
        for (_, namespace, deployment, ..) in SERVICES {
            let workload = overlay.object("Deployment", namespace, deployment);
            let container = Container { workload, spec: &pod_of(workload)["containers"][0] };
            let autoscaler = overlay.of_kind("HorizontalPodAutoscaler").find(|scaler| name_of(scaler) == deployment);
            let replicas = match autoscaler {
                Some(scaler) => scaler["spec"]["maxReplicas"].as_u64().unwrap(),
                None => workload["spec"]["replicas"].as_u64().unwrap(),
            };
            let environment = overlay.environment(&container);
            let each = environment.get("DATABASE_CONNECTIONS_MAX").cloned().flatten();
            connections += (replicas + 1) * each.map_or(16, |each| each.parse::<u64>().unwrap()); // one more in a rollout
        }
        assert!(connections < 151, "{}: {connections}", overlay.name);
    }
}
