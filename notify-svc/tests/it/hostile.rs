//! Verbs under the hands of who means no good, or is careless.

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Output, Stdio};

use stack::Engine;

use crate::setting::{Published, Setting, verb_command, verb_json};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn into(stdout: impl Into<Stdio>, mut command: Command) -> Output {
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

#[tokio::test]
async fn a_reader_who_leaves_is_no_fault_and_an_answer_that_can_not_be_written_is() {
    let setting = Setting::new(Engine::MySql).await;
    for arguments in
        [&["gap", "list"][..], &["gap", "list", "--json"], &["email", "list", "--json"], &["message", "list", "--help"]]
    {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = into(writer, verb_command(&setting, arguments));
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
    let output = into(File::create("/dev/full").unwrap(), verb_command(&setting, &["gap", "list", "--json"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: writing the answer: "), "{}", text(&output.stderr));
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = verb_command(&setting, &["message", "show", "1"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "nobody hears why");
}

#[tokio::test]
async fn the_environment_can_not_make_a_verb_nameless_or_fail() {
    let setting = Setting::new(Engine::MySql).await;
    let service = setting.service().start().await;
    setting.publish(&[&Published { body: "no json".to_owned(), ..Published::created() }]).await;
    setting.until_count("inbox_dead", 1).await;
    drop(service);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let long = "x".repeat(101);
    for (user, actor) in [("", hostname.trim()), (" \n", hostname.trim()), (&long, hostname.trim()), ("ada", "ada")] {
        let verb = ["message", "discard", "--dead", "--error", "malformed", "--reason", "a test"];
        sqlx::query("UPDATE inbox_dead SET resolution = NULL").execute(&setting.pool).await.unwrap();
        sqlx::query("DELETE FROM inbox_gate").execute(&setting.pool).await.unwrap();
        sqlx::query("DELETE FROM inbox").execute(&setting.pool).await.unwrap();
        let output = verb_command(&setting, &verb).env("USER", user).output().unwrap();
        assert!(output.status.success(), "{user:?}: {}", text(&output.stderr));
        let newest = sqlx::query_scalar("SELECT actor FROM inbox_action ORDER BY id DESC LIMIT 1");
        let recorded: String = newest.fetch_one(&setting.pool).await.unwrap();
        assert_eq!(recorded, actor, "{user:?}");
    }
}

#[tokio::test]
async fn what_a_verb_refuses_is_told_in_one_line_that_fits_on_a_screen() {
    let setting = Setting::new(Engine::MySql).await;
    let huge = "y\u{1b}[31m\n".repeat(12_000);
    let nobody = uuid::Uuid::nil().to_string();
    for (arguments, code) in [
        (&["message", "discard", "1", "--reason", &huge][..], 64),
        (&["message", "discard", "1", "--reason", "x", "--actor", &huge], 64),
        (&["message", "discard", &huge, "--reason", "x"], 64),
        (&["message", "discard", "--dead", "1", "--reason", "x"], 64),
        (&["message", "discard", "--error", "x", "--reason", "x"], 64),
        (&["gap", "skip", &huge, "--through", "1", "--reason", "x"], 64),
        (&["gap", "skip", &nobody, "--through", "0", "--reason", "x"], 64),
        (&["gap", "skip", &nobody, "--through", "1", "--reason", "x"], 3),
        (&["stream", "reread", "--since", &huge, "--reason", "x"], 64),
        (&["email", &huge], 64),
        (&[&huge], 64),
        (&["email", "list", &format!("--{huge}")], 64),
        (&["message", "show", "18446744073709551615"], 3),
        (&["message", "requeue", "18446744073709551615", "--reason", "x"], 3),
        (&["email", "show", &nobody], 3),
        (&["email", "discard", &nobody, "--reason", "x"], 3),
        (&["inbox", "show", &nobody], 3),
    ] {
        let output = verb_command(&setting, arguments).output().unwrap();
        let said = text(&output.stderr) + &text(&output.stdout);
        let verb: String = arguments.join(" ").chars().take(60).collect();
        assert_eq!(output.status.code(), Some(code), "{verb:?}: {said}");
        assert!(said.len() < 6000, "{verb:?}: {} bytes", said.len());
        assert!(!said.contains('\u{1b}') && !said.contains("panicked"), "{verb:?}: {said}");
    }
    assert_eq!(setting.count("inbox_action").await + setting.count("effect_action").await, 0);
    assert_eq!(verb_json(&setting, &["message", "discard", "--dead", "--reason", "x"]), (true, serde_json::json!([])));
}
