//! payment-svc against real servers, alone and with the services around it. Run by `make test`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod asked;
mod deciding;
mod killing;
mod services;
mod shop;
mod stand_in;
mod stripe;
mod stripe_faults;
mod telling;
mod walking;
