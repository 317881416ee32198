//! The life of a process: named parts run until asked to stop, drain within a grace, and a crash is never exit 0.
//!
//! SIGTERM or SIGINT cancels the token that every part was given. A part that ends before it was asked to, with an
//! error or by a panic, takes the others down in the same orderly way. The admin server is not a part: it answers
//! until the parts are gone.

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::{EXIT_CONFIG, Misconfigured};
use crate::http;
use crate::readiness::Readiness;
use crate::telemetry::{chain, trace};

/// The parts of this process.
#[derive(Debug)]
pub struct Lifecycle {
    shutdown: CancellationToken,
    parts: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    gone: CancellationToken,
    signals: AbortHandle,
}

impl Lifecycle {
    /// No parts yet; from here on SIGTERM and SIGINT begin a stop. Every part gets a clone of `shutdown` and ends soon
    /// after it is cancelled.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(shutdown: CancellationToken) -> Self {
        let signals = tokio::spawn(cancel_on_signal(signals(), shutdown.clone())).abort_handle();
        Self { shutdown, parts: JoinSet::new(), names: HashMap::new(), gone: CancellationToken::new(), signals }
    }

    /// Serves the admin port until all parts are gone, so that a drain can be watched.
    pub fn serve_admin(&self, listener: TcpListener, registry: Registry, readiness: Readiness) {
        let server = http::server::serve(listener, http::admin::router(registry, readiness), self.gone.clone());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::debug!(error = chain(error.as_ref()), "admin port closed");
            }
        });
    }

    /// Runs a part.
    pub fn spawn(&mut self, name: &'static str, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let handle = self.parts.spawn(part);
        self.names.insert(handle.id(), name);
    }

    /// Waits for SIGTERM, SIGINT or the crash of a part, then for all parts, at most `grace` after the stop began.
    pub async fn run(mut self, grace: Duration) -> ExitCode {
        let shutdown = self.shutdown.clone();
        let (mut stop, mut is_overdue) = (Stop::OnRequest, false);
        let mut overdue = std::pin::pin!(overdue(shutdown.clone(), grace));
        loop {
            tokio::select! {
                ended = self.parts.join_next_with_id() => match ended {
                    None => break,
                    Some(ended) => {
                        if let Some(crash) = self.crash(ended) {
                            stop = crash;
                            shutdown.cancel();
                        }
                    }
                },
                () = &mut overdue => {
                    let stuck: Vec<_> = self.names.values().collect();
                    tracing::error!(?stuck, ?grace, "parts did not stop within the grace");
                    (stop, is_overdue) = (Stop::AfterCrash, true);
                    break;
                }
            }
        }
        self.signals.abort();
        self.gone.cancel();
        if !is_overdue {
            // The last spans, as far as the grace allows.
            tokio::select! { () = trace::flush() => {}, () = &mut overdue => {} }
        }
        match stop {
            Stop::OnRequest => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Stop::AfterCrash => ExitCode::FAILURE,
            Stop::Misconfigured => ExitCode::from(EXIT_CONFIG),
        }
    }

    /// What kind of crash a part's end was, if it was one; logs it then.
    fn crash(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> Option<Stop> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(panic) => (panic.id(), Err(anyhow::Error::new(panic))),
        };
        let part = self.names.remove(&id).unwrap_or("unnamed");
        match result {
            Ok(()) if self.shutdown.is_cancelled() => {
                tracing::debug!(part, "part stopped");
                None
            }
            Ok(()) => {
                tracing::error!(part, "part ended without being asked to");
                Some(Stop::AfterCrash)
            }
            Err(error) if error.is::<Misconfigured>() => {
                tracing::error!(part, error = chain(error.as_ref()), "the settings do not fit");
                Some(Stop::Misconfigured)
            }
            Err(error) => {
                tracing::error!(part, error = chain(error.as_ref()), "part crashed");
                Some(Stop::AfterCrash)
            }
        }
    }
}

enum Stop {
    OnRequest,
    AfterCrash,
    Misconfigured,
}

/// Registered at once, lest a signal that comes early kill the process.
fn signals() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

async fn cancel_on_signal(signals: io::Result<(Signal, Signal)>, shutdown: CancellationToken) {
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "can't listen for signals; stop this process with SIGKILL");
            return;
        }
    };
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    shutdown.cancel();
    tracing::info!(signal, "stopping");
}

async fn overdue(shutdown: CancellationToken, grace: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(grace).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(50);

    async fn exit_code(lifecycle: Lifecycle) -> String {
        format!("{:?}", lifecycle.run(GRACE).await)
    }

    fn success() -> String {
        format!("{:?}", ExitCode::SUCCESS)
    }

    #[tokio::test]
    async fn a_stop_that_was_asked_for_is_success() {
        let shutdown = CancellationToken::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone());
        let token = shutdown.clone();
        lifecycle.spawn("loop", async move {
            token.cancelled().await;
            Ok(())
        });
        shutdown.cancel();
        assert_eq!(exit_code(lifecycle).await, success());
    }

    #[tokio::test]
    async fn a_panic_stops_the_others_and_is_a_failure() {
        let shutdown = CancellationToken::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone());
        lifecycle.spawn("other", async move {
            shutdown.cancelled().await;
            Ok(())
        });
        lifecycle.spawn("broken", async { panic!("on purpose") });
        assert_ne!(exit_code(lifecycle).await, success());
    }

    #[tokio::test]
    async fn a_part_that_ends_early_is_a_failure() {
        let mut lifecycle = Lifecycle::new(CancellationToken::new());
        lifecycle.spawn("early", async { Ok(()) });
        assert_ne!(exit_code(lifecycle).await, success());
    }

    #[tokio::test]
    async fn settings_that_turn_out_not_to_fit_exit_as_bad_settings_do() {
        let mut lifecycle = Lifecycle::new(CancellationToken::new());
        lifecycle.spawn("picky", async { Err(Misconfigured("not this one".to_owned()).into()) });
        assert_eq!(exit_code(lifecycle).await, format!("{:?}", ExitCode::from(EXIT_CONFIG)));
    }

    #[tokio::test]
    async fn a_part_that_does_not_stop_within_the_grace_is_a_failure() {
        let shutdown = CancellationToken::new();
        let mut lifecycle = Lifecycle::new(shutdown.clone());
        lifecycle.spawn("stuck", std::future::pending());
        shutdown.cancel();
        assert_ne!(exit_code(lifecycle).await, success());
    }
}
