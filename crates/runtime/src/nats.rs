//! The connection to NATS: it is retried for ever, and logs what it sees.
//!
//! Guarantees that a broker that is away at the start or later never ends the process, and that with an authority to check
//! it by, nothing is said to a broker that can't prove its name. How we sign in is [`NatsAccess`]'s. Whether a message arrived is
//! not known here; that is JetStream's to acknowledge.

mod access;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use async_nats::Client;
use async_nats::{ClientError, ConnectOptions, Event, ReconnectToServer, Server, ServerAddr};
use prometheus::Registry;

use self::access::addresses;
pub use self::access::{NatsAccess, NatsConfig};
use crate::connection_metrics;
use crate::readiness::Readiness;
use crate::retry::Retry;
use crate::tls;

impl NatsConfig {
    fn options(&self) -> ConnectOptions {
        let access = &self.nats_access;
        let config = self.clone();
        let options = if self.signs_in() {
            ConnectOptions::with_auth_callback(move |nonce| {
                let auth = config.auth(&nonce);
                async move { auth }
            })
        } else {
            ConnectOptions::new()
        };
        let options = match &access.nats_ca_file {
            // The addresses that servers of a cluster tell of each other need not be in their certificates.
            Some(file) => options.require_tls(true).add_root_certificates(file.clone()).ignore_discovered_servers(),
            None => options,
        };
        match (&access.nats_cert_file, &access.nats_key_file) {
            (Some(certificate), Some(key)) => options.add_client_certificate(certificate.clone(), key.clone()),
            _ => options,
        }
    }
}

/// What NATS says to a login that it refuses.
const REFUSAL: &str = "authorization violation";

const UNREADY: &str = "nats: it refuses our login";

/// How NATS takes our login.
#[derive(Clone, Debug, Default)]
struct Login {
    is_refused: Arc<AtomicBool>,
    /// It is refused, and never was anything else.
    is_refused_from_the_start: Arc<AtomicBool>,
    was_taken: Arc<AtomicBool>,
}

impl Login {
    fn refused(&self, is_refused: bool) {
        self.is_refused.store(is_refused, Ordering::Relaxed);
        self.is_refused_from_the_start.store(is_refused && !self.was_taken.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn taken(&self) {
        self.was_taken.store(true, Ordering::Relaxed);
        self.refused(false);
    }
}

/// As [`connect`], for a process that is not ready while NATS refuses its login: its secret may have been rotated, and
/// another replica may have the new one. `/metrics` tells how the connection is.
///
/// # Errors
/// As [`connect`], or if there is such a connection already.
pub async fn connect_ready(
    name: &'static str,
    config: &NatsConfig,
    (readiness, registry): (&Readiness, &Registry),
) -> anyhow::Result<Client> {
    let login = Login::default();
    readiness.unready_while(UNREADY, Arc::clone(&login.is_refused));
    told(name, config, registry, login).await
}

/// As [`connect_ready`], for a process that serves without NATS, too: a login that NATS never took makes it unready, so that a rollout
/// with a wrong secret stops; one that is refused later is only told, for with all replicas unready nobody would be served.
///
/// # Errors
/// As [`connect_ready`].
pub async fn connect_serving(
    name: &'static str,
    config: &NatsConfig,
    (readiness, registry): (&Readiness, &Registry),
) -> anyhow::Result<Client> {
    let login = Login::default();
    readiness.unready_while(UNREADY, Arc::clone(&login.is_refused_from_the_start));
    told(name, config, registry, login).await
}

async fn told(name: &'static str, config: &NatsConfig, registry: &Registry, login: Login) -> anyhow::Result<Client> {
    let is_refused = Arc::clone(&login.is_refused);
    let client = open(name, config, login).await?;
    connection_metrics::register_nats(registry, &client, is_refused)?;
    Ok(client)
}

/// Connects in the background; returns before the broker answered. The first word of `name` is the program's. Answers come to
/// `_INBOX.` and the user, or the program if there is none.
///
/// # Errors
/// If an address can't be parsed.
pub async fn connect(name: &'static str, config: &NatsConfig) -> anyhow::Result<Client> {
    open(name, config, Login::default()).await
}

async fn open(name: &'static str, config: &NatsConfig, login: Login) -> anyhow::Result<Client> {
    let addresses = addresses(&config.nats_url)?;
    let bare = addresses.iter().map(without_credentials).collect::<io::Result<Vec<_>>>()?;
    if config.nats_access.nats_ca_file.is_none()
        && let Some(address) = bare.iter().find(|address| !address.tls_required() && !tls::is_loopback(address.host()))
    {
        tracing::warn!(
            host = address.host(),
            "nothing asks for encryption of the connection to NATS; NATS_CA_FILE would encrypt it"
        );
    }
    let taken = login.clone();
    let client = options(name, config)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            Retry::delay_after(Duration::from_millis(100), Duration::from_secs(2), attempts)
        })
        .reconnect_to_server_callback(move |servers, _| {
            let was_refused = |server: &Server| server.last_error.as_ref().is_some_and(|error| error.contains(REFUSAL));
            login.refused(servers.iter().any(was_refused));
            async move { log_failures(&servers) }
        })
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                taken.taken();
            }
            async move { log(&event) }
        })
        .connect(bare)
        .await?;
    Ok(client)
}

/// Connects now; each server is tried once, now and when the connection is lost, and then the client is dead. So what is queued
/// in a client that was dropped is not delivered by a connection made long after.
///
/// # Errors
/// If an address can't be parsed, or no server takes the connection.
pub async fn connect_once(name: &'static str, config: &NatsConfig) -> anyhow::Result<Client> {
    let addresses = addresses(&config.nats_url)?;
    let bare = addresses.iter().map(without_credentials).collect::<io::Result<Vec<_>>>()?;
    let options = options(name, config).max_reconnects(Some(addresses.len()));
    Ok(options.reconnect_delay_callback(|_| Duration::ZERO).connect(bare).await?)
}

fn options(name: &'static str, config: &NatsConfig) -> ConnectOptions {
    let options = config.options();
    options
        .name(name)
        .custom_inbox_prefix(inbox(name, config.user()))
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        // Notices a peer that vanished without a word within twice this time.
        .ping_interval(Duration::from_secs(5))
}

/// Where answers come to: to a place of the user's own, so that a user can be kept from reading the answers to others, and
/// that a person may run a verb. Without a user, or one whose name is no word of a subject, to the program's.
fn inbox(name: &str, user: Option<(String, String)>) -> String {
    let program = name.split(' ').next().unwrap_or(name);
    let is_word =
        |user: &String| !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let user = user.map(|(user, _)| user).filter(is_word);
    format!("_INBOX.{}", user.as_deref().unwrap_or(program))
}

/// The client logs addresses as it was given them.
fn without_credentials(address: &ServerAddr) -> io::Result<ServerAddr> {
    let mut url = address.clone().into_inner();
    let bared = url.set_username("").and_then(|()| url.set_password(None));
    bared.map_err(|()| io::Error::from(io::ErrorKind::InvalidInput))?;
    ServerAddr::from_url(url)
}

/// The only place where the client says why it could not connect; which server comes next is left to it.
fn log_failures(servers: &[Server]) -> Option<ReconnectToServer> {
    for Server { addr, last_error, .. } in servers {
        if let Some(reason) = last_error {
            // What a server without TLS says to a greeting in TLS is not TLS.
            let hint = if reason.contains("InvalidContentType") { "; does it speak TLS?" } else { "" };
            tracing::warn!(server = %format_args!("{}:{}", addr.host(), addr.port()), "cannot connect to NATS, trying again: {reason}{hint}");
        }
    }
    None
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("disconnected from NATS, reconnecting"),
        Event::LameDuckMode => tracing::info!("NATS server is about to stop, moving on"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection"),
        // Nothing was tried that `log_failures` could log.
        Event::ClientError(ClientError::Other(reason)) if reason.contains("DNS error") => {
            tracing::warn!("a host of NATS_URL has no address, trying again");
        }
        // A failed connect; `log_failures` says why.
        Event::ClientError(ClientError::Other(_)) => tracing::debug!(%event, "NATS connection"),
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
            tracing::warn!(%event, "NATS connection");
        }
    }
}
