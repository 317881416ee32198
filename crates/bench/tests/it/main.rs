//! Each section of the benchmarks, briefly, as a person runs it. Run by `make test`: what is asserted is that it measures, not
//! how fast anything is.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod bench;
mod sections;
