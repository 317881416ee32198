//! What integration tests stand on: real servers, fresh databases, service processes, and faults made to order.
//!
//! Guarantees that a test leaves nothing behind that another could see. Relies on `stack test` (`make test`), which
//! starts the shared database servers. Everything here panics with a sentence instead of returning errors: a test has
//! no better use for them. Waits are bounded; there is nothing to sleep for.

mod cluster;
mod database;
mod eventually;
mod folder;
mod fuzzer;
mod golden;
mod servers;
mod service;
mod stripe;

pub use cluster::Cluster;
pub use database::Database;
pub use eventually::{eventually, eventually_within};
pub use folder::copy_folder;
pub use fuzzer::fuzz;
pub use golden::{assert_documented, assert_golden, assert_series, without_tokens};
pub use servers::{MySql, Nats};
pub use service::{Service, binary};
pub use stripe::LocalStripe;

pub use crate::Engine;
pub use crate::port::Port;
pub use crate::proxy::TcpProxy;
pub use crate::recipients::{Answer, Recipients};

/// The folder with the built services, set by `stack test`.
pub const BINARIES_VARIABLE: &str = "STACK_TEST_BINARIES";

/// The folder for the data of servers that tests start, set by `stack test`, which removes it.
pub const FOLDER_VARIABLE: &str = "STACK_TEST_FOLDER";

const HOW: &str = "run `make test`, or `stack test -- <nextest args>`";

/// Makes two tests of each function, `name::mysql` and `name::mariadb`.
///
/// ```ignore
/// both_engines! {
///     async fn an_order_and_its_event_commit_together(engine: Engine) {
///         let orders = Database::create(engine, &schema::database::ORDERS).await;
///     }
/// }
/// ```
#[macro_export]
macro_rules! both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($engine:ident: $kind:ty) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn on($engine: $kind) $body

            #[tokio::test]
            async fn mysql() {
                Box::pin(on($crate::Engine::MySql)).await;
            }

            #[tokio::test]
            async fn mariadb() {
                Box::pin(on($crate::Engine::MariaDb)).await;
            }
        }
    )*};
}
