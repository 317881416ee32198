//! The verbs of `stack`.

mod cargo;
pub(crate) mod demo_downtime;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod prove;
pub(crate) mod sqlx_prepare;
pub(crate) mod test;
pub(crate) mod up;
