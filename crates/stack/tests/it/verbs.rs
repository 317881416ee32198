//! What the command lines of all programs have in common: exit statuses, completions, manual pages, colours.

use std::process::{Command, Output};

use schema::database::{NOTIFICATIONS, ORDERS, PAYMENTS};
use stack::testing::{Database, binary};
use stack::{Engine, both_engines};

use crate::services::run;

const PROGRAMS: [&str; 5] = ["order-svc", "outbox-relay", "notify-svc", "payment-svc", "stack"];
const UNKNOWN: &str = "0198b4e6-5c3a-7d52-9e1f-3f2b8c6d4a10";
const NOWHERE: &str = "mysql://u:p@127.0.0.1:1/d";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn said(program: &str, arguments: &[&str]) -> Output {
    Command::new(binary(program)).args(arguments).env_clear().output().unwrap()
}

/// Program, verb, and the status that it ends with.
type Case = (&'static str, &'static [&'static str], i32);

const KNOWN: [Case; 27] = [
    ("order-svc", &["message", "list"], 0),
    ("order-svc", &["message", "show", "999"], 3),
    ("order-svc", &["message", "requeue", "999", "--reason", "x"], 3),
    ("order-svc", &["gap", "skip", UNKNOWN, "--through", "1", "--reason", "x"], 3),
    ("order-svc", &["customer", "export", "--customer", "ada", "--reason", "x"], 3),
    ("order-svc", &["customer", "erase", "--email", "ada@example.com", "--reason", "x"], 3),
    ("outbox-relay", &["event", "list"], 0),
    ("outbox-relay", &["event", "show", UNKNOWN], 3),
    ("outbox-relay", &["event", "requeue", UNKNOWN], 3),
    ("outbox-relay", &["event", "discard", UNKNOWN, "--reason", "x"], 3),
    ("outbox-relay", &["subject", "resume", "order.created"], 3),
    ("outbox-relay", &["subject", "pause", "order.created", "--reason", "x"], 0),
    ("outbox-relay", &["subject", "pause", "order.created", "--reason", "x"], 2),
    ("outbox-relay", &["stream", "forget", "--reason", "x"], 3),
    ("outbox-relay", &["status"], 4),
    ("notify-svc", &["status"], 0),
    ("notify-svc", &["message", "show", "999"], 3),
    ("notify-svc", &["message", "discard", "999", "--reason", "x"], 3),
    ("notify-svc", &["email", "requeue", UNKNOWN, "--reason", "x"], 3),
    ("notify-svc", &["payments", "gap", "skip", UNKNOWN, "--through", "1", "--reason", "x"], 3),
    ("notify-svc", &["inbox", "show", UNKNOWN], 3),
    ("payment-svc", &["effect", "list"], 0),
    ("payment-svc", &["effect", "show", UNKNOWN], 3),
    ("payment-svc", &["effect", "discard", UNKNOWN, "--reason", "x"], 3),
    ("payment-svc", &["payment", "refund", UNKNOWN, "--reason", "x"], 3),
    ("payment-svc", &["payment", "settle", UNKNOWN, "--as", "charged", "--reason", "x"], 3),
    ("payment-svc", &["stream", "reread", "--from-seq", "1", "--reason", "x"], 2),
];

both_engines! {
    async fn each_exit_status_says_the_same_in_every_program(engine: Engine) {
        let orders = Database::create(engine, &ORDERS).await;
        let notifications = Database::create(engine, &NOTIFICATIONS).await;
        let payments = Database::create(engine, &PAYMENTS).await;
        let url = |program: &str| match program {
            "order-svc" | "outbox-relay" => orders.url("orders_operator"),
            "notify-svc" => notifications.url("notifications_operator"),
            _ => payments.url("payments_operator"),
        };
        for (program, verb, status) in KNOWN {
            let output = run(program, verb, &[("DATABASE_URL", &url(program)), ("USER", "ada")]);
            let (said, complained) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(status), "{program} {verb:?}: {said}{complained}");
            let away = [("DATABASE_URL", NOWHERE), ("DATABASE_ACQUIRE_TIMEOUT", "100ms"), ("USER", "ada")];
            assert_eq!(run(program, verb, &away).status.code(), Some(1), "{program} {verb:?}, its database away");
        }
    }
}

#[test]
fn what_can_not_be_understood_exits_64_in_every_program() {
    for program in PROGRAMS {
        for arguments in [&[][..], &["astonish"], &["--wonder"]] {
            assert_eq!(said(program, arguments).status.code(), Some(64), "{program} {arguments:?}");
        }
        assert_eq!(said(program, &["--help"]).status.code(), Some(0), "{program}");
    }
}

#[test]
fn a_process_that_does_not_answer_is_a_fault_of_its_health() {
    for program in ["order-svc", "outbox-relay", "notify-svc", "payment-svc"] {
        assert_eq!(run(program, &["health"], &[("ADMIN_ADDR", "127.0.0.1:1")]).status.code(), Some(1), "{program}");
    }
}

#[test]
fn each_help_says_what_the_exit_statuses_mean() {
    let verbs = [&[][..], &["outbox-relay", "event", "requeue"], &["notify-svc", "message", "list"]];
    for program in PROGRAMS {
        for verb in verbs.iter().filter(|verb| verb.first().is_none_or(|of| *of == program)) {
            let help = text(&said(program, &[verb.get(1..).unwrap_or_default(), &["--help"]].concat()).stdout);
            let words: Vec<&str> = help.split_whitespace().collect();
            let one_line = words.join(" ");
            assert!(one_line.contains("4 a person should act; 64 the arguments"), "{program} {verb:?}: {help}");
        }
    }
}

#[test]
fn every_program_completes_its_verbs_in_a_shell() {
    for program in PROGRAMS {
        for shell in ["bash", "zsh", "fish"] {
            let output = said(program, &["completions", shell]);
            let script = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{program} {shell}");
            assert!(script.contains(program) && script.contains("completions"), "{program} {shell}: {script}");
        }
        let script = text(&said(program, &["completions", "bash"]).stdout);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, script).unwrap();
        assert!(Command::new("bash").arg("-n").arg(file.path()).status().unwrap().success(), "{program}");
        assert_eq!(said(program, &["completions", "no-shell"]).status.code(), Some(64), "{program}");
    }
}

#[test]
fn every_program_and_verb_has_a_manual_page() {
    for program in PROGRAMS {
        let page = text(&said(program, &["man"]).stdout);
        assert!(page.contains(&format!(".TH {program}")), "{program}: {page}");
        assert_eq!(said(program, &["man", "astonish"]).status.code(), Some(3), "{program}");
    }
    let page = text(&said("outbox-relay", &["man", "event", "requeue"]).stdout);
    assert!(page.contains("Publish dead events after all") && page.contains("Exit status"), "{page}");
}

/// As at a terminal, which `script` makes.
fn at_a_terminal(database_url: &str, environment: &[(&str, &str)]) -> String {
    let status = format!("{} status", binary("outbox-relay").display());
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &status, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("DATABASE_URL", database_url)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    text(&output.stdout)
}

#[tokio::test]
async fn colours_are_for_a_terminal_whose_person_wants_them() {
    let orders = Database::create(Engine::MySql, &ORDERS).await;
    let url = orders.url("orders_operator");
    let red = "\u{1b}[1;31mNOT ACTIVE\u{1b}[0m";
    assert!(at_a_terminal(&url, &[("TERM", "xterm")]).contains(red));
    for without in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(!at_a_terminal(&url, &[without]).contains('\u{1b}'), "{without:?}");
    }
    let piped = text(&run("outbox-relay", &["status"], &[("DATABASE_URL", &url)]).stdout);
    assert!(piped.contains("relay     NOT ACTIVE;") && !piped.contains('\u{1b}'), "{piped}");
}
