//! Who may do what: docs/access.md has one table, and the real services do what it says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use reqwest::{Client, Method};
use schema::database::{NOTIFICATIONS, PAYMENTS};
use schema::scope;
use serde_json::{Value, json};
use stack::Engine;
use stack::home::Home;
use stack::issuer::Issuer;
use stack::testing::{Database, Service, binary, eventually};

use crate::identity::Guarded;

/// The columns, in their order.
const CALLERS: [&str; 7] =
    ["anonymous", "expired", "wrong audience", "other customer", "own", "operator", "notify-svc"];

/// Statuses by operation, such as `GET /api/orders`.
fn table() -> BTreeMap<String, Vec<u16>> {
    let page = std::fs::read_to_string(Home::find().unwrap().root().join("docs/access.md")).unwrap();
    assert!(page.contains(&format!("| operation | {} |", CALLERS.join(" | "))), "the columns are {CALLERS:?}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let operations = rows.filter(|(operation, _)| operation.contains(" /"));
    let statuses = |cells: &str| cells.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    operations.map(|(operation, cells)| (operation.to_owned(), statuses(cells))).collect()
}

/// A token of each caller; none for the first.
fn tokens(issuer: &Issuer) -> [Option<String>; 7] {
    let customer = |claims: Value| {
        let mut all = json!({"sub": "ada", "scope": scope::ORDERS});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        issuer.token_of(&all).unwrap()
    };
    let others = [scope::ORDERS_ALL, scope::NOTIFICATIONS, scope::OPERATIONS];
    let service = [scope::RECIPIENTS];
    [
        None,
        Some(customer(json!({"exp": Utc::now().timestamp() - 3600}))),
        Some(customer(json!({"aud": "another"}))),
        Some(customer(json!({"sub": "bob"}))),
        Some(customer(json!({}))),
        Some(issuer.token("operator", &others).unwrap()),
        Some(issuer.token("notify-svc", &service).unwrap()),
    ]
}

/// The services, each with one thing in it to ask for, and the thing's id.
struct Shop {
    orders: Guarded,
    others: [(Service, Database); 2],
    ids: [String; 3],
}

impl Shop {
    async fn open() -> Shop {
        let orders = Guarded::start(Engine::MySql).await;
        let notifications = Database::create(Engine::MySql, &NOTIFICATIONS).await;
        let payments = Database::create(Engine::MySql, &PAYMENTS).await;
        let id = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10";
        let bytes = id.replace('-', "");
        for (database, insert) in [
            (
                &notifications,
                format!(
                    "INSERT INTO notifications (id, event_id, event_type, order_id, product, quantity) \
                VALUES (X'{bytes}', X'{bytes}', 'order.created', X'{bytes}', 'Mug', 1)"
                ),
            ),
            (
                &payments,
                format!(
                    "INSERT INTO payments (id, order_id, amount_minor, currency, state, charge_id) \
                VALUES (X'{bytes}', X'{bytes}', 1000, 'EUR', 'due', X'{bytes}')"
                ),
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(insert)).execute(&database.admin_pool().await).await.unwrap();
        }
        let service = |name: &str, url: String| {
            // They answer without a broker, and are not ready.
            let service = Service::new(binary(name)).env("DATABASE_URL", url).env("NATS_URL", "nats://127.0.0.1:1");
            Issuer::settings(&orders.jwks).into_iter().fold(service, |service, (name, value)| service.env(name, value))
        };
        let mut notify_svc = service("notify-svc", notifications.url("notify_svc")).env("EMAIL_TRANSPORT", "log");
        let mut payment_svc = service("payment-svc", payments.url("payment_svc"))
            .env("PAYMENT_PROVIDER", "simulated")
            .env("PAYMENT_SIMULATOR_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/access"));
        notify_svc.spawn();
        payment_svc.spawn();
        let placed = orders.place(&orders.issuer.token("ada", &[scope::ORDERS]).unwrap(), "key", "Mug").await;
        let ids = [placed.body["id"].as_str().unwrap().to_owned(), id.to_owned(), id.to_owned()];
        Shop { orders, others: [(notify_svc, notifications), (payment_svc, payments)], ids }
    }

    /// Each service, and the id of what is there.
    fn services(&self) -> [(&Service, &str); 3] {
        let [notify_svc, payment_svc] = self.others.each_ref().map(|(service, _)| service);
        let [order, notification, payment] = self.ids.each_ref().map(String::as_str);
        [(&self.orders.service, order), (notify_svc, notification), (payment_svc, payment)]
    }
}

/// The operations that a service documents.
async fn operations(service: &Service) -> Vec<(Method, String)> {
    let url = service.url("/docs/openapi.json");
    eventually("it has the issuer's keys", async || {
        let waits_for = async || reqwest::get(service.admin_url("/readyz")).await?.text().await;
        waits_for().await.is_ok_and(|said| !said.contains("the issuer's keys"))
    })
    .await;
    let document: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(|method| (method.to_uppercase().parse().unwrap(), path.clone()))
    });
    operations.collect()
}

/// What is answered; whoever places an order sends a good one.
async fn ask((method, url): (&Method, &str), token: Option<&str>) -> u16 {
    let mut request = Client::new().request(method.clone(), url);
    if *method == Method::POST && url.ends_with("/api/orders") {
        request = request.json(&json!({"product": "Mug", "quantity": 1, "email": "ada@example.com"}));
    }
    if url.ends_with("/api/orders/search") {
        let form = ("content-type", "application/x-www-form-urlencoded");
        request = request.header(form.0, form.1).body("email=ada@example.com");
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn everybody_gets_from_each_operation_what_this_table_says() {
    let (shop, table) = (Shop::open().await, table());
    let tokens = tokens(&shop.orders.issuer);
    let (mut documented, mut wrong) = (BTreeSet::new(), Vec::new());
    for (service, id) in shop.services() {
        let operations = operations(service).await;
        for (method, path) in operations {
            let operation = format!("{method} {path}");
            let said =
                table.get(&operation).unwrap_or_else(|| panic!("docs/access.md does not say who may {operation}"));
            let url = service.url(&path.replace("{id}", id));
            let mut answered = Vec::new();
            for token in &tokens {
                answered.push(ask((&method, &url), token.as_deref()).await);
            }
            if answered != *said {
                wrong.push(format!("{operation}: {answered:?}, and the table says {said:?}"));
            }
            documented.insert(operation);
        }
    }
    assert!(wrong.is_empty(), "for {CALLERS:?}:\n{}", wrong.join("\n"));
    let unknown: Vec<_> = table.keys().filter(|operation| !documented.contains(*operation)).collect();
    assert!(unknown.is_empty(), "no document has {unknown:?}");
}
