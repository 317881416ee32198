//! Metrics by a label whose values are known: each series is there at 0 from the start.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

/// Registers metrics of one label, with a series for each of the `values`.
///
/// # Errors
/// If they are registered already.
pub fn start<B>(registry: &Registry, metrics: MetricVec<B>, values: &[&str]) -> prometheus::Result<MetricVec<B>>
where
    B: MetricVecBuilder,
    MetricVec<B>: Collector + 'static,
{
    for value in values {
        metrics.with_label_values(&[*value]);
    }
    registry.register(Box::new(metrics.clone()))?;
    Ok(metrics)
}

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
    start(registry, IntCounterVec::new(Opts::new(name, help), &[label])?, values)
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
    start(registry, GaugeVec::new(Opts::new(name, help), &[label])?, values)
}
