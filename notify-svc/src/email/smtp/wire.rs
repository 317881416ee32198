//! A connection to an SMTP server: sends commands and reads replies, with or without TLS.
//!
//! Guarantees that a reply is read whole, however it is cut into packets, and in bounded memory, however long it is.
//! Leaves time limits to the dialogue: a wire whose reading or writing was given up must be dropped.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use super::reply::{Line, Reply};

/// Bytes of a line that are kept. RFC 5321 has 512; the rest of a longer one is read and forgotten.
const LINE_BYTES_MAX: usize = 2048;
/// Bytes of a reply, after which no end is expected any more.
const REPLY_BYTES_MAX: usize = 256 * 1024;

pub(super) struct Wire {
    stream: BufReader<Either<TcpStream, Box<TlsStream<TcpStream>>>>,
}

impl Wire {
    pub(super) async fn connect(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(Either::Left(stream)) })
    }

    /// Goes on encrypted. What came before the handshake could be anybody's: it ends the connection (RFC 3207).
    pub(super) async fn encrypt(self, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        if !self.stream.buffer().is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "the server went on speaking before TLS"));
        }
        let Either::Left(stream) = self.stream.into_inner() else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the connection is encrypted already"));
        };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Self { stream: BufReader::new(Either::Right(Box::new(stream))) })
    }

    /// Our own address as RFC 5321 has it in EHLO: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    pub(super) fn address_literal(&self) -> io::Result<String> {
        let address = match self.stream.get_ref() {
            Either::Left(stream) => stream.local_addr(),
            Either::Right(stream) => stream.get_ref().0.local_addr(),
        };
        let address = address?.ip().to_canonical();
        Ok(if address.is_ipv6() { format!("[IPv6:{address}]") } else { format!("[{address}]") })
    }

    /// Whether the server is there and has said nothing since its last reply: a word unasked for would be taken for the
    /// answer to the next command. May be asked at any time.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.fill_buf().now_or_never().is_none()
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next reply. May not be dropped in its middle, or the rest is read as another.
    pub(super) async fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        let mut left = REPLY_BYTES_MAX;
        loop {
            let line = self.line(&mut left).await?;
            let Some(Line { code, text, is_last }) = Line::parse(&line) else {
                return Err(io::Error::new(ErrorKind::InvalidData, "the server speaks no SMTP"));
            };
            lines.push(text);
            if is_last {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// The start of the next line, without its end.
    async fn line(&mut self, left: &mut usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let heard = self.stream.fill_buf().await?;
            if heard.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up"));
            }
            let end = heard.iter().position(|byte| *byte == b'\n');
            let part = &heard[..end.unwrap_or(heard.len())];
            line.extend_from_slice(&part[..part.len().min(LINE_BYTES_MAX - line.len())]);
            let used = part.len() + usize::from(end.is_some());
            self.stream.consume(used);
            *left = left.checked_sub(used).ok_or_else(|| {
                io::Error::new(
                    ErrorKind::InvalidData,
                    format!("the server's reply has more than {REPLY_BYTES_MAX} bytes"),
                )
            })?;
            if end.is_some() {
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
        }
    }
}
