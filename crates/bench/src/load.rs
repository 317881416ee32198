//! A client that costs next to nothing: it shares the machine with what it measures.
//!
//! One kept connection, one request in flight, and of HTTP no more than the status and the length of the answer.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY: &str = r#"{"product":"Espresso machine","quantity":2,"email":"ada@example.com"}"#;

pub(super) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).await.context("cannot connect to order-svc")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let head = format!(
            "POST /api/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            BODY.len()
        );
        Ok(Client { stream, request: (head + BODY).into_bytes() })
    }

    /// Places one order after the other until the time is over.
    pub(super) async fn place_until(mut self, until: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        let mut answer = vec![0; 4096];
        loop {
            let began = Instant::now();
            if began >= until {
                return Ok(latencies);
            }
            self.stream.write_all(&self.request).await.context("cannot send a request")?;
            self.read(&mut answer).await?;
            latencies.push(began.elapsed());
        }
    }

    async fn read(&mut self, answer: &mut [u8]) -> anyhow::Result<()> {
        let mut length = 0;
        loop {
            match self.stream.read(&mut answer[length..]).await.context("cannot read an answer")? {
                0 => bail!("the answer broke off or is longer than {} bytes", answer.len()),
                read => length += read,
            }
            if is_whole(&answer[..length])? {
                return Ok(());
            }
        }
    }
}

/// Whether an answer has arrived; an error if it is none that a placed order gets.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
    let text = String::from_utf8_lossy(&answer[..head]);
    if !text.starts_with("HTTP/1.1 201 ") {
        bail!("order-svc answered {}", text.lines().next().unwrap_or_default());
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("an answer has a length")?;
    let length: usize = length.parse().context("a length is a number")?;
    Ok(answer.len() == head + 4 + length)
}
