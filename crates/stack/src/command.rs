//! The verbs of `stack`.

pub(crate) mod bench;
mod cargo;
pub(crate) mod demo_downtime;
pub(crate) mod prove;
pub(crate) mod reset;
mod rig;
mod scratch;
mod signals;
pub(crate) mod sqlx_prepare;
pub(crate) mod test;
pub(crate) mod up;
