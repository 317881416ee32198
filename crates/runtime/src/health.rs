//! The verb `health`: is the process that runs beside this one ready? For container runtimes that can run a program
//! but have no HTTP probe, in images without a shell.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::EXIT_UNHEALTHY;
use crate::terminal::complain;

const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 4096;

/// Settings of `health`.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthConfig {
    /// Admin address of the process to ask; 0.0.0.0 finds it on this machine.
    #[arg(long, env = "ADMIN_ADDR")]
    pub admin_addr: SocketAddr,
}

/// Success if `/readyz` answers 200; else it is told what it answered, and the status is that of something unhealthy.
///
/// # Errors
/// If it did not answer within 3 seconds.
pub async fn health(config: &HealthConfig) -> anyhow::Result<ExitCode> {
    let place = config.admin_addr;
    let asking = timeout(ANSWERS_WITHIN, ask(place)).await;
    let answer = asking.with_context(|| format!("{place} did not answer within {ANSWERS_WITHIN:?}"))?;
    let answer = answer.with_context(|| format!("asking {place}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        complain(&format!("error: {place} is not ready: {}", body.trim().replace('\n', ", ")));
        return Ok(ExitCode::from(EXIT_UNHEALTHY));
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(place: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(place).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http;
    use crate::readiness::Readiness;

    #[tokio::test]
    async fn health_is_what_readyz_says() {
        let (readiness, stop) = (Readiness::new(CancellationToken::new()), CancellationToken::new());
        let latch = readiness.latch("mysql");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = HealthConfig { admin_addr: listener.local_addr().unwrap() };
        let router = http::admin::router(Registry::new(), readiness);
        let server = tokio::spawn(http::server::serve(listener, router, stop.clone()));

        assert_eq!(health(&config).await.unwrap(), ExitCode::from(EXIT_UNHEALTHY));
        latch.set();
        assert_eq!(health(&config).await.unwrap(), ExitCode::SUCCESS);
        stop.cancel();
        server.await.unwrap().unwrap();
        assert!(health(&config).await.is_err());
    }
}
