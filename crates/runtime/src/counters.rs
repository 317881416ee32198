//! Metrics by a label whose values are known: each series is there at 0 from the start.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

/// Registers counters of this name, by `label`, with a series for each of the `values`.
///
/// # Errors
/// If they are registered already.
pub fn register(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
    for value in values {
        counters.with_label_values(&[*value]);
    }
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

/// As [`register`], gauges.
///
/// # Errors
/// If they are registered already.
pub fn register_gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> prometheus::Result<GaugeVec> {
    let gauges = GaugeVec::new(Opts::new(name, help), &[label])?;
    for value in values {
        gauges.with_label_values(&[*value]);
    }
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}
