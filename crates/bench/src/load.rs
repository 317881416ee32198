//! A client that costs next to nothing: it shares the machine with what it measures.
//!
//! One kept connection, one request in flight, and of HTTP no more than the status and the length of the answer.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::basket::Basket;

pub(super) struct Client {
    stream: TcpStream,
    address: String,
    answer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).await.context("cannot connect to order-svc")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Client { stream, address: address.to_owned(), answer: vec![0; 4096] })
    }

    /// So many of them.
    pub(super) async fn connect_all(address: &str, clients: usize) -> anyhow::Result<Vec<Client>> {
        let mut connected = Vec::with_capacity(clients);
        for _ in 0..clients {
            connected.push(Client::connect(address).await?);
        }
        Ok(connected)
    }

    /// Places one order after the other until the time is over.
    pub(super) async fn place_until(mut self, until: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        loop {
            let began = Instant::now();
            if began >= until {
                return Ok(latencies);
            }
            self.place().await?;
            latencies.push(began.elapsed());
        }
    }

    /// Places an order.
    pub(super) async fn place(&mut self) -> anyhow::Result<()> {
        let request = request(&self.address);
        self.stream.write_all(request.as_bytes()).await.context("cannot send a request")?;
        let mut length = 0;
        loop {
            match self.stream.read(&mut self.answer[length..]).await.context("cannot read an answer")? {
                0 => bail!("the answer broke off or is longer than {} bytes", self.answer.len()),
                read => length += read,
            }
            if is_whole(&self.answer[..length])? {
                return Ok(());
            }
        }
    }
}

fn request(address: &str) -> String {
    let Basket { product, email } = Basket::random();
    let body = format!(r#"{{"product":"{product}","quantity":2,"email":"{email}"}}"#);
    let length = body.len();
    format!(
        "POST /api/orders HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Whether an answer has arrived; an error if it is none that a placed order gets.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
    let text = String::from_utf8_lossy(&answer[..head]);
    if !text.starts_with("HTTP/1.1 201 ") {
        bail!("order-svc answered {}", text.lines().next().unwrap_or_default());
    }
    let length =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let length: usize = length.context("an answer has a length")?.parse().context("a length is a number")?;
    Ok(answer.len() == head + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert!(is_whole(answer).unwrap());
        assert!(!is_whole(&answer[..answer.len() - 1]).unwrap());
        assert!(!is_whole(&answer[..20]).unwrap());
    }

    #[test]
    fn an_answer_that_no_placed_order_gets_is_an_error() {
        let error = is_whole(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(error.to_string(), "order-svc answered HTTP/1.1 503 Service Unavailable");
    }
}
