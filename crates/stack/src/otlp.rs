//! A collector of traces that keeps what it is sent: it speaks OTLP over HTTP in protobuf, as the programs do, and answers as a
//! real one does. Leaves out all that a collector does with spans.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, span::SpanKind, status::StatusCode as Verdict};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::port::Port;

const PROTOBUF: &str = "application/x-protobuf";

/// A span that was taken.
#[derive(Clone, Debug)]
pub struct Span {
    /// The service that it is of.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// For example `SPAN_KIND_SERVER`.
    pub kind: &'static str,
    /// In hexadecimal digits.
    pub trace_id: String,
    /// In hexadecimal digits.
    pub span_id: String,
    /// In hexadecimal digits; empty if it is the first of its trace.
    pub parent_id: String,
    /// As text.
    pub attributes: BTreeMap<String, String>,
    /// Why it failed, if it did.
    pub fault: Option<String>,
}

impl Span {
    /// An attribute; empty if it has none of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct Shared {
    spans: Mutex<Vec<Span>>,
    /// The value of the header that was wanted, of each request.
    keys: Mutex<Vec<String>>,
}

/// Listens on a port of its own.
#[derive(Debug)]
pub struct Collector {
    port: Port,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Collector {
    /// The header whose values [`Collector::keys`] tells.
    pub const KEY: &str = "api-key";

    /// Takes spans from now on.
    ///
    /// # Errors
    /// If its port is taken.
    pub async fn start() -> io::Result<Collector> {
        let (port, shared) = (Port::reserve(), Arc::new(Shared::default()));
        let listener = TcpListener::bind(("127.0.0.1", port.number())).await?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Collector { port, shared, serving })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// The spans of a trace.
    #[must_use]
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        locked(&self.shared.spans).iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }

    /// What the requests had in the header [`Collector::KEY`].
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        locked(&self.shared.keys).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What is in there is whole whatever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(take(request, &shared).await) }
        });
        // Who hangs up is no affair of others.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() });
    }
}

/// Takes spans, or says what is wrong with the request.
async fn take(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if request.uri().path() != "/v1/traces" {
        return answer(StatusCode::NOT_FOUND, Bytes::new());
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header(CONTENT_TYPE.as_str()) != PROTOBUF {
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, Bytes::new());
    }
    locked(&shared.keys).push(header(Collector::KEY).to_owned());
    let Ok(body) = request.into_body().collect().await else { return answer(StatusCode::BAD_REQUEST, Bytes::new()) };
    let Ok(sent) = ExportTraceServiceRequest::decode(body.to_bytes()) else {
        return answer(StatusCode::BAD_REQUEST, Bytes::new());
    };
    for of_service in sent.resource_spans {
        let attributes = of_service.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        let service = attributes.get("service.name").cloned().unwrap_or_default();
        let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
        locked(&shared.spans).extend(spans.map(|span| taken(&service, span)));
    }
    answer(StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec().into())
}

fn answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(PROTOBUF));
    response
}

fn taken(service: &str, span: Sent) -> Span {
    let status = span.status.clone().unwrap_or_default();
    Span {
        service: service.to_owned(),
        kind: SpanKind::try_from(span.kind).unwrap_or_default().as_str_name(),
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        attributes: texts(span.attributes),
        fault: (status.code() == Verdict::Error).then_some(status.message),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        _ => String::new(),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}
