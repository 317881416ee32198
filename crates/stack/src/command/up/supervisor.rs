//! Who watches the children of `stack up`, starts a service that died again, and ends them.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::anyhow;
use futures::future::{pending, select_all};
use stack::process::{Launch, Process, Running, describe};
use stack::signals::Signals;
use tokio::time::{Instant, sleep_until};

/// MySQL may have to write back its buffer pool.
const STOP_WITHIN: Duration = Duration::from_secs(60);
const LAST_LINES: usize = 20;
/// Before a service that died is started again; doubled each time, unless it ran for a while.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
const A_WHILE: Duration = Duration::from_secs(60);

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

/// A child, which may have died and wait to be started again.
struct Child {
    running: Running,
    /// Not a server, whose end ends the stack.
    is_service: bool,
    started: Instant,
    delay: Duration,
    again_at: Option<Instant>,
}

/// What happens to a child.
enum Event {
    Ended(io::Result<ExitStatus>),
    Started(anyhow::Result<()>),
}

/// The children, in the order in which they started.
pub(crate) struct Supervisor {
    children: Vec<Child>,
    signals: Signals,
}

impl Supervisor {
    /// Has no children, and catches signals from now on.
    pub(crate) fn new() -> anyhow::Result<Supervisor> {
        Ok(Supervisor { children: Vec::new(), signals: Signals::catch()? })
    }

    /// Watches a server.
    pub(crate) fn adopt(&mut self, running: Running) {
        self.add(running, false);
    }

    /// Starts and watches a service.
    pub(crate) fn start(&mut self, launch: Launch) -> anyhow::Result<()> {
        self.add(Running::start(launch, STOP_WITHIN)?, true);
        Ok(())
    }

    fn add(&mut self, running: Running, is_service: bool) {
        self.children.push(Child { running, is_service, started: Instant::now(), delay: FIRST_DELAY, again_at: None });
    }

    /// Takes a step, unless the stack ends before it is done. Dropping the step ends what it has started.
    pub(crate) async fn during<T>(&mut self, step: impl Future<Output = anyhow::Result<T>>) -> Result<T, Ending> {
        tokio::select! {
            done = step => done.map_err(Ending::Failed),
            ending = self.watch(false) => Err(ending),
        }
    }

    /// Waits until a child ends or a signal arrives; with restarts, a service that ends is started again instead.
    pub(crate) async fn watch(&mut self, restarts: bool) -> Ending {
        loop {
            let (index, event) = tokio::select! {
                () = self.signals.arrive() => return Ending::Asked,
                event = next_event(&mut self.children) => event,
            };
            let child = &mut self.children[index];
            match event {
                Event::Ended(status) if restarts && child.is_service => child.wait_to_start_again(status),
                Event::Ended(status) => {
                    return Ending::Failed(report(&self.children.remove(index).running.process, status));
                }
                Event::Started(Ok(())) => (child.started, child.again_at) = (Instant::now(), None),
                Event::Started(Err(error)) => return Ending::Failed(error),
            }
        }
    }

    /// Stops them one by one, the last to start first, each within a bounded time.
    pub(crate) async fn stop(&mut self) {
        while let Some(mut child) = self.children.pop() {
            if child.again_at.is_some() {
                continue; // it has ended
            }
            let name = child.running.process.name().to_owned();
            println!("{:<12} | stopping {name}", "stack");
            match child.running.stop().await {
                Ok(status) if status.success() => {}
                Ok(status) => println!("{:<12} | {name} stopped with {}", "stack", describe(status)),
                Err(error) => println!("{:<12} | {error:#}", "stack"),
            }
        }
    }
}

impl Child {
    /// Tells in one line that it died and when it is started again.
    fn wait_to_start_again(&mut self, status: io::Result<ExitStatus>) {
        if self.started.elapsed() > A_WHILE {
            self.delay = FIRST_DELAY;
        }
        let process = &self.running.process;
        let reason = match status {
            Ok(status) if status.code().is_some() => format!("{}: {}", describe(status), process.last_words()),
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        let (name, seconds) = (process.name(), self.delay.as_secs_f64());
        println!("{:<12} | {name} ended ({reason}); it is started again in {seconds:.1} s", "stack");
        self.again_at = Some(Instant::now() + self.delay);
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    async fn event(&mut self) -> Event {
        match self.again_at {
            Some(at) => {
                sleep_until(at).await;
                Event::Started(self.running.start_again())
            }
            None => Event::Ended(self.running.process.wait().await),
        }
    }
}

async fn next_event(children: &mut [Child]) -> (usize, Event) {
    if children.is_empty() {
        return pending().await;
    }
    let (event, index, _) = select_all(children.iter_mut().map(|child| Box::pin(child.event()))).await;
    (index, event)
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
