use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::process::{Launch, Output, Probe, Process, describe};
use stack::testing::eventually;
use tempfile::TempDir;

fn shell(folder: &TempDir, script: &str) -> Launch {
    Launch::new("shell", "/bin/sh").arg("-c").arg(script).output(Output::File(folder.path().join("shell.log")))
}

fn is_gone(pid: Pid) -> bool {
    // A zombie whose parent has not looked yet is gone, too.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || state.contains(") Z ")
}

async fn pid_in(path: &Path) -> Pid {
    let read = || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    eventually("a process id is written", async || read().is_some()).await;
    Pid::from_raw(read().unwrap().trim().parse().unwrap())
}

/// Ready when it has written a line, so that its signal handlers are in place.
async fn has_spoken(process: &mut Process) {
    eventually("the shell says that it is ready", async || !process.tail(1).is_empty()).await;
}

#[tokio::test]
async fn a_child_that_obeys_sigterm_reports_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = shell(&folder, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done").spawn().unwrap();
    has_spoken(&mut process).await;
    let status = process.stop(Duration::from_secs(20)).await.unwrap();
    assert_eq!(describe(status), "exit 7");
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = shell(&folder, "trap '' TERM; echo ready; while :; do sleep 0.01; done").spawn().unwrap();
    has_spoken(&mut process).await;
    let status = process.stop(Duration::from_millis(100)).await.unwrap();
    assert_eq!(describe(status), "SIGKILL");
}

#[tokio::test]
async fn killing_a_child_ends_its_own_children() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grandchild");
    let mut process = shell(&folder, &format!("sleep 1000 & echo $! > {}; wait", path.display())).spawn().unwrap();
    let grandchild = pid_in(&path).await;
    process.kill().await.unwrap();
    eventually("the grandchild is gone", async || is_gone(grandchild)).await;
}

#[tokio::test]
async fn dropping_a_child_kills_it() {
    let folder = tempfile::tempdir().unwrap();
    let process = shell(&folder, "sleep 1000").spawn().unwrap();
    let pid = process.pid();
    drop(process);
    eventually("the child is gone", async || is_gone(pid)).await;
}

#[tokio::test]
async fn a_child_ends_when_its_launcher_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child");
    // The launcher is a shell that starts a child the way a `Launch` does.
    let script = format!("setpriv --pdeathsig TERM sleep 1000 & echo $! > {}; wait", path.display());
    let launcher = shell(&folder, &script).spawn().unwrap();
    let child = pid_in(&path).await;
    eventually("setpriv has become sleep", async || {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep")
    })
    .await;
    kill(launcher.pid(), Signal::SIGKILL).unwrap(); // the process alone, not its group
    eventually("the child is gone", async || is_gone(child)).await;
}

#[tokio::test]
async fn a_server_that_exits_while_starting_is_reported_with_its_last_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = shell(&folder, "echo 'ERROR: no such folder'; echo bye; exit 3").spawn().unwrap();
    let ready = process.until_ready(Duration::from_secs(20), async || Probe::NotYet("silent".to_owned())).await;
    let message = ready.unwrap_err().to_string();
    assert_eq!(message, "shell did not start (exit 3): ERROR: no such folder");
}

#[tokio::test]
async fn prefixed_output_is_kept_whole_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("shell.log");
    let launch = shell(&folder, "echo out; echo err >&2; printf 'no newline'").output(Output::Prefixed(log.clone()));
    let mut process = launch.spawn().unwrap();
    assert!(process.wait().await.unwrap().success());
    assert_eq!(fs::read_to_string(log).unwrap(), "out\nerr\nno newline\n");
    assert_eq!(process.tail(2), ["err", "no newline"]);
}
