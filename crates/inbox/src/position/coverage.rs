//! What was read, as numbers: a floor, and runs above it in any order. Pure.

use std::ops::RangeInclusive;

use crate::store::inbox_read::Run;

/// Joins runs that touch or overlap each other, lowest first, and raises the floor by those that reach it.
pub(super) fn join(floor: u64, mut runs: Vec<Run>) -> (u64, Vec<Run>) {
    runs.sort_by_key(|run| (run.from, run.to));
    let mut floor = floor;
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        if run.from <= floor.saturating_add(1) {
            floor = floor.max(run.to);
            continue;
        }
        match joined.last_mut() {
            Some(last) if run.from <= last.to.saturating_add(1) => {
                if run.to > last.to || (run.to == last.to && last.mark.is_none()) {
                    last.mark = run.mark;
                    last.to = run.to;
                }
            }
            _ => joined.push(run),
        }
    }
    (floor, joined)
}

/// What was not read up to `limit`, of runs that are joined.
pub(super) fn unread(floor: u64, joined: &[Run], limit: u64) -> Vec<RangeInclusive<u64>> {
    let mut unread = Vec::new();
    let mut next = floor.saturating_add(1);
    for run in joined.iter().take_while(|run| run.from <= limit) {
        if next < run.from {
            unread.push(next..=run.from - 1);
        }
        next = run.to.saturating_add(1);
    }
    if next <= limit {
        unread.push(next..=limit);
    }
    unread
}

/// How many sequences these are.
pub(super) fn count(ranges: &[RangeInclusive<u64>]) -> u64 {
    ranges.iter().map(|range| range.end() - range.start() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u64, to: u64) -> Run {
        Run { from, to, mark: None }
    }

    #[test]
    fn runs_at_the_floor_raise_it_and_others_are_joined() {
        let (floor, runs) = join(10, vec![run(30, 39), run(14, 20), run(11, 13), run(40, 41), run(35, 36), run(2, 4)]);
        assert_eq!((floor, runs), (20, vec![run(30, 41)]));
    }

    #[test]
    fn what_lies_between_is_unread() {
        let runs = [run(30, 41), run(50, 50)];
        assert_eq!(unread(20, &runs, 60), [21..=29, 42..=49, 51..=60]);
        assert_eq!(unread(20, &runs, 45), [21..=29, 42..=45]);
        assert_eq!(unread(20, &runs, 35), [21..=29]);
        assert_eq!(unread(20, &runs, 20), []);
        assert_eq!(count(&unread(20, &runs, 45)), 13);
    }
}
