//! A stand-in for the one operation of order-svc that notify-svc asks: to whom an order's emails go. For tests and benchmarks whose
//! events are of no order-svc.
//!
//! It answers on a thread of its own, whatever runtime comes and goes. An order that nobody told it of is Ada's. Leaves out all
//! else that order-svc does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What it says of an order that it was not told of.
pub const ADA: &str = "ada@example.com";

/// What is answered about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its customer has this address.
    Address(String),
    /// There is no such order.
    NoOrder,
    /// The address was erased.
    Erased,
    /// Something that says nothing about the order.
    Status(u16),
    /// This text, as if it were an answer.
    Text(String),
}

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<HashMap<Uuid, Answer>>,
    /// To all, whichever order it is about.
    to_all: Mutex<Option<Answer>>,
    /// The one token that is taken, if one is asked for.
    token: Mutex<Option<String>>,
    asked: Mutex<usize>,
}

/// Listens until the process ends.
#[derive(Clone, Debug)]
pub struct Recipients {
    port: u16,
    shared: Arc<Shared>,
}

impl Recipients {
    /// One of its own.
    ///
    /// # Panics
    /// If there is no port or thread left.
    #[must_use]
    pub fn start() -> Recipients {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let serving = serve(listener, Arc::clone(&shared));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        thread::spawn(move || runtime.block_on(serving));
        Recipients { port, shared }
    }

    /// The one of this process.
    #[must_use]
    pub fn of_this_process() -> &'static Recipients {
        static ONE: LazyLock<Recipients> = LazyLock::new(Recipients::start);
        &ONE
    }

    /// What `ORDERS_URL` is to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Tells whose an order is.
    pub fn tell(&self, order: Uuid, address: &str) {
        self.answer(order, Answer::Address(address.to_owned()));
    }

    /// What is answered about an order from now on.
    pub fn answer(&self, order: Uuid, answer: Answer) {
        locked(&self.shared.orders).insert(order, answer);
    }

    /// What is answered about every order from now on; none: about each its own.
    pub fn answer_all(&self, answer: Option<Answer>) {
        *locked(&self.shared.to_all) = answer;
    }

    /// Asks for this token from now on.
    pub fn ask_for(&self, token: &str) {
        *locked(&self.shared.token) = Some(token.to_owned());
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        *locked(&self.shared.asked)
    }

    /// The orders that it was told of, each with its address.
    #[must_use]
    pub fn orders(&self) -> HashMap<Uuid, String> {
        let orders = locked(&self.shared.orders);
        let addresses = orders.iter().filter_map(|(order, answer)| match answer {
            Answer::Address(address) => Some((*order, address.clone())),
            _ => None,
        });
        addresses.collect()
    }
}

impl Shared {
    fn say(&self, request: &Request<Incoming>) -> Answer {
        *locked(&self.asked) += 1;
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if locked(&self.token).as_deref().is_some_and(|wanted| token != Some(wanted)) {
            return Answer::Status(401);
        }
        if let Some(answer) = &*locked(&self.to_all) {
            return answer.clone();
        }
        let path = request.uri().path().strip_prefix("/api/orders/").and_then(|path| path.strip_suffix("/recipient"));
        match path.and_then(|id| id.parse().ok()) {
            Some(order) => locked(&self.orders).get(&order).cloned().unwrap_or_else(|| Answer::Address(ADA.to_owned())),
            None => Answer::Status(404),
        }
    }
}

/// What is in there is whole whatever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("it is non-blocking");
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request: Request<Incoming>| {
            let response = response(&shared.say(&request));
            async move { Ok::<_, Infallible>(response) }
        });
        // Who hangs up is no affair of others.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() });
    }
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Answer::Address(address) => (StatusCode::OK, json!({ "email": address }).to_string()),
        Answer::NoOrder => (StatusCode::NOT_FOUND, json!({ "code": "order-not-found" }).to_string()),
        Answer::Erased => (StatusCode::GONE, json!({ "code": "erased" }).to_string()),
        Answer::Status(status) => (StatusCode::from_u16(*status).expect("a status"), Value::Null.to_string()),
        Answer::Text(text) => (StatusCode::OK, text.clone()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
