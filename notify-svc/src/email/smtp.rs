//! Emails to an SMTP server, over connections that are kept.

use std::time::Duration;

use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::response::Code;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use runtime::config::Secret;

use super::{SEND_TIME_MAX, SendError};

const CONNECTIONS_MAX: u32 = 8;
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);

/// A client of one SMTP server.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// Whether SMTP_URL can be understood.
///
/// # Errors
/// One line that does not repeat the secret.
pub fn check_url(url: &Secret) -> Result<(), String> {
    AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose()).map(|_| ()).map_err(|_| {
        "SMTP_URL must look like smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required or \
         smtps://USER:PASSWORD@HOST"
            .to_owned()
    })
}

impl Smtp {
    /// Connects when first used.
    ///
    /// # Errors
    /// As [`check_url`].
    pub fn new(url: &Secret) -> anyhow::Result<Self> {
        check_url(url).map_err(anyhow::Error::msg)?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())?
            .timeout(Some(SEND_TIME_MAX))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX).idle_timeout(CONNECTION_IDLE_MAX))
            .build();
        Ok(Self { transport })
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), SendError> {
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_some_and(is_about_the_email) => {
                let is_permanent = error.is_permanent();
                let error = error.into();
                Err(if is_permanent { SendError::Rejected(error) } else { SendError::Refused(error) })
            }
            Err(error) => Err(SendError::Unreachable(error.into())),
        }
    }
}

/// Whether a reply speaks about this email, and not about the server (421) or our credentials (454, 530 to 538).
fn is_about_the_email(code: Code) -> bool {
    !matches!(u16::from(code), 421 | 454 | 530..=538)
}
