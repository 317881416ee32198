//! payment-svc against real servers. Run by `make test`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod asked;
mod stand_in;
mod stripe;
mod stripe_faults;
