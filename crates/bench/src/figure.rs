//! What a section finds: numbers, each beside its limit, and what is wrong with them.

use serde::{Deserialize, Serialize};

use crate::aim::{self, Verdict};

/// One measured number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Its name in docs/benchmarks.md and in scripts.
    pub(crate) name: String,
    /// The number.
    pub(crate) value: f64,
    /// Its unit, such as `orders/s` or `ms`.
    pub(crate) unit: String,
    /// What the same machine reached in the same run without our code, in the same unit; none if there is no such limit.
    pub(crate) limit: Option<f64>,
    /// `value / limit`, or the median of that over rounds; for times, how many times the limit it took.
    pub(crate) ratio: Option<f64>,
    /// The ratio of each round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<f64>,
    /// What has to be known to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Why the number must not be believed, or what went wrong while it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Figure {
    /// The median of rounds, each a number and the limit that was measured beside it. The ratio is the median of the
    /// rounds' ratios: what slows the machine down for a while slows both.
    pub(crate) fn of_rounds(name: &str, unit: &str, rounds: &[(f64, f64)]) -> Figure {
        let values: Vec<f64> = rounds.iter().map(|(value, _)| *value).collect();
        let limits: Vec<f64> = rounds.iter().map(|(_, limit)| *limit).collect();
        let ratios: Vec<f64> = rounds.iter().map(|(value, limit)| value / limit).collect();
        let figure = Figure::alone(name, median(&values), unit);
        Figure { limit: Some(median(&limits)), ratio: Some(median(&ratios)), rounds: ratios, ..figure }
    }

    /// A number compared with its limit.
    pub(crate) fn against(name: &str, value: f64, unit: &str, limit: f64) -> Figure {
        Figure { limit: Some(limit), ratio: Some(value / limit), ..Figure::alone(name, value, unit) }
    }

    /// A number that stands alone.
    pub(crate) fn alone(name: &str, value: f64, unit: &str) -> Figure {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        Figure { name, value, unit, limit: None, ratio: None, rounds: Vec::new(), note: None, failure: None }
    }

    /// With what has to be known to read it.
    pub(crate) fn noting(self, note: impl Into<String>) -> Figure {
        Figure { note: Some(note.into()), ..self }
    }

    /// With what is wrong with it, if anything is.
    pub(crate) fn failing(self, failure: Option<String>) -> Figure {
        Figure { failure, ..self }
    }

    /// Whether it is what we want.
    pub(crate) fn verdict(&self) -> Verdict {
        match (&self.failure, aim::of(&self.name)) {
            (Some(_), _) => Verdict::Failed,
            (None, None) => Verdict::Unjudged,
            (None, Some(aim)) if aim.is_met(self.value, self.limit, self.ratio) => Verdict::Met,
            (None, Some(_)) => Verdict::Missed,
        }
    }
}

/// Prints figures as a table, or as the JSON that scripts rely on.
pub(crate) fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "figures": figures }))?);
        return Ok(());
    }
    println!("{:<26} {:>12} {:<10} {:>12} {:>7}  what we want", "figure", "value", "unit", "limit", "ratio");
    let number = |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
    for figure in figures {
        let (limit, ratio) = (number(figure.limit, 2), number(figure.ratio, 2));
        let aim = aim::of(&figure.name).map(|aim| format!("{aim}: ")).unwrap_or_default();
        let Figure { name, value, unit, .. } = figure;
        println!("{name:<26} {value:>12.2} {unit:<10} {limit:>12} {ratio:>7}  {aim}{}", figure.verdict());
        let remarks = figure.note.iter().chain(&figure.failure).map(String::as_str);
        for remark in [aim::what(name)].into_iter().filter(|what| !what.is_empty()).chain(remarks) {
            println!("{:<26} {remark}", "");
        }
    }
    Ok(())
}

/// Of times in ascending order.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(f64::NAN)
}

/// The middle one; the upper one of two.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!([0, 50, 99, 100].map(|percent| percentile(&times, percent)), [1.0, 51.0, 100.0, 101.0]);
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn the_ratio_of_rounds_is_the_median_of_their_ratios() {
        let figure = Figure::of_rounds("x", "a/s", &[(10.0, 10.0), (90.0, 100.0), (4.0, 5.0)]);
        assert_eq!((figure.value, figure.limit, figure.ratio), (10.0, Some(10.0), Some(0.9)));
        assert_eq!(figure.rounds, [1.0, 0.9, 0.8]);
    }

    #[test]
    fn what_went_wrong_goes_before_what_was_measured() {
        let good = Figure::against("write_32", 300.0, "orders/s", 100.0);
        assert_eq!(good.verdict(), Verdict::Met);
        assert_eq!(good.failing(Some("nothing was written".to_owned())).verdict(), Verdict::Failed);
        assert_eq!(Figure::against("write_32", 100.0, "orders/s", 100.0).verdict(), Verdict::Missed);
        assert_eq!(Figure::alone("unknown", 1.0, "ms").verdict(), Verdict::Unjudged);
    }
}
