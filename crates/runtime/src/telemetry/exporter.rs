//! Sends spans to a collector, by OTLP over HTTP.
//!
//! The SDK's thread takes spans from a bounded queue, where those that find no room are dropped, and waits for one export at a
//! time. What is sent goes by a runtime of its own: a collector that is slow or away costs spans, and no other task a turn. It is
//! told once when the collector takes no spans, and once when it takes them again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Runtime;

use super::config::Settings;
use crate::connector::{Connector, connector};
use crate::tls;

/// The exporter that the variables ask for. It need not reach the collector yet.
///
/// # Errors
/// If the variables are not what they were checked for, or the process can have no thread.
pub(super) fn exporter(settings: &Settings) -> anyhow::Result<Exporter> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build();
    let connector = connector(tls::client(settings.certificate.as_deref())?, settings.timeout);
    let client = HyperClient::new(connector, settings.timeout, None);
    let client = Client { runtime: runtime.context("starting the runtime of the exporter")?, client };
    let otlp = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_timeout(settings.timeout)
        .build()
        .context("the variables OTEL_EXPORTER_OTLP_* can't be used")?;
    Ok(Exporter { otlp, is_away: AtomicBool::new(false) })
}

/// Sends on a runtime of its own, whoever waits.
#[derive(Debug)]
struct Client {
    runtime: Runtime,
    client: HyperClient<Connector>,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

/// The exporter, which tells when the collector goes and comes.
#[derive(Debug)]
pub(super) struct Exporter {
    otlp: opentelemetry_otlp::SpanExporter,
    is_away: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.otlp.export(batch).await;
        match &exported {
            Err(error) if !self.is_away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, spans, "the collector of traces takes no spans; they are lost until it does");
            }
            Ok(()) if self.is_away.swap(false, Ordering::Relaxed) => {
                tracing::info!(spans, "the collector of traces takes spans again");
            }
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.otlp.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
