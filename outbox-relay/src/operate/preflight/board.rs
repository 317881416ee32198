//! Where findings stand while the relay runs: metrics and readiness.
//!
//! A finding that breaks a promise makes the relay unready until a check finds it no more. Nobody asks a relay for anything, so its
//! readiness is a signal to people, and it drains on: most events still arrive. What could not be asked stays as it was: an
//! outage neither makes a relay unready nor fixes anything.

use prometheus::{GaugeVec, Registry};
use runtime::counters;
use runtime::readiness::{Readiness, Weight};
use tokio::sync::watch;

use super::finding::{Answers, Finding, Findings, Severity};

/// Shows what was found.
#[derive(Debug)]
pub struct Board {
    counts: GaugeVec,
    database: watch::Sender<Vec<String>>,
    stream: watch::Sender<Vec<String>>,
}

impl Board {
    /// Registers its gauge and its reports.
    ///
    /// # Errors
    /// If the gauge is registered already.
    pub fn register(registry: &Registry, readiness: &Readiness) -> prometheus::Result<Self> {
        let counts = counters::register_gauges(
            registry,
            "relay_preflight_findings",
            "What the preflight found at its last check, by severity: at the start, and then once a minute. An error makes the relay unready.",
            "severity",
            &Severity::ALL.map(Severity::as_str),
        )?;
        let (database, stream) = (watch::Sender::new(Vec::new()), watch::Sender::new(Vec::new()));
        readiness.report(Weight::Unready, database.subscribe());
        readiness.report(Weight::Unready, stream.subscribe());
        Ok(Self { counts, database, stream })
    }

    pub(super) fn count(&self, found: &Findings) {
        for severity in Severity::ALL {
            let count = found.findings.iter().filter(|finding| finding.severity == severity).count();
            self.counts.with_label_values(&[severity.as_str()]).set(count as f64);
        }
    }

    pub(super) fn tell(&self, answers: &Answers) {
        for (report, found) in [(&self.database, &answers.database), (&self.stream, &answers.stream)] {
            if let Ok(found) = found {
                let broken = found.iter().filter(|finding| finding.severity == Severity::Error);
                report.send_replace(broken.map(line).collect());
            }
        }
    }
}

fn line(Finding { setting, what, why, fix, .. }: &Finding) -> String {
    format!("{setting}: {what}; consequence: {why}; fix: {fix}")
}
