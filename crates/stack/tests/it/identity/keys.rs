//! The issuer's keys change, and can't be had.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schema::database::ORDERS;
use schema::scope;
use stack::Engine;
use stack::issuer::Issuer;
use stack::testing::{Database, Port, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Guarded, answer, order_svc};

/// Serves one document to everybody, until it is dropped.
struct Server {
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(port: u16, document: String) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{document}",
                    document.len()
                );
                // A client that hangs up early is no concern of a server's.
                if stream.read(&mut [0; 4096]).await.is_ok() {
                    stream.write_all(answer.as_bytes()).await.ok();
                }
            }
        });
        Server { asked, serving }
    }

    async fn stop(self) {
        self.serving.abort();
        self.serving.await.ok();
    }
}

#[tokio::test]
async fn a_new_key_is_taken_at_its_first_token_and_a_withdrawn_one_refused() {
    let guarded = Guarded::start(Engine::MySql).await;
    let second = Issuer::generate("second").unwrap();
    let tokens = [&guarded.issuer, &second].map(|issuer| issuer.token("ada", &[scope::ORDERS]).unwrap());
    assert_eq!(guarded.list(&tokens[0]).await.status, 200);
    guarded.list(&tokens[1]).await.refused(401, "invalid-token");
    guarded.publish(&second.jwks());
    eventually("the new key is fetched", async || guarded.list(&tokens[1]).await.status == 200).await;
    guarded.list(&tokens[0]).await.refused(401, "invalid-token");
}

#[tokio::test]
async fn a_key_set_that_is_away_or_broken_leaves_the_last_keys() {
    let guarded = Guarded::start(Engine::MySql).await;
    let good = guarded.issuer.token("ada", &[scope::ORDERS]).unwrap();
    let unknown = Issuer::generate("unknown").unwrap().token("ada", &[scope::ORDERS]).unwrap();
    let said = |words: &str| guarded.service.log().matches(words).count();
    for (times, broken) in [Some(r#"{"keys":[]}"#), None].into_iter().enumerate() {
        match broken {
            Some(text) => guarded.publish(text),
            None => std::fs::remove_file(&guarded.jwks).unwrap(),
        }
        eventually("it has noticed", async || {
            guarded.list(&unknown).await.refused(401, "invalid-token");
            said("the issuer's keys can't be had") == times + 1
        })
        .await;
        assert_eq!(guarded.list(&good).await.status, 200);
        guarded.publish(&guarded.issuer.jwks());
        eventually("it has them again", async || said("keys can be had again") == times + 1).await;
        assert_eq!(guarded.list(&good).await.status, 200);
    }
}

#[tokio::test]
async fn a_key_set_that_is_away_at_the_start_is_waited_for_and_needed_no_more_afterwards() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (issuer, port) = (Issuer::generate("first").unwrap(), Port::reserve());
    let mut service = order_svc(&database)
        .env("AUTH_ISSUER", Issuer::NAME)
        .env("AUTH_AUDIENCE", Issuer::AUDIENCE)
        .env("AUTH_JWKS_URL", format!("http://127.0.0.1:{}/keys", port.number()));
    service.spawn();
    let url = service.url("/api/orders");
    let token = issuer.token("ada", &[scope::ORDERS]).unwrap();
    let list = async || answer(reqwest::Client::new().get(&url).bearer_auth(&token)).await;
    eventually("it serves", async || reqwest::get(&url).await.is_ok()).await;
    let away = list().await;
    assert_eq!((away.status, away.body["code"].as_str()), (503, Some("issuer-unavailable")));
    assert!(away.headers.contains_key("retry-after"));
    let ready = async || reqwest::get(service.admin_url("/readyz")).await.unwrap().text().await.unwrap();
    assert!(ready().await.contains("waiting for the issuer's keys"));

    let server = Server::start(port.number(), issuer.jwks()).await;
    eventually("the keys are fetched", async || list().await.status == 200).await;
    eventually("it is ready", async || ready().await.starts_with("ready")).await;
    server.stop().await;
    assert_eq!(list().await.status, 200, "the keys are kept");
}

#[tokio::test]
async fn made_up_keys_cost_the_issuer_few_questions() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (issuer, port) = (Issuer::generate("first").unwrap(), Port::reserve());
    let server = Server::start(port.number(), issuer.jwks()).await;
    let service = order_svc(&database)
        .env("AUTH_ISSUER", Issuer::NAME)
        .env("AUTH_AUDIENCE", Issuer::AUDIENCE)
        .env("AUTH_JWKS_URL", format!("http://127.0.0.1:{}/keys", port.number()))
        .start()
        .await;
    let began = std::time::Instant::now();
    for n in 0..200 {
        let token = Issuer::generate(&format!("made up {n}")).unwrap().token("eve", &[scope::ORDERS]).unwrap();
        let request = reqwest::Client::new().get(service.url("/api/orders")).bearer_auth(token);
        answer(request).await.refused(401, "invalid-token");
    }
    // At the start, once a minute, and once in five seconds at most for such tokens; one more for where a span begins.
    let seconds = began.elapsed().as_secs();
    let bound = 3 + seconds / 60 + seconds / 5;
    let asked = server.asked.load(Ordering::SeqCst);
    assert!(asked as u64 <= bound, "{asked} questions in {seconds} s");
    server.stop().await;
}
