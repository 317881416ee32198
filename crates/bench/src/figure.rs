//! What a section finds, and how it is printed.

use serde::Serialize;

/// One measured number.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// Its name in docs/benchmarks.md and in scripts.
    pub(crate) name: &'static str,
    /// The number.
    pub(crate) value: f64,
    /// Its unit, such as `orders/s` or `ms`.
    pub(crate) unit: &'static str,
    /// What the same machine reached in the same run without our code, in the same unit; none if there is no such limit.
    pub(crate) limit: Option<f64>,
    /// `value / limit`, or the median of that over rounds; for times, how many times the limit it took.
    pub(crate) ratio: Option<f64>,
}

impl Figure {
    /// The median of rounds, each a number and the limit that was measured beside it. The ratio is the median of the
    /// rounds' ratios: what slows the machine down for a while slows both.
    pub(crate) fn of_rounds(name: &'static str, unit: &'static str, rounds: &[(f64, f64)]) -> Figure {
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut numbers: Vec<f64> = rounds.iter().map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let ratio = median(|(value, limit)| value / limit);
        Figure { name, value: median(|round| round.0), unit, limit: Some(median(|round| round.1)), ratio: Some(ratio) }
    }

    /// A number compared with its limit.
    pub(crate) fn against(name: &'static str, value: f64, unit: &'static str, limit: f64) -> Figure {
        Figure { name, value, unit, limit: Some(limit), ratio: Some(value / limit) }
    }

    /// A number that stands alone.
    pub(crate) fn alone(name: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure { name, value, unit, limit: None, ratio: None }
    }
}

/// Prints figures as a table, or as the JSON that scripts rely on.
pub(crate) fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "figures": figures }))?);
        return Ok(());
    }
    println!("{:<24} {:>12} {:<10} {:>12} {:>7}", "figure", "value", "unit", "limit", "ratio");
    let number = |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
    for figure in figures {
        let (limit, ratio) = (number(figure.limit, 2), number(figure.ratio, 2));
        println!("{:<24} {:>12.2} {:<10} {:>12} {:>7}", figure.name, figure.value, figure.unit, limit, ratio);
    }
    Ok(())
}

/// Of times in ascending order.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(f64::NAN)
}
