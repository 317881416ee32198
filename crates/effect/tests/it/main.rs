//! The library against real servers, as a service uses it. Run by `make test`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the error")]

mod claiming;
mod deciding;
mod other_side;
mod outcomes;
mod retention;
