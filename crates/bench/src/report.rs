//! The report of runs: what was measured, by which versions and settings, on which machine.
//!
//! A folder holds `report.json`, with the last run of each section on each engine, and `report.md` with its charts, made from
//! that. The table of docs/benchmarks.md is made from the copy in `docs/benchmarks` (see `kept.rs`), so that its numbers are
//! those of a run.

mod bars;
mod curves;
pub(crate) mod files;
pub(crate) mod kept;
pub(crate) mod machine;
pub(crate) mod model;
mod page;
mod svg;
