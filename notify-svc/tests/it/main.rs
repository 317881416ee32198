//! notify-svc against real servers: MySQL, MariaDB and nats-server. Run by `make test`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod api;
mod bounding;
mod commits;
mod conflicts;
mod consuming;
mod deciding;
mod email_faults;
mod email_verbs;
mod email_verdicts;
mod emails;
mod foreign;
mod fuzzing;
mod hostile;
mod keys;
mod leading;
mod mail_server;
mod metrics;
mod ordering;
mod outages;
mod parking;
mod paying;
mod plans;
mod poison;
mod positions;
mod random;
mod recipients;
mod repairing;
mod retention;
mod setting;
mod smtp;
mod starting;
mod strain;
mod suppressing;
mod unreadable;
mod webhook;
