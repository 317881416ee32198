//! The verdict, for people and for scripts.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use stack::proof::Claim;

use super::schedule::Fault;

/// Of one claim, more than these are in the file only.
const VIOLATIONS_SHOWN: usize = 20;

/// All that a run has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) db: &'static str,
    pub(super) nats_nodes: u16,
    pub(super) duration: String,
    pub(super) faults: Vec<Fault>,
    pub(super) claims: Vec<Claim>,
}

impl Report {
    /// Whether every claim does.
    pub(super) fn holds(&self) -> bool {
        self.claims.iter().all(Claim::holds)
    }

    /// Prints it. `kept`: where everything about a failure is.
    pub(super) fn print(&self, json: bool, kept: Option<&Path>) -> anyhow::Result<()> {
        if json {
            let mut report = serde_json::to_value(self)?;
            report["holds"] = json!(self.holds());
            report["kept"] = json!(kept);
            println!("{report}");
        } else {
            print!("{}", self.text(kept)?);
        }
        Ok(())
    }

    fn text(&self, kept: Option<&Path>) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "\n{:<18} {:>8} {:>9}", "claim", "checked", "violated")?;
        for Claim { name, text: claim, checked, violations } in &self.claims {
            writeln!(text, "{name:<18} {checked:>8} {:>9}  {claim}", violations.len())?;
        }
        for claim in self.claims.iter().filter(|claim| !claim.holds()) {
            writeln!(text, "\n{} does not hold:", claim.name)?;
            for violation in claim.violations.iter().take(VIOLATIONS_SHOWN) {
                writeln!(text, "  {violation}")?;
            }
            if let Some(more @ 1..) = claim.violations.len().checked_sub(VIOLATIONS_SHOWN) {
                writeln!(text, "  and {more} more in verdict.json")?;
            }
        }
        let Report { seed, db, nats_nodes, duration, .. } = self;
        let again = format!("stack prove --db {db} --nats-nodes {nats_nodes} --duration {duration} --seed {seed}");
        match kept {
            None => writeln!(text, "\nAll claims hold after {} faults. The same again: {again}", self.faults.len())?,
            Some(kept) => {
                let violated = self.claims.iter().filter(|claim| !claim.holds()).count();
                writeln!(text, "\n{violated} claims do not hold. Data, logs and answers: {}", kept.display())?;
                writeln!(text, "The same faults again: {again}")?;
            }
        }
        Ok(text)
    }
}
