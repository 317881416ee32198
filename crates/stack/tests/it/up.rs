//! `stack up`, in a workspace of its own whose programs are the real one's.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stack::home::Home;
use stack::testing::{Port, eventually, eventually_within};
use stack::{Engine, both_engines};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const PORTS: [&str; 13] = [
    "GATEWAY",
    "MYSQL",
    "NATS",
    "NATS_MONITOR",
    "ORDER_SVC",
    "ORDER_SVC_ADMIN",
    "NOTIFY_SVC",
    "NOTIFY_SVC_ADMIN",
    "OUTBOX_RELAY_ADMIN",
    "PAYMENT_SVC",
    "PAYMENT_SVC_ADMIN",
    "PAYMENT_RELAY_ADMIN",
    "PROMETHEUS",
];

/// A first start initialises a database.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// A workspace with data of its own, and ports.
pub(crate) struct Place {
    folder: TempDir,
    ports: Vec<Port>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = Home::find().unwrap().root().to_owned();
        let folder = tempfile::tempdir().unwrap();
        for path in ["crates/stack", ".stack", "k8s/components/monitoring"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for path in ["crates/stack/setup", "gateway", ".stack/dist", "k8s/components/monitoring/rules"] {
            symlink(root.join(path), folder.path().join(path)).unwrap();
        }
        Self { folder, ports: PORTS.iter().map(|_| Port::reserve()).collect() }
    }

    pub(crate) fn command(&self, engine: Engine) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(["up", "--db", engine.name()]).current_dir(self.folder.path()).kill_on_drop(true);
        for (name, port) in PORTS.iter().zip(&self.ports) {
            command.env(format!("STACK_{name}_PORT"), port.number().to_string());
        }
        command
    }

    /// A shell that was given what `stack env` prints, and then this line: whether it ended well, and what it printed.
    async fn shell(&self, line: &str) -> (Option<i32>, String) {
        let script = format!("set -e; variables=$(\"$STACK\" env); eval \"$variables\"; {line}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("STACK", env!("CARGO_BIN_EXE_stack")).current_dir(self.folder.path());
        let output = shell.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    pub(crate) async fn up(&self, engine: Engine) -> Up {
        self.up_by(self.command(engine)).await
    }

    pub(crate) async fn up_by(&self, mut command: Command) -> Up {
        let output = self.folder.path().join("output");
        let file = File::create(&output).unwrap();
        let command = command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null()).spawn();
        let mut up = Up { process: command.unwrap(), output, gateway: self.ports[0].number() };
        eventually_within(UP_WITHIN, "the stack is up", async || {
            assert!(up.process.try_wait().unwrap().is_none(), "{}", up.said());
            up.said().contains("The stack is up.")
        })
        .await;
        up
    }
}

pub(crate) struct Up {
    process: Child,
    output: PathBuf,
    pub(crate) gateway: u16,
}

impl Up {
    /// The token that it has printed for whom.
    pub(crate) fn token(&self, name: &str) -> String {
        let said = self.said();
        let line = said.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).to_owned()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.gateway)).await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    /// Places an order through the gateway; its id.
    pub(crate) async fn place(&self) -> String {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let url = format!("http://127.0.0.1:{}/api/orders", self.gateway);
        let answer = reqwest::Client::new().post(url).json(&order).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn until_notified(&self, order: &str) {
        eventually("the customer is notified", async || {
            let page = self.get(&format!("/api/notifications?order_id={order}")).await;
            page.is_some_and(|page| page["notifications"].as_array().is_some_and(|list| list.len() == 1))
        })
        .await;
    }

    fn children(&self) -> Vec<Pid> {
        let pid = self.process.id().unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    }

    /// The process of a service.
    pub(crate) fn service(&self, name: &str) -> Pid {
        let is_it = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
        self.children().into_iter().find(is_it).unwrap()
    }

    /// What a service was told by a variable.
    pub(crate) fn variable(&self, service: &str, name: &str) -> String {
        let told = fs::read_to_string(format!("/proc/{}/environ", self.service(service))).unwrap();
        let value = told.split('\0').find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{service} was not told {name}")).to_owned()
    }

    /// The process of the relay that publishes to this stream.
    pub(crate) fn relay(&self, stream: &str) -> Pid {
        let told = format!("STREAM={stream}");
        let is_it = |pid: &Pid| {
            fs::read_to_string(format!("/proc/{pid}/environ"))
                .is_ok_and(|told_it| told_it.split('\0').any(|one| one == told))
        };
        self.children().into_iter().find(is_it).unwrap()
    }

    /// Asks it to stop; in which order it stopped its children.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        let children = self.children();
        let is_observed = self.said().contains("prometheus is ready");
        assert_eq!(children.len(), 8 + usize::from(is_observed), "{}", self.said());
        kill(Pid::from_raw(self.process.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let mut status = None;
        eventually_within(UP_WITHIN, "the stack stops", async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(status.unwrap().success(), "{}", self.said());
        for child in children {
            assert!(kill(child, None).is_err(), "process {child} is left: {}", self.said());
        }
        let said = self.said();
        assert!(!said.contains(" stopped with "), "{said}");
        said.lines().filter_map(|line| line.strip_prefix("stack        | stopping ")).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn with_auth_the_printed_tokens_are_what_lets_one_in() {
    let place = Place::new();
    let mut command = place.command(Engine::MySql);
    command.arg("--auth");
    let up = place.up_by(command).await;
    let ask = async |path: &str, token: Option<&str>| {
        let request = reqwest::Client::new().get(format!("http://127.0.0.1:{}{path}", up.gateway));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.unwrap().status().as_u16()
    };
    let (customer, operator) = (up.token("CUSTOMER"), up.token("OPERATOR"));
    for (path, as_customer) in [("/api/orders", 200), ("/api/notifications", 403), ("/api/payments", 403)] {
        let asked = [None, Some(&*customer), Some(&*operator)];
        let mut statuses = Vec::new();
        for token in asked {
            statuses.push(ask(path, token).await);
        }
        assert_eq!(statuses, [401, as_customer, 200], "{path}");
    }
    let (code, said) = place.shell("\"$STACK\" doctor --order").await;
    assert!(code == Some(0) && said.contains("ok   an order: "), "{code:?}: {said}");
    let of_a_customer = place.folder.path().join("customer");
    fs::write(&of_a_customer, &customer).unwrap();
    let [without, too_little] =
        ["env -u TOKEN_FILE \"$STACK\" doctor --order", "\"$STACK\" doctor --order --token-file customer"];
    for (line, answer) in [(without, "it was answered 401 "), (too_little, "what came of it was answered 403 ")] {
        let (code, said) = place.shell(line).await;
        assert!(code == Some(4) && said.contains(answer) && said.contains("--token-file"), "{line}: {code:?}: {said}");
    }
    up.stop().await;
}

both_engines! {
    async fn the_stack_comes_up_stops_in_order_and_finds_its_data_again(engine: Engine) {
        let place = Place::new();
        let up = place.up(engine).await;
        let order = up.place().await;
        up.until_notified(&order).await;
        let stopped = up.stop().await;
        assert_eq!(stopped, ["nginx", "order-svc", "outbox-relay", "payment-svc", "payment-relay", "notify-svc", "nats", engine.name()]);

        let up = place.up(engine).await;
        assert_eq!(up.get(&format!("/api/orders/{order}")).await.unwrap()["status"], "placed");
        up.until_notified(&order).await;
        let next = up.place().await;
        up.until_notified(&next).await;
        up.stop().await;
    }
}

#[tokio::test]
async fn prometheus_watches_a_stack_that_is_to_be_observed() {
    let place = Place::new();
    let mut command = place.command(Engine::MariaDb);
    command.arg("--observe");
    let up = place.up_by(command).await;
    let port = place.ports[PORTS.iter().position(|name| *name == "PROMETHEUS").unwrap()].number();
    let url = format!("http://127.0.0.1:{port}/");
    assert!(up.said().contains(&url), "{}", up.said());
    let ask = async |path: &str| {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/api/v1/{path}")).await.unwrap();
        answer.json::<Value>().await.unwrap()["data"].clone()
    };
    eventually("all five programs are scraped", async || {
        let targets = ask("targets").await;
        let up = |target: &&Value| target["health"] == "up";
        targets["activeTargets"].as_array().unwrap().iter().filter(up).count() == 5
    })
    .await;
    assert!(ask("rules").await.to_string().contains("RelayNoneActive"));
    let page = reqwest::get(url).await.unwrap();
    assert!(page.status().is_success() && page.text().await.unwrap().contains("<title>Prometheus"));
    assert_eq!(up.stop().await[..2], ["prometheus", "nginx"]);
}

#[tokio::test]
async fn notify_svc_is_told_the_retention_that_the_relay_is_given() {
    let place = Place::new();
    let mut command = place.command(Engine::MariaDb);
    command.env("RETENTION", "8d");
    let up = place.up_by(command).await;
    let environment = fs::read_to_string(format!("/proc/{}/environ", up.service("notify-svc"))).unwrap();
    assert!(environment.split('\0').any(|variable| variable == "OUTBOX_RETENTION=8d"), "{environment}");
    up.stop().await;
}

#[tokio::test]
async fn a_service_that_dies_is_started_again_and_told_in_one_line() {
    let place = Place::new();
    let up = place.up(Engine::MariaDb).await;
    kill(up.service("order-svc"), Signal::SIGKILL).unwrap();
    eventually("its end is told", async || up.said().contains("order-svc ended (SIGKILL); it is started again")).await;
    eventually("it answers again", async || up.get("/api/orders").await.is_some()).await;
    let order = up.place().await;
    up.until_notified(&order).await;
    up.stop().await;
}

#[tokio::test]
async fn a_service_that_dies_ends_a_stack_that_is_to_restart_nothing() {
    let place = Place::new();
    let mut command = place.command(Engine::MariaDb);
    command.arg("--no-restart");
    let mut up = place.up_by(command).await;
    kill(up.service("order-svc"), Signal::SIGKILL).unwrap();
    let status = up.process.wait().await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", up.said());
    assert!(up.said().contains("order-svc was ended by SIGKILL"), "{}", up.said());
}

#[tokio::test]
async fn a_shell_is_given_the_verbs_and_databases_of_a_stack_that_is_up_and_of_no_other() {
    let place = Place::new();
    let refused = place.shell("true").await;
    assert_eq!(
        refused,
        (Some(1), "stack: the stack is not up: start it with `make up`, and leave it running\n".into())
    );
    let up = place.up(Engine::MariaDb).await;
    up.until_notified(&up.place().await).await;
    let of_a_person =
        r#"--database-url "$ORDERS_DATABASE_URL" --nats-user operator --nats-password "$OPERATOR_PASSWORD""#;
    for (line, answer) in [
        ("outbox-relay status", "relay     active"),
        ("outbox-relay stream check --json", r#""is_complete":true"#),
        ("notify-svc status", "emails sent"),
        // What no service's user may.
        ("outbox-relay subject pause order.viewed --reason 'a test'", "order.viewed"),
        ("payment-relay subject pause payment.viewed --reason 'a test'", "payment.viewed"),
        ("notify-svc suppression add eve@example.com --cause complaint --reason 'a test'", "1 addresses added"),
        ("notify-svc suppression remove eve@example.com --cause complaint --reason 'a test'", "1 addresses removed"),
        // Under the users who only read.
        (r#"outbox-relay status --database-url "$ORDERS_DATABASE_URL""#, "relay     active"),
        (r#"outbox-relay event list --database-url "$ORDERS_DATABASE_URL""#, "order.created"),
        (&format!("outbox-relay stream check --json {of_a_person}"), r#""is_complete":true"#),
    ] {
        let (code, said) = place.shell(line).await;
        assert!(matches!(code, Some(0 | 4)) && said.contains(answer), "{line}: {code:?}: {said}");
    }
    let (_, said) = place.shell("outbox-relay stream check --json; payment-relay stream check --json").await;
    assert!(!said.contains("\"grants\""), "a relay's rights are looked at as the relay's user: {said}");
    let (code, said) = place.shell("\"$STACK\" doctor --order").await;
    assert!(code == Some(0) && said.contains("ok   an order: ") && said.contains("payment-relay: is ready"), "{said}");
    for (database, table) in [("ORDERS", "outbox"), ("NOTIFICATIONS", "inbox"), ("PAYMENTS", "payments")] {
        let (_, url) = place.shell(&format!("printf %s \"${database}_DATABASE_URL\"")).await;
        let pool = sqlx::MySqlPool::connect(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        sqlx::query(sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table}"))).fetch_one(&pool).await.unwrap();
    }
    let (code, said) = place.shell("PATH=${PATH%%:*}; orders-sql").await;
    assert!(code == Some(127) && said.contains("orders-sql: there is no mysql or mariadb client"), "{said}");
    let folder = place.folder.path().join(".stack/shell");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    up.stop().await;
    assert!(!folder.exists());
    assert_eq!(place.shell("true").await, refused);
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_who_wants_it_and_how_to_choose_another() {
    let place = Place::new();
    let port = place.ports[0].number();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let up = place.command(Engine::MySql).output().await.unwrap();
    assert_eq!(up.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&up.stderr),
        format!(
            "stack: port {port} for the gateway is in use: stop what listens there or set STACK_GATEWAY_PORT to \
             another port\n"
        )
    );
    assert!(up.stdout.is_empty() && !place.folder.path().join(".stack/data").exists(), "something was started");
}
