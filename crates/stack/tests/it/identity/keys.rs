//! The issuer's keys change, and can't be had.

use reqwest::Client;
use schema::database::ORDERS;
use schema::scope;
use stack::Engine;
use stack::issuer::Issuer;
use stack::testing::{Database, Port, Service, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::server::Server;
use super::{Answer, Guarded, answer, order_svc};
use crate::authority::{Authority, Flaw};

/// An order-svc that asks this URL for the keys of [`Issuer`]s.
fn asking(database: &Database, url: &str) -> Service {
    let service = order_svc(database).env("AUTH_ISSUER", Issuer::NAME).env("AUTH_AUDIENCE", Issuer::AUDIENCE);
    service.env("AUTH_JWKS_URL", url)
}

async fn list(service: &Service, token: &str) -> Answer {
    answer(Client::new().get(service.url("/api/orders")).bearer_auth(token)).await
}

async fn readiness(service: &Service) -> String {
    reqwest::get(service.admin_url("/readyz")).await.unwrap().text().await.unwrap()
}

impl Answer {
    /// Whether nobody can say now if the token is good.
    fn is_unjudged(&self) -> bool {
        let is_unjudged = self.status == 503 && self.body["code"] == "issuer-unavailable";
        assert!(!is_unjudged || self.headers.contains_key("retry-after"), "{:?}", self.headers);
        is_unjudged
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
            let answer = guarded.list(&unknown).await;
            answer.is_unjudged() && said("the issuer's keys can't be had") == times + 1
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
    let mut service = asking(&database, &format!("http://127.0.0.1:{}/keys", port.number()));
    service.spawn();
    let url = service.url("/api/orders");
    let token = issuer.token("ada", &[scope::ORDERS]).unwrap();
    eventually("it serves", async || reqwest::get(&url).await.is_ok()).await;
    assert!(list(&service, &token).await.is_unjudged());
    assert!(readiness(&service).await.contains("waiting for the issuer's keys"));

    let server = Server::start(port.number(), issuer.jwks()).await;
    eventually("the keys are fetched", async || list(&service, &token).await.status == 200).await;
    eventually("it is ready", async || readiness(&service).await.starts_with("ready")).await;
    server.stop().await;
    assert_eq!(list(&service, &token).await.status, 200, "the keys are kept");
}

#[tokio::test]
async fn a_token_whose_key_can_not_be_fetched_is_not_called_bad() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let [first, second] = ["first", "second"].map(|id| Issuer::generate(id).unwrap());
    let [old, new] = [&first, &second].map(|issuer| issuer.token("ada", &[scope::ORDERS]).unwrap());
    let port = Port::reserve();
    let server = Server::start(port.number(), first.jwks()).await;
    let service = asking(&database, &format!("http://127.0.0.1:{}/keys", port.number())).start().await;
    list(&service, &new).await.refused(401, "invalid-token");

    server.stop().await;
    eventually("it has noticed", async || list(&service, &new).await.is_unjudged()).await;
    for n in 0..20 {
        let made_up = Issuer::generate(&format!("made up {n}")).unwrap().token("eve", &[scope::ORDERS]).unwrap();
        assert!(list(&service, &made_up).await.is_unjudged());
    }
    let stranger = Issuer::generate("first").unwrap().token("eve", &[scope::ORDERS]).unwrap();
    list(&service, &stranger).await.refused(401, "invalid-token");
    assert_eq!(list(&service, &old).await.status, 200, "others notice nothing");
    assert!(readiness(&service).await.starts_with("ready"));

    let server = Server::start(port.number(), second.jwks()).await;
    eventually("the new key is taken", async || list(&service, &new).await.status == 200).await;
    list(&service, &old).await.refused(401, "invalid-token");
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_breaks_off_no_fetch() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let [first, second] = ["first", "second"].map(|id| Issuer::generate(id).unwrap());
    let port = Port::reserve();
    let server = Server::start(port.number(), first.jwks()).await;
    let service = asking(&database, &format!("http://127.0.0.1:{}/keys", port.number())).start().await;
    let token = second.token("ada", &[scope::ORDERS]).unwrap();
    server.publish(second.jwks());
    server.hold(true);
    let address = service.url("");
    let mut impatient = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET /api/orders HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {token}\r\n\r\n");
    impatient.write_all(request.as_bytes()).await.unwrap();
    eventually("the keys are asked for", async || server.asked() == 2).await;
    drop(impatient);
    server.hold(false);
    eventually("the new key is taken", async || list(&service, &token).await.status == 200).await;
    assert_eq!(server.asked(), 2, "the fetch went on");
    server.stop().await;
}

#[tokio::test]
async fn an_issuer_with_an_authority_of_its_own_is_believed_if_it_is_that_one() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (issuer, port) = (Issuer::generate("first").unwrap(), Port::reserve());
    let [authority, other] = [Authority::new(), Authority::new()];
    let certificate = authority.sign("issuer", Flaw::None);
    let server = Server::start_with_tls(port.number(), issuer.jwks(), &certificate).await;
    let trusted = other.file();
    let mut service = asking(&database, &format!("https://127.0.0.1:{}/keys", port.number()))
        .env("AUTH_JWKS_CA_FILE", trusted.to_str().unwrap());
    service.spawn();
    eventually("it says why there are no keys", async || service.log().contains("UnknownIssuer")).await;
    assert_eq!(server.asked(), 0, "nothing was said to it");

    // Its authority is renewed, or was mistaken.
    std::fs::copy(authority.file(), &trusted).unwrap();
    service.until_ready().await;
    let token = issuer.token("ada", &[scope::ORDERS]).unwrap();
    assert_eq!(list(&service, &token).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn made_up_keys_cost_the_issuer_few_questions() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let (issuer, port) = (Issuer::generate("first").unwrap(), Port::reserve());
    let server = Server::start(port.number(), issuer.jwks()).await;
    let service = asking(&database, &format!("http://127.0.0.1:{}/keys", port.number())).start().await;
    let began = std::time::Instant::now();
    for n in 0..200 {
        let token = Issuer::generate(&format!("made up {n}")).unwrap().token("eve", &[scope::ORDERS]).unwrap();
        list(&service, &token).await.refused(401, "invalid-token");
    }
    // At the start, once a minute, and once in five seconds at most for such tokens; one more for where a span begins.
    let seconds = began.elapsed().as_secs();
    let bound = 3 + seconds / 60 + seconds / 5;
    let asked = server.asked();
    assert!(asked as u64 <= bound, "{asked} questions in {seconds} s");
    server.stop().await;
}
