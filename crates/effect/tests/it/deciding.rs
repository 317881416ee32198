//! What a person decides about effects, by the verbs that a service mounts.

use std::process::ExitCode;

use clap::Parser;
use effect::cli::{EffectVerb, effect};
use runtime::exit::EXIT_REFUSED;
use stack::both_engines;
use stack::testing::Engine;

use crate::other_side::Service;

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    verb: EffectVerb,
}

async fn verb(service: &Service, arguments: &[&str]) -> ExitCode {
    let url = format!("--database-url={}", service.database.url("payments_operator"));
    let decides = matches!(arguments[0], "requeue" | "discard");
    let further: &[&str] = if decides { &["--actor", "ada", "--reason", "a test"] } else { &[] };
    let arguments = [&["program"], arguments, &[&url], further].concat();
    effect(Program::try_parse_from(arguments).unwrap().verb).await.unwrap()
}

async fn actions(service: &Service) -> Vec<(String, String, String)> {
    let recorded = sqlx::query_as("SELECT actor, action, last_error FROM effect_action ORDER BY id");
    recorded.fetch_all(&service.admin).await.unwrap()
}

both_engines! {
    async fn what_fails_too_often_is_dead_until_a_person_requeues_it(engine: Engine) {
        let service = Service::start(engine).await;
        let running = service.run();
        let fails = service.enqueue("fails").await;
        // Alone it waits: what it fails at may be the other side's fault.
        service.until_put_off(fails).await;
        let other = service.enqueue("goes").await;
        service.until(other, "done").await;
        service.until(fails, "dead").await;
        let told = service.other_side.told(fails);
        assert!(told.iter().all(|is_unknown| !is_unknown), "each attempt is known to have failed");
        service.other_side.recover();
        let id = fails.to_string();
        for arguments in [&["list"][..], &["show", &id], &["requeue", &id]] {
            assert_eq!(verb(&service, arguments).await, ExitCode::SUCCESS, "{arguments:?}");
        }
        service.until(fails, "done").await;
        assert_eq!(service.conclusions(fails).await, 1);
        assert_eq!(verb(&service, &["requeue", &id]).await, ExitCode::from(EXIT_REFUSED), "it is done");
        assert_eq!(actions(&service).await, [("ada".to_owned(), "requeue".to_owned(), "it fails".to_owned())]);
        running.stop().await;
    }

    async fn what_a_person_gave_up_is_never_performed(engine: Engine) {
        let service = Service::start(engine).await;
        let running = service.run();
        let dead = service.enqueue("hopeless").await;
        service.until(dead, "dead").await;
        let tried = service.other_side.told(dead).len();
        assert_eq!(verb(&service, &["discard", &dead.to_string()]).await, ExitCode::SUCCESS);
        assert_eq!(verb(&service, &["requeue", "--dead"]).await, ExitCode::SUCCESS, "none");
        let other = service.enqueue("goes").await;
        service.until(other, "done").await;
        assert_eq!((service.state(dead).await.as_str(), service.other_side.told(dead).len()), ("discarded", tried));
        running.stop().await;
    }
}
