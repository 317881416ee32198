//! The connection to NATS: it keeps trying, for ever, and says what it sees.
//!
//! Guarantees that a broker that is away at the start or later never ends the process. Whether a message arrived is
//! not known here; that is JetStream's to acknowledge.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};

use crate::config::Secret;
use crate::retry::Retry;

/// Settings of a NATS connection.
#[derive(Clone, Debug, clap::Args)]
pub struct NatsConfig {
    /// nats://HOST:PORT, several separated by commas; nats://USER:PASSWORD@HOST:PORT with credentials.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Secret,
}

/// Connects in the background; returns before the broker answered.
///
/// # Errors
/// If an address can't be parsed.
pub async fn connect(name: &'static str, config: &NatsConfig) -> anyhow::Result<Client> {
    let addresses =
        config.nats_url.expose().split(',').map(str::parse).collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
    // The client itself overlooks what a URL says before the @.
    let user = addresses.iter().find_map(|address| Some((address.username()?, address.password().unwrap_or_default())));
    let options = match user {
        Some((user, password)) => ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned()),
        None => ConnectOptions::new(),
    };
    let client = options
        .name(name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        // Notices a peer that vanished without a word within twice this time.
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|attempts| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            Retry::delay_after(Duration::from_millis(100), Duration::from_secs(2), attempts)
        })
        .event_callback(|event| async move { log(&event) })
        .connect(addresses)
        .await?;
    Ok(client)
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("disconnected from NATS, reconnecting"),
        Event::LameDuckMode => tracing::info!("NATS server is about to stop, moving on"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection"),
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
            tracing::warn!(%event, "NATS connection");
        }
    }
}
