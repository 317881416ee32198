//! Does the faults of a schedule to a pipeline, each at its time, and keeps an eye on what nobody touched.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures::FutureExt;
use futures::future::try_join_all;
use stack::process::{Running, describe};
use stack::proof::Sender;
use tokio::time::{interval, sleep, sleep_until};

use super::journal::Journal;
use super::pipeline::{Pipeline, Victim};
use super::schedule::{Fault, Kind};

/// A line that is slow holds each piece for this long.
const SLOW_BY: Duration = Duration::from_millis(50);
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// How the processes have borne it.
pub(super) struct Trial<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) journal: &'a Journal,
    /// Processes that were asked to stop.
    pub(super) stops: RefCell<usize>,
    /// Who had been killed, and when.
    pub(super) kills: RefCell<Vec<(String, Instant)>>,
    /// What none of them should have done.
    pub(super) misdeeds: RefCell<Vec<String>>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, journal: &'a Journal) -> Self {
        Trial { pipeline, journal, stops: RefCell::default(), kills: RefCell::default(), misdeeds: RefCell::default() }
    }

    /// What was sent to each mail server, and when its sender was killed.
    pub(super) fn senders(&self) -> Vec<Sender> {
        let senders = self.pipeline.mail_servers.iter().map(|(name, server)| {
            let kills = self.kills.borrow();
            let killed_at =
                kills.iter().filter(|(victim, _)| victim == name).map(|(_, killed_at)| *killed_at).collect();
            Sender { name: (*name).to_owned(), mails: server.mails(), killed_at }
        });
        senders.collect()
    }

    /// Does all of them; when this returns everything runs again.
    pub(super) async fn inflict(&self, faults: &[Fault]) -> anyhow::Result<()> {
        let began = Instant::now();
        let all = faults.iter().map(async |fault| {
            sleep_until((began + Duration::from_millis(fault.at_ms)).into()).await;
            self.inflict_one(fault).await
        });
        try_join_all(all).await.map(drop)
    }

    async fn inflict_one(&self, fault: &Fault) -> anyhow::Result<()> {
        let mut victim = self.pipeline.victims[&fault.victim].lock().await;
        self.journal.note(&fault.victim, fault);
        let lasts = Duration::from_millis(fault.lasts_ms);
        match &mut *victim {
            Victim::Process(running) => self.harm(running, fault, lasts).await,
            Victim::Ended => bail!("{} has ended, and {fault} was to hit it", fault.victim),
            Victim::Line(proxies) => {
                for proxy in &mut *proxies {
                    match fault.kind {
                        Kind::Stall => proxy.pause().await,
                        Kind::Slow => proxy.slow(SLOW_BY).await,
                        Kind::Hold => proxy.hold().await,
                        Kind::Lose => proxy.lose().await,
                        _ => proxy.cut().await,
                    }
                }
                sleep(lasts).await;
                for proxy in proxies {
                    proxy.heal().await;
                }
                Ok(())
            }
        }
    }

    async fn harm(&self, running: &mut Running, fault: &Fault, lasts: Duration) -> anyhow::Result<()> {
        self.check(&fault.victim, running)?;
        match fault.kind {
            Kind::Freeze => {
                running.freeze()?;
                sleep(lasts).await;
                return running.thaw();
            }
            Kind::Stop => self.stop(&fault.victim, running).await?,
            _ => {
                running.kill().await?;
                self.kills.borrow_mut().push((fault.victim.clone(), Instant::now()));
            }
        }
        sleep(lasts).await;
        running.start_again()
    }

    /// Asks a process to stop.
    pub(super) async fn stop(&self, name: &str, running: &mut Running) -> anyhow::Result<()> {
        self.check(name, running)?;
        let status = running.stop().await?;
        *self.stops.borrow_mut() += 1;
        if !status.success() {
            let words = running.process.last_words();
            self.accuse(name, format!("{name} was asked to stop and ended with {}: {words}", describe(status)));
        }
        Ok(())
    }

    fn accuse(&self, name: &str, misdeed: String) {
        self.journal.note(name, &misdeed);
        self.misdeeds.borrow_mut().push(misdeed);
    }

    /// Starts again what ends by itself, until it is dropped. Returns why that failed.
    pub(super) async fn watch(&self) -> anyhow::Result<Infallible> {
        let mut checks = interval(CHECK_EVERY);
        loop {
            checks.tick().await;
            for (name, victim) in &self.pipeline.victims {
                let Ok(mut victim) = victim.try_lock() else { continue }; // it is being dealt with
                if let Victim::Process(running) = &mut *victim {
                    self.check(name, running)?;
                }
            }
        }
    }

    fn check(&self, name: &str, running: &mut Running) -> anyhow::Result<()> {
        let Some(status) = running.process.wait().now_or_never() else { return Ok(()) };
        let (status, words) = (describe(status?), running.process.last_words());
        self.accuse(name, format!("{name} ended by itself with {status}: {words}"));
        if self.misdeeds.borrow().len() > 100 {
            bail!("{name} ends again and again: {words}");
        }
        running.start_again()
    }
}
