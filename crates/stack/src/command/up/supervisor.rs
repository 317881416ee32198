//! Who watches the children of `stack up` and ends them.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::anyhow;
use futures::future::{pending, select_all};
use stack::process::{Process, describe};

use stack::signals::Signals;

/// MySQL may have to write back its buffer pool.
const STOP_WITHIN: Duration = Duration::from_secs(60);
const LAST_LINES: usize = 20;

/// Why the stack ends.
pub(crate) enum Ending {
    /// SIGINT or SIGTERM.
    Asked,
    /// A step of starting failed, or a child ended.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Ending {
    fn from(error: anyhow::Error) -> Ending {
        Ending::Failed(error)
    }
}

/// The children that run, in the order in which they started.
pub(crate) struct Supervisor {
    children: Vec<Process>,
    signals: Signals,
}

impl Supervisor {
    /// Has no children, and catches signals from now on.
    pub(crate) fn new() -> anyhow::Result<Supervisor> {
        Ok(Supervisor { children: Vec::new(), signals: Signals::catch()? })
    }

    /// Watches one more.
    pub(crate) fn adopt(&mut self, child: Process) {
        self.children.push(child);
    }

    /// Takes a step, unless the stack ends before it is done. Dropping the step ends what it has started.
    pub(crate) async fn during<T>(&mut self, step: impl Future<Output = anyhow::Result<T>>) -> Result<T, Ending> {
        tokio::select! {
            done = step => done.map_err(Ending::Failed),
            ending = self.watch() => Err(ending),
        }
    }

    /// Waits until a child ends or a signal arrives.
    pub(crate) async fn watch(&mut self) -> Ending {
        tokio::select! {
            () = self.signals.arrive() => Ending::Asked,
            (index, status) = first_to_end(&mut self.children) => Ending::Failed(report(&self.children.remove(index), status)),
        }
    }

    /// Stops them one by one, the last to start first, each within a bounded time.
    pub(crate) async fn stop(&mut self) {
        while let Some(mut child) = self.children.pop() {
            println!("{:<12} | stopping {}", "stack", child.name());
            match child.stop(STOP_WITHIN).await {
                Ok(status) if status.success() => {}
                Ok(status) => println!("{:<12} | {} stopped with {}", "stack", child.name(), describe(status)),
                Err(error) => println!("{:<12} | cannot stop {}: {error}", "stack", child.name()),
            }
        }
    }
}

async fn first_to_end(children: &mut [Process]) -> (usize, io::Result<ExitStatus>) {
    if children.is_empty() {
        return pending().await;
    }
    let waits = children.iter_mut().map(|child| Box::pin(child.wait()));
    let (status, index, _) = select_all(waits).await;
    (index, status)
}

/// Shows what the child said last. A child that exited by itself has said why; one that a signal ended has not.
fn report(child: &Process, status: io::Result<ExitStatus>) -> anyhow::Error {
    let name = child.name();
    println!("{:<12} | {name} ended; the last it said:", "stack");
    for line in child.tail(LAST_LINES) {
        println!("{:<12} |   {line}", "stack");
    }
    match status {
        Ok(status) if status.code().is_some() => anyhow!("{name} ended ({}): {}", describe(status), child.last_words()),
        Ok(status) => anyhow!("{name} was ended by {}", describe(status)),
        Err(error) => anyhow!("{name} can't be watched: {error}"),
    }
}
