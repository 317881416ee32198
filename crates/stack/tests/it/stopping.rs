//! A stop that was asked for is a clean stop, whatever else is broken.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::service::Program;
use stack::testing::{Port, binary, eventually};

#[tokio::test]
async fn a_service_that_nobody_reads_and_that_reaches_nothing_still_stops_when_asked() {
    let admin = Port::reserve();
    let mut service = Command::new(binary("outbox-relay"))
        .arg("run")
        .env("ADMIN_ADDR", format!("127.0.0.1:{}", admin.number()))
        .env("DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing")
        .env("NATS_URL", "nats://127.0.0.1:1")
        .envs(Program::OutboxRelay.settings())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((service.stdout.take(), service.stderr.take()));
    let livez = format!("http://127.0.0.1:{}/livez", admin.number());
    eventually("it is alive", async || reqwest::get(&livez).await.is_ok()).await;

    kill(Pid::from_raw(service.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let mut status = None;
    eventually("it stops", async || {
        status = service.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success(), "{status:?}");
}
