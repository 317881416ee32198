//! Where an issuer's keys come from: a file, or a URL that is asked with bounds on time and size.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use tokio::time::timeout;

use super::keys::KeySet;
use crate::connector::connector;
use crate::http::client::keeping;
use crate::tls;

/// For all keys, connecting included.
pub(super) const TIME_MAX: Duration = Duration::from_secs(3);
const BYTES_MAX: usize = 1024 * 1024;

/// A JSON Web Key Set that can be read again.
#[derive(Debug)]
pub(super) enum Source {
    File(PathBuf),
    /// Its server is trusted as these authorities have it, or else the system's; redirects are not followed.
    Url {
        url: Uri,
        authorities: Option<PathBuf>,
    },
}

impl Source {
    /// The keys as they are now.
    ///
    /// # Errors
    /// If they can't be had, or none is of use.
    pub(super) async fn read(&self) -> anyhow::Result<KeySet> {
        let document = timeout(TIME_MAX, self.document()).await.unwrap_or_else(|_| Err(anyhow!("no answer in time")));
        let document = document.with_context(|| match self {
            Self::File(path) => format!("reading {}", path.display()),
            Self::Url { url, .. } => format!("fetching {url}"),
        })?;
        Ok(KeySet::parse(&document)?)
    }

    async fn document(&self) -> anyhow::Result<Bytes> {
        match self {
            Self::File(path) => Ok(tokio::fs::read(path).await?.into()),
            Self::Url { url, authorities } => ask(url, authorities.as_deref()).await,
        }
    }
}

/// By a connection of its own: it is asked seldom, and the authorities' file may have been renewed meanwhile.
async fn ask(url: &Uri, authorities: Option<&Path>) -> anyhow::Result<Bytes> {
    let client = keeping::<Empty<Bytes>>(connector(tls::client(authorities)?, TIME_MAX));
    let answer = client.get(url.clone()).await?;
    if !answer.status().is_success() {
        bail!("the answer is {}", answer.status());
    }
    let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow!(error))?.to_bytes())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::telemetry::chain;

    /// What is said of a server that answers this, and goes on a byte at a time if it drips.
    async fn refusal(head: &str, body: &str, drips: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
        let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            // The client goes when it has heard enough.
            stream.write_all(answer.as_bytes()).await.ok();
            let mut beats = tokio::time::interval(Duration::from_millis(100));
            while drips && stream.write_all(b" ").await.is_ok() {
                beats.tick().await;
            }
        });
        let error = Source::Url { url, authorities: None }.read().await.unwrap_err();
        chain(error.as_ref())
    }

    #[tokio::test]
    async fn a_server_that_answers_too_much_too_slowly_or_something_else_is_no_source() {
        let told = refusal("302 Found\r\nLocation: http://127.0.0.1:1/keys", "", false).await;
        assert!(told.contains("the answer is 302"), "{told}");
        let told = refusal("200 OK", &"x".repeat(BYTES_MAX + 1), false).await;
        assert!(told.contains("limit"), "{told}");
        let told = refusal("200 OK", "{", true).await;
        assert!(told.contains("no answer in time"), "{told}");
        let told = refusal("200 OK", r#"{"keys":[]}"#, false).await;
        assert!(told.contains("no public key"), "{told}");
    }
}
