//! Which fault hits whom, when and for how long: drawn from a seed before anything runs, so that it can be repeated.
//!
//! Guarantees that no two faults of one victim overlap, that all are over when the time is, and that a long run deals each
//! fault to each victim: the faults are a deck of cards that is shuffled again when it has been dealt.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

/// A fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fault {
    /// Milliseconds from the start of the run to its beginning.
    pub(super) at_ms: u64,
    /// What is done.
    pub(super) kind: Kind,
    /// To which process or line.
    pub(super) victim: String,
    /// Milliseconds until it is undone.
    pub(super) lasts_ms: u64,
}

/// What can be done to a process or a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// SIGKILL, and started again.
    Kill,
    /// SIGTERM, and started again when it has ended.
    Stop,
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// All connections closed and new ones refused.
    Cut,
    /// Connections stay, and no byte passes.
    Stall,
    /// Each piece comes late.
    Slow,
    /// What the connections of the moment carry is held, and delivered in the end; new ones are open.
    Hold,
    /// The connections of the moment never pass a byte again, and are not closed; new ones are open.
    Lose,
}

impl Kind {
    /// For how many milliseconds. Freezes and stalls outlast leases and heartbeats at times, holds the dedup window as well.
    fn lasts_ms(self) -> std::ops::Range<u64> {
        match self {
            Kind::Kill | Kind::Stop => 0..2_500,
            Kind::Freeze | Kind::Stall => 300..7_000,
            Kind::Cut => 100..3_000,
            Kind::Slow => 1_000..6_000,
            Kind::Hold => 4_000..16_000,
            Kind::Lose => 0..1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.lasts_ms).as_secs_f64();
        match self.kind {
            Kind::Kill => write!(f, "SIGKILL, started again {seconds:.1} s later"),
            Kind::Stop => write!(f, "SIGTERM, started again {seconds:.1} s after its end"),
            Kind::Freeze => write!(f, "SIGSTOP, SIGCONT {seconds:.1} s later"),
            Kind::Cut => write!(f, "connections cut for {seconds:.1} s"),
            Kind::Stall => write!(f, "no byte passes for {seconds:.1} s"),
            Kind::Slow => write!(f, "each piece is late for {seconds:.1} s"),
            Kind::Hold => write!(f, "what is under way is delivered {seconds:.1} s later"),
            Kind::Lose => write!(f, "connections fall silent for good"),
        }
    }
}

/// The faults of a run, in the order of their beginning.
pub(super) fn draw(seed: u64, duration: Duration, processes: &[String], lines: &[String]) -> Vec<Fault> {
    let mut rng = Rng::with_seed(seed);
    let end = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut deck = Vec::new();
    let mut busy: HashMap<String, u64> = HashMap::new();
    let mut faults = Vec::new();
    let mut at_ms = rng.u64(200..1_000);
    while at_ms + 200 < end {
        if deck.is_empty() {
            deck = cards(processes, lines);
            rng.shuffle(&mut deck);
        }
        let is_free = |(_, victim): &(Kind, String)| busy.get(victim).is_none_or(|until| *until < at_ms);
        if let Some(place) = deck.iter().rposition(is_free) {
            let (kind, victim) = deck.remove(place);
            let lasts_ms = rng.u64(kind.lasts_ms()).min(end - at_ms);
            busy.insert(victim.clone(), at_ms + lasts_ms);
            faults.push(Fault { at_ms, kind, victim, lasts_ms });
        }
        at_ms += rng.u64(200..2_200);
    }
    faults
}

/// Kills twice: they are what a crash is.
fn cards(processes: &[String], lines: &[String]) -> Vec<(Kind, String)> {
    let deal = |victims: &[String], kinds: &[Kind]| {
        let each = |victim: &String| kinds.iter().map(|kind| (*kind, victim.clone())).collect::<Vec<_>>();
        victims.iter().flat_map(each).collect::<Vec<_>>()
    };
    let processes = deal(processes, &[Kind::Kill, Kind::Kill, Kind::Stop, Kind::Freeze]);
    [processes, deal(lines, &[Kind::Cut, Kind::Stall, Kind::Slow, Kind::Hold, Kind::Lose])].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seed: u64, seconds: u64) -> Vec<Fault> {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        draw(seed, Duration::from_secs(seconds), &names(&["a", "b"]), &names(&["a to b"]))
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(of(7, 60), of(7, 60));
        assert_ne!(of(7, 60), of(8, 60));
    }

    #[test]
    fn no_two_faults_of_a_victim_overlap_and_all_are_over_in_time() {
        for seed in 0..50 {
            let mut over: HashMap<String, u64> = HashMap::new();
            for fault in of(seed, 60) {
                let end = fault.at_ms + fault.lasts_ms;
                assert!(end <= 60_000, "{fault:?}");
                assert!(over.insert(fault.victim.clone(), end).is_none_or(|before| before < fault.at_ms), "{fault:?}");
            }
        }
    }

    #[test]
    fn each_victim_gets_each_of_its_faults() {
        let faults = of(1, 120);
        for (kind, victim) in cards(&["a".into(), "b".into()], &["a to b".into()]) {
            assert!(faults.iter().any(|fault| fault.kind == kind && fault.victim == victim), "{kind:?} {victim}");
        }
    }
}
