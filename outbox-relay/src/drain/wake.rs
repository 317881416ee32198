//! Wake hints: an empty core-NATS message after each commit that appended.
//!
//! A hint carries nothing and may be lost; it only ends the wait before the table is read again. Any number of
//! hints during one claim are one.

use std::sync::Arc;

use async_nats::Client;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Turns hints into notifications until shutdown; the subscription survives reconnects.
///
/// # Errors
/// If the subscription ends, which only a closed connection does.
pub async fn listen(
    client: Client,
    subject: String,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut hints = client.subscribe(subject).await?;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            hint = hints.next() => match hint {
                Some(_) => wake.notify_one(),
                None => anyhow::bail!("the subscription for wake hints ended"),
            },
        }
    }
}
