//! Tokens at a real order-svc: which are taken, which prove nothing, and what becomes of it when the issuer's keys change.

mod customers;
mod keys;
mod server;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, RequestBuilder};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use schema::database::ORDERS;
use schema::scope;
use serde_json::{Value, json};
use stack::Engine;
use stack::issuer::Issuer;
use stack::testing::{Database, Service, binary};
use tempfile::TempDir;

/// An order-svc that asks for tokens, and their issuer.
pub struct Guarded {
    pub service: Service,
    pub issuer: Issuer,
    pub jwks: PathBuf,
    pub database: Database,
    _folder: TempDir,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Guarded {
    pub async fn start(engine: Engine) -> Guarded {
        Guarded::with(engine, &[]).await
    }

    /// With further settings.
    pub async fn with(engine: Engine, settings: &[(&str, &str)]) -> Guarded {
        let database = Database::create(engine, &ORDERS).await;
        let (issuer, folder) = (Issuer::generate("first").unwrap(), tempfile::tempdir().unwrap());
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let mut service = order_svc(&database);
        for (name, value) in Issuer::settings(&jwks) {
            service = service.env(name, value);
        }
        for (name, value) in settings {
            service = service.env(name, value);
        }
        Guarded { service: service.start().await, issuer, jwks, database, _folder: folder }
    }

    /// Replaces the key set, as a whole.
    pub fn publish(&self, jwks: &str) {
        let written = self.jwks.with_extension("new");
        std::fs::write(&written, jwks).unwrap();
        std::fs::rename(written, &self.jwks).unwrap();
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        Client::new().get(self.service.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        Client::new().post(self.service.url(path))
    }

    /// The list of orders for a token.
    pub async fn list(&self, token: &str) -> Answer {
        answer(self.get("/api/orders").bearer_auth(token)).await
    }
}

/// One that is not told yet whom to ask for tokens.
pub fn order_svc(database: &Database) -> Service {
    let service = Service::new(binary("order-svc")).env("DATABASE_URL", database.url("order_svc"));
    service.env("NATS_URL", "nats://127.0.0.1:1")
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    Answer { status, headers, body }
}

impl Answer {
    /// Checks that this is a problem, and returns its challenge.
    pub fn refused(&self, status: u16, code: &str) -> &str {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self.headers["www-authenticate"].to_str().unwrap()
    }
}

/// The claims of a good token of a customer, but for what is changed.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "ada", "scope": "orders"});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused_with_its_reason() {
    let guarded = Guarded::start(Engine::MySql).await;
    let (issuer, stranger) = (&guarded.issuer, Issuer::generate("first").unwrap());
    let now = Utc::now().timestamp();
    let of = |changes: Value| issuer.token_of(&claims(changes)).unwrap();
    let good = of(json!({}));
    assert_eq!(guarded.list(&good).await.status, 200);
    let parts: Vec<&str> = good.split('.').collect();
    let forged = URL_SAFE_NO_PAD.encode(json!({"sub": "eve", "scope": "orders orders:all"}).to_string());
    let all: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let under = |header: Value| issuer.sign(&header, &all).unwrap();
    let refused = [
        (of(json!({"exp": now - 3600})), "the token has expired"),
        (of(json!({"exp": null})), "the token lacks one of exp, iss and aud"),
        (of(json!({"exp": "tomorrow"})), "the token lacks one of exp, iss and aud"),
        (of(json!({"nbf": now + 3600})), "the token is not good yet"),
        (of(json!({"aud": "another"})), "the token is for another audience"),
        (of(json!({"aud": ["another", "third"]})), "the token is for another audience"),
        (of(json!({"aud": null})), "the token lacks one of exp, iss and aud"),
        (of(json!({"iss": "https://issuer.localhost/"})), "the token is of another issuer"),
        (of(json!({"iss": ["https://issuer.example", Issuer::NAME]})), "the token is malformed"),
        (of(json!({"iss": null})), "the token lacks one of exp, iss and aud"),
        (of(json!({"sub": null})), "the token has no sub"),
        (of(json!({"sub": "ada "})), "sub is not 1 to 255 visible ASCII characters"),
        (of(json!({"sub": 7})), "the token is malformed"),
        (stranger.token("ada", &[scope::ORDERS]).unwrap(), "the token's signature is wrong"),
        (format!("{}.{forged}.{}", parts[0], parts[2]), "the token's signature is wrong"),
        (format!("{}.{}.", parts[0], parts[1]), "the token's signature is wrong"),
        (under(json!({"alg": "ES256", "kid": "second"})), "the issuer has no such key"),
        (under(json!({"alg": "ES384", "kid": "first"})), "the issuer has no such key"),
        (under(json!({"alg": "RS256", "kid": "first"})), "the issuer has no such key"),
        (under(json!({"alg": "ES256", "kid": "first", "crit": ["x"], "x": 1})), "the token is malformed"),
        (good[..good.len() / 2].to_owned(), "the token is no JWT of a known algorithm"),
        ("x".to_owned(), "the token is no JWT of a known algorithm"),
        (of(json!({"padding": "x".repeat(9000)})), "the token is longer than 8192 bytes"),
    ];
    for (token, reason) in refused {
        let answer = guarded.list(&token).await;
        let challenge = format!(r#"Bearer realm="api", error="invalid_token", error_description="{reason}""#);
        assert_eq!(answer.refused(401, "invalid-token"), challenge, "{token}");
        assert_eq!(answer.body["detail"], reason);
    }
}

#[tokio::test]
async fn a_token_without_a_signature_or_signed_by_what_is_published_is_refused() {
    let guarded = Guarded::start(Engine::MySql).await;
    let claims = json!({"iss": Issuer::NAME, "aud": Issuer::AUDIENCE, "exp": 4_102_444_800_u64, "sub": "ada", "scope": "orders"});
    for algorithm in ["none", "None", "NONE", ""] {
        let message = Issuer::message(&json!({"alg": algorithm, "kid": "first"}), &claims);
        let answer = guarded.list(&format!("{message}.")).await;
        answer.refused(401, "invalid-token");
    }
    let public = guarded.issuer.public_key();
    let (jwk, jwks) = (guarded.issuer.jwk().to_string(), guarded.issuer.jwks());
    for secret in [public, &public[1..], jwk.as_bytes(), jwks.as_bytes(), b""] {
        for (name, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            let message = Issuer::message(&json!({"alg": name, "kid": "first"}), &claims);
            let signature = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            let challenge = guarded.list(&token).await;
            assert!(challenge.refused(401, "invalid-token").contains("not asymmetric"), "{name}");
        }
    }
}

#[tokio::test]
async fn a_request_without_one_bearer_token_is_told_how_to_sign_in() {
    let guarded = Guarded::start(Engine::MySql).await;
    let token = guarded.issuer.token("ada", &[scope::ORDERS]).unwrap();
    let list = || guarded.get("/api/orders");
    for request in [
        list(),
        list().basic_auth("ada", Some("secret")),
        list().header(AUTHORIZATION, &token),
        guarded.get(&format!("/api/orders?access_token={token}")),
    ] {
        assert_eq!(answer(request).await.refused(401, "unauthenticated"), r#"Bearer realm="api""#);
    }
    let two = answer(list().bearer_auth(&token).header(AUTHORIZATION, format!("Bearer {token}"))).await;
    assert!(two.refused(401, "invalid-token").contains("more than one"));
    assert_eq!(
        answer(list().header(AUTHORIZATION, format!("bearer {token}"))).await.status,
        200,
        "a scheme has no case"
    );
    // How much of a head is read before it is too much depends on how it arrives.
    let oversize = answer(list().bearer_auth("x".repeat(100_000))).await.status;
    assert!(matches!(oversize, 401 | 431), "{oversize}");
    for open in ["/health", "/health/order-service", "/docs/openapi.json", "/docs/"] {
        assert_eq!(answer(guarded.get(open)).await.status, 200, "{open}");
    }
    assert_eq!(answer(guarded.get("/nowhere")).await.status, 404);
}

#[tokio::test]
async fn a_scope_is_read_from_both_claims_and_its_lack_is_403() {
    let guarded = Guarded::start(Engine::MySql).await;
    let token = |claims: Value| guarded.issuer.token_of(&claims).unwrap();
    for claims in [
        json!({"sub": "ada", "scope": "openid orders"}),
        json!({"sub": "ada", "scp": "orders email"}),
        json!({"sub": "ada", "scp": ["email", "orders"]}),
        json!({"scope": "email", "scp": ["orders:all"]}),
    ] {
        assert_eq!(guarded.list(&token(claims.clone())).await.status, 200, "{claims}");
    }
    for scopes in ["", "order", "ORDERS", "orders:al", "notifications operations"] {
        let answer = guarded.list(&token(json!({"sub": "ada", "scope": scopes}))).await;
        let challenge = answer.refused(403, "insufficient-scope");
        assert_eq!(challenge, r#"Bearer realm="api", error="insufficient_scope", scope="orders""#, "{scopes}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway_and_no_more() {
    let guarded = Guarded::with(Engine::MySql, &[("AUTH_LEEWAY", "300s")]).await;
    let now = Utc::now().timestamp();
    for (changes, status) in [
        (json!({"exp": now - 30}), 200),
        (json!({"exp": now - 1000}), 401),
        (json!({"nbf": now + 200}), 200),
        (json!({"nbf": now + 2000}), 401),
    ] {
        let token = guarded.issuer.token_of(&claims(changes.clone())).unwrap();
        assert_eq!(guarded.list(&token).await.status, status, "{changes}");
    }
}

#[tokio::test]
async fn a_token_by_each_asymmetric_algorithm_is_taken() {
    let guarded = Guarded::start(Engine::MySql).await;
    let random = SystemRandom::new();
    let curve = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let p384 = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &random).unwrap();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed25519 = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = p384.public_key().as_ref()[1..].split_at(48);
    // Its private half was thrown away.
    let rsa: Value = serde_json::from_str(include_str!("identity/rsa_tokens.json")).unwrap();
    let keys = json!({"keys": [
        {"kty": "EC", "crv": "P-384", "kid": "p384", "x": encoded(x), "y": encoded(y)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": encoded(ed25519.public_key().as_ref())},
        rsa["jwk"],
    ]});
    guarded.publish(&keys.to_string());
    let claims = json!({"iss": Issuer::NAME, "aud": Issuer::AUDIENCE, "exp": 4_102_444_800_u64, "sub": "ada", "scope": "orders"});
    let message = |algorithm: &str, id: &str| Issuer::message(&json!({"alg": algorithm, "kid": id}), &claims);
    let (es384, eddsa) = (message("ES384", "p384"), message("EdDSA", "ed25519"));
    let mut tokens = vec![
        format!("{es384}.{}", encoded(p384.sign(&random, es384.as_bytes()).unwrap().as_ref())),
        format!("{eddsa}.{}", encoded(ed25519.sign(eddsa.as_bytes()).as_ref())),
    ];
    tokens.extend(rsa["tokens"].as_object().unwrap().values().map(|token| token.as_str().unwrap().to_owned()));
    for token in tokens {
        assert_eq!(guarded.list(&token).await.status, 200, "{token}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[9] ^= 1;
        let answer = guarded.list(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes))).await;
        assert!(answer.refused(401, "invalid-token").contains("signature"), "{token}");
    }
}

#[tokio::test]
async fn a_service_on_the_network_starts_only_if_it_is_told_whom_to_ask() {
    let database = Database::create(Engine::MySql, &ORDERS).await;
    let mut service = order_svc(&database).env("HTTP_ADDR", "0.0.0.0:1");
    service.spawn();
    assert_eq!(service.exited().await.code(), Some(64));
    assert!(service.log().contains("AUTH=none if nobody is to be asked"), "{}", service.log());
    let service = order_svc(&database).start().await;
    let said = service.log();
    assert_eq!(said.matches("nobody is asked for a token").count(), 1, "{said}");
}
