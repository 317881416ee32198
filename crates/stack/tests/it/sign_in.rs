//! Ways to sign in at NATS beside user and password: a token, an NKEY, and credentials of a server in operator mode. Each is
//! taken back by the server and renewed in its file, while the services run.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use schema::database::{NOTIFICATIONS, ORDERS};
use serde_json::{Value, json};
use stack::Engine;
use stack::server::NatsSetup;
use stack::testing::{Database, Nats, eventually};

use crate::services::{Services, metric};

/// What the server's configuration says of the one who may sign in, and the secret by which they do.
type Login = (String, String);

fn token(text: &str) -> Login {
    (format!("authorization {{ token: \"{text}\" }}"), text.to_owned())
}

fn nkey() -> Login {
    let key = KeyPair::new_user();
    (format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key()), key.seed().unwrap())
}

/// As `nsc` makes them.
struct Operator {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
    users: Vec<KeyPair>,
}

impl Operator {
    fn new() -> Self {
        let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        Self { operator, account, system, users: Vec::new() }
    }

    /// A new user, and none of those before.
    fn login(&mut self) -> Login {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                             "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
        let revoked: serde_json::Map<String, Value> =
            self.users.iter().map(|user| (user.public_key(), json!(now + 1))).collect();
        let account = json!({ "type": "account", "version": 2, "limits": limits, "revocations": revoked });
        let system =
            json!({ "type": "account", "version": 2, "limits": { "subs": -1, "data": -1, "payload": -1, "conn": -1 } });
        let user = KeyPair::new_user();
        let rights = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
                             "sub": { "deny": ["_INBOX.operator.>"] } });
        let jwt = |of: &KeyPair, by: &KeyPair, nats: &Value| {
            let claims = json!({ "jti": "test", "iat": now, "iss": by.public_key(), "name": "test", "sub": of.public_key(), "nats": nats });
            let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
            let signed = format!(
                "{}.{}",
                part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }).to_string()),
                part(claims.to_string())
            );
            let signature = BASE64_URL_SAFE_NO_PAD.encode(by.sign(signed.as_bytes()).unwrap());
            format!("{signed}.{signature}")
        };
        let configuration = format!(
            "operator: {}\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload: {{\n  {}: {}\n  {system_key}: {}\n}}",
            jwt(&self.operator, &self.operator, &json!({ "type": "operator", "version": 2 })),
            self.account.public_key(),
            jwt(&self.account, &self.operator, &account),
            jwt(&self.system, &self.operator, &system),
            system_key = self.system.public_key(),
        );
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n*** keep it secret ***\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(&user, &self.account, &rights),
            user.seed().unwrap()
        );
        self.users.push(user);
        (configuration, creds)
    }
}

/// Places orders while the server takes `first`, then only `second`, which the file gets later.
async fn is_renewed(variable: &str, first: Login, second: Login) {
    let (orders, notifications) =
        (Database::create(Engine::MySql, &ORDERS).await, Database::create(Engine::MySql, &NOTIFICATIONS).await);
    let mut nats = Nats::start_with(NatsSetup { further: first.0, ..NatsSetup::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, &first.1).unwrap();
    let secrets = ("DATABASE_URL", (variable, file.to_str().unwrap()));
    let (orders, notifications) = (|user: &str| orders.url(user), |user: &str| notifications.url(user));
    let mut services = Services::with_secrets(orders, notifications, &nats.url(), secrets).start().await;
    let before = services.place().await;
    services.until_notified(&before).await;

    nats.stop().await;
    nats.set_further(&second.0);
    nats.restart().await;
    for service in [&services.order_svc, &services.relay, &services.notify_svc] {
        eventually("its login is refused", async || metric(service, "nats_login_refused").await == 1.0).await;
    }
    for service in [&services.relay, &services.notify_svc] {
        let unready = async || {
            let answer = reqwest::get(service.admin_url("/readyz")).await.unwrap();
            answer.text().await.unwrap().contains("nats: it refuses our login")
        };
        eventually("it is not ready", unready).await;
    }
    let during = services.place().await;
    std::fs::write(&file, &second.1).unwrap();
    for service in services.each() {
        service.until_ready().await;
        eventually("its login is taken", async || metric(service, "nats_up").await == 1.0).await;
    }
    services.until_notified(&during).await;
    for service in services.each() {
        assert_eq!(service.terminate().await.code(), Some(0), "{}", service.log());
        for secret in [&first.1, &second.1].into_iter().flat_map(|secret| secret.lines()).filter(|line| line.len() > 30)
        {
            assert!(line_is_no_secret(secret) || !service.log().contains(secret), "{}", service.log());
        }
    }
}

/// What is around a secret.
fn line_is_no_secret(line: &str) -> bool {
    line.starts_with("---")
}

#[tokio::test]
async fn a_token_is_read_again_from_its_file() {
    let (first, second) =
        (token("a-token-of-more-than-thirty-characters"), token("and-another-token-as-long-as-the-first"));
    is_renewed("NATS_TOKEN_FILE", first, second).await;
}

#[tokio::test]
async fn an_nkey_is_read_again_from_its_file() {
    is_renewed("NATS_NKEY_FILE", nkey(), nkey()).await;
}

#[tokio::test]
async fn credentials_of_a_server_in_operator_mode_are_read_again_from_their_file() {
    let mut operator = Operator::new();
    let (first, second) = (operator.login(), operator.login());
    is_renewed("NATS_CREDS_FILE", first, second).await;
}
