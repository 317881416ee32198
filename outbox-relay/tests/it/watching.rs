//! `status --watch`: what a person sees who leaves it open.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stack::both_engines;
use stack::testing::Engine;
use uuid::Uuid;

use crate::support::World;

/// A status that is printed again and again.
struct Watching {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(world: &World) -> Self {
        let watch = ["status", "--watch", "50ms", "--json"];
        let mut process = world.command(&watch).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The first answer from now on of which this is true.
    fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let answers = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        answers.into_iter().find(is_so).expect("it goes on until it is stopped")
    }

    /// Ctrl-C, and the exit status.
    fn interrupt(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        self.lines.by_ref().for_each(|line| assert!(line.is_ok()));
        self.process.wait().unwrap().code()
    }
}

fn pending(status: &Value) -> i64 {
    let states = status["outbox"].as_array().unwrap();
    states.iter().find(|state| state["state"] == "pending").unwrap()["events"].as_i64().unwrap()
}

both_engines! {
    async fn a_watched_status_follows_what_happens_and_ends_as_its_last_answer(engine: Engine) {
        let world = World::new(engine).await;
        let mut watching = Watching::start(&world);
        assert_eq!(watching.until(|_| true)["relay"]["is_active"], false);
        world.append(Uuid::now_v7(), 1).await;
        watching.until(|status| pending(status) == 1);
        assert_eq!(watching.interrupt(), Some(4), "no relay is active, so a person should act");

        let mut watching = Watching::start(&world);
        watching.until(|status| pending(status) == 1);
        let _relay = world.relay().start().await;
        watching.until(|status| pending(status) == 0 && status["problems"] == serde_json::json!([]));
        assert_eq!(watching.interrupt(), Some(0));
    }
}
