//! A Stripe that does what localstripe can't: it answers by a script, over real HTTP, and notes what it was asked.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use axum::serve::Listener;
use futures::stream;
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    breaks_off: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string(), breaks_off: false }
    }

    /// An error with this code, about this parameter.
    pub(crate) fn error(status: u16, code: &str, param: &str) -> Self {
        Self::new(status, &json!({ "error": { "code": code, "param": param, "message": "so it is" } }))
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { body: body.to_owned(), ..Self::new(status, &Value::Null) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The connection ends when half of the body was sent.
    pub(crate) fn breaks_off(self) -> Self {
        Self { breaks_off: true, ..self }
    }
}

/// `pi_1`, in a state.
pub(crate) fn intent(status: &str) -> Answer {
    Answer::new(200, &json!({ "id": "pi_1", "object": "payment_intent", "status": status, "last_payment_error": null }))
}

/// A request: method and path, idempotency key, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) what: String,
    pub(crate) key: Option<String>,
    pub(crate) bearer: String,
}

#[derive(Clone, Default)]
struct Books {
    script: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server. Lives as long as the test's runtime.
pub(crate) struct StandIn {
    pub(crate) url: String,
    books: Books,
}

impl StandIn {
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(url, listener, script)
    }

    /// With a certificate for 127.0.0.1, which comes back in PEM.
    pub(crate) async fn start_with_tls(script: impl IntoIterator<Item = Answer>) -> (Self, String) {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = signing_key.serialize_der().try_into().unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", tcp.local_addr().unwrap());
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        (Self::serve(url, listener, script), cert.pem())
    }

    fn serve<L: Listener<Addr = SocketAddr>>(
        url: String,
        listener: L,
        script: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let books = Books { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Books::default() };
        let router = Router::new().fallback(answer).with_state(books.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, books }
    }

    /// What it was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.books.asked.lock().unwrap())
    }

    /// As [`StandIn::asked`], methods and paths only.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }
}

async fn answer(State(books): State<Books>, request: Request<Body>) -> Response<Body> {
    let header = |headers: &HeaderMap, name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    books.asked.lock().unwrap().push(Asked {
        what: format!("{} {}", request.method(), request.uri()),
        key: header(request.headers(), "idempotency-key"),
        bearer: header(request.headers(), "authorization").unwrap_or_default(),
    });
    let next = books.script.lock().unwrap().pop_front();
    let Answer { status, headers, body, breaks_off } =
        next.unwrap_or_else(|| Answer::error(418, "the_script_is_over", ""));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    if !breaks_off {
        return response.body(Body::from(body)).unwrap();
    }
    let half = body[..body.len() / 2].to_owned();
    let pieces = [Ok(half), Err(io::Error::other("the connection is cut here"))];
    response.header("content-length", body.len()).body(Body::from_stream(stream::iter(pieces))).unwrap()
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // A client that does not trust us goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
