//! Where an issuer's keys come from: a file, or a URL that is asked with bounds on time and size.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use url::Url;

use super::keys::KeySet;
use crate::connector::{Connector, connector};
use crate::tls;

/// A request that needs keys waits so long at most.
const TIME_MAX: Duration = Duration::from_secs(3);
const BYTES_MAX: usize = 1024 * 1024;

type HttpClient = Client<Connector, Empty<Bytes>>;

/// A JSON Web Key Set that can be read again.
#[derive(Debug)]
pub(super) enum Source {
    File(PathBuf),
    Url(Box<(Uri, HttpClient)>),
}

impl Source {
    /// The server need not be up yet. It is trusted as the system's authorities have it; redirects are not followed.
    ///
    /// # Errors
    /// If the URL is none of HTTP.
    pub(super) fn url(url: &Url) -> anyhow::Result<Self> {
        let connector = connector(tls::client(None)?, TIME_MAX);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self::Url(Box::new((url.as_str().parse()?, client))))
    }

    /// The keys as they are now.
    ///
    /// # Errors
    /// If they can't be had, or none is of use.
    pub(super) async fn read(&self) -> anyhow::Result<KeySet> {
        let document = match self {
            Self::File(path) => {
                tokio::fs::read(path).await.with_context(|| format!("reading {}", path.display()))?.into()
            }
            Self::Url(server) => {
                let (url, client) = &**server;
                let asked = tokio::time::timeout(TIME_MAX, ask(url, client)).await;
                asked
                    .unwrap_or_else(|_| Err(anyhow!("no answer in time")))
                    .with_context(|| format!("fetching {url}"))?
            }
        };
        Ok(KeySet::parse(&document)?)
    }
}

async fn ask(url: &Uri, client: &HttpClient) -> anyhow::Result<Bytes> {
    let answer = client.get(url.clone()).await?;
    if !answer.status().is_success() {
        bail!("the answer is {}", answer.status());
    }
    let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow!(error))?.to_bytes())
}
