//! The servers that the pipeline needs, each a child process on 127.0.0.1.

mod localstripe;
mod mysql;
mod mysql_data;
mod nats;
mod nginx;
mod prometheus;

pub use localstripe::LocalStripe;
pub use mysql::{MySql, MySqlOptions, mysql_url};
pub use nats::{NATS_USERS, Nats, NatsOptions, NatsPeer, NatsSetup, NatsTls, NatsUser};
pub use nginx::{Gateway, Nginx};
pub use prometheus::{PrometheusOptions, prometheus, prometheus_readiness};
