//! Whether a service can do its work, for people and gateways. The platform's probes are on the admin port.

use std::time::Duration;

use serde::Serialize;
use sqlx::Connection;
use utoipa::ToSchema;

use crate::mysql::Pool;

/// A database that takes longer is no help to anybody.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The service and its database work.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: anything else is a problem.
    #[schema(example = "ok", pattern = "^ok$")]
    status: &'static str,
}

/// Asks the database, for at most two seconds.
///
/// # Errors
/// As the database has it, or a transient one if it does not answer in time.
pub async fn check(pool: &Pool) -> sqlx::Result<Health> {
    let ping = async {
        let mut connection = pool.acquire().await?;
        connection.ping().await.map(|()| connection.release())
    };
    let answer = tokio::time::timeout(CHECK_TIMEOUT, ping).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| Health { status: "ok" })
}
