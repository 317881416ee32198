//! The relay as a process, against real MySQL, MariaDB and NATS.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod batch;
mod beside;
mod checking;
mod cli;
mod config;
mod crash;
mod cuts;
mod faults;
mod fencing;
mod healing;
mod healing_cut_short;
mod idle;
mod keeping;
mod leading;
mod lease;
mod limits;
mod locks;
mod metrics;
mod moving;
mod order;
mod outage;
mod pausing;
mod plans;
mod proving;
mod purging;
mod readiness;
mod reading;
mod recognising;
mod replaying;
mod requeueing;
mod rubbish;
mod support;
mod terms;
mod wake;
mod watching;
