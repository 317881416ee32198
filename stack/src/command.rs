//! The verbs of `stack`.

mod cargo;
mod scratch;
mod signals;
pub(crate) mod sqlx_prepare;
pub(crate) mod test;
