//! What is whose: orders, their events, and idempotency keys.

use std::collections::HashSet;

use futures::future::join_all;
use schema::scope;
use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::Engine;

use super::{Answer, Guarded, answer};

fn order(product: &str) -> Value {
    json!({"product": product, "quantity": 1, "email": "ada@example.com"})
}

impl Guarded {
    fn customer(&self, name: &str) -> String {
        self.issuer.token(name, &[scope::ORDERS]).unwrap()
    }

    pub async fn place(&self, token: &str, key: &str, product: &str) -> Answer {
        let request = self.post("/api/orders").bearer_auth(token).header("idempotency-key", key).json(&order(product));
        answer(request).await
    }

    async fn ids(&self, token: &str, query: &str) -> Vec<String> {
        let answer = answer(self.get(&format!("/api/orders{query}")).bearer_auth(token)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let orders = answer.body["orders"].as_array().unwrap();
        orders.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
    }
}

both_engines! {
    async fn somebody_elses_order_is_not_there(engine: Engine) {
        let guarded = Guarded::start(engine).await;
        let [ada, bob] = ["ada", "bob"].map(|name| guarded.customer(name));
        let operator = guarded.issuer.token_of(&json!({"scope": "orders:all"})).unwrap();
        let id = |placed: &Answer| placed.body["id"].as_str().unwrap().to_owned();
        let first = id(&guarded.place(&ada, "k1", "Mug").await);
        let second = id(&guarded.place(&bob, "k2", "Mug").await);
        let third = id(&guarded.place(&ada, "k3", "Mug").await);

        assert_eq!(guarded.ids(&ada, "").await, [third.clone(), first.clone()]);
        assert_eq!(guarded.ids(&ada, &format!("?limit=1&cursor={third}")).await.join(" "), first);
        assert_eq!(guarded.ids(&bob, "?status=placed").await.join(" "), second);
        assert_eq!(guarded.ids(&operator, "").await, [third, second.clone(), first.clone()]);
        assert_eq!(guarded.ids(&operator, "?email=ada@example.com&limit=1").await.len(), 1);
        let by_email = answer(guarded.get("/api/orders?email=ada@example.com").bearer_auth(&ada)).await;
        assert!(by_email.refused(403, "insufficient-scope").contains(r#"scope="orders:all""#));

        let path = format!("/api/orders/{first}");
        for (method, path) in [("GET", path.clone()), ("GET", format!("{path}/events")), ("POST", format!("{path}/cancel"))] {
            let ask = |token: &str| {
                let request = if method == "GET" { guarded.get(&path) } else { guarded.post(&path) };
                answer(request.bearer_auth(token))
            };
            let others = ask(&bob).await;
            assert_eq!((others.status, others.body["code"].as_str()), (404, Some("order-not-found")), "{path}");
            assert_eq!(ask(&ada).await.status, 200, "{path}");
            assert_eq!(ask(&operator).await.status, 200, "{path}");
        }
        let seconds = answer(guarded.get(&format!("/api/orders/{second}")).bearer_auth(&bob)).await;
        assert_eq!(seconds.body["status"], "placed", "it was not touched");
        let cancelled = answer(guarded.post(&format!("/api/orders/{second}/cancel")).bearer_auth(&operator)).await;
        assert_eq!(cancelled.body["status"], "cancelled");
    }

    async fn an_idempotency_key_is_its_customers_own(engine: Engine) {
        let guarded = Guarded::start(engine).await;
        let tokens: Vec<String> = (0..12).map(|n| guarded.customer(&format!("customer{n}"))).collect();
        let all = async || join_all(tokens.iter().map(|token| guarded.place(token, "same", "Mug"))).await;
        let placed = all().await;
        assert!(placed.iter().all(|answer| answer.status == 201 && !answer.headers.contains_key("idempotency-replayed")));
        let again = all().await;
        assert!(again.iter().all(|answer| answer.headers["idempotency-replayed"] == "true"));
        let id = |answer: &Answer| answer.body["id"].as_str().unwrap().to_owned();
        assert_eq!(placed.iter().map(id).collect::<Vec<_>>(), again.iter().map(id).collect::<Vec<_>>());
        assert_eq!(placed.iter().map(id).collect::<HashSet<_>>().len(), 12);
        let other = guarded.place(&tokens[0], "same", "Spoon").await;
        assert_eq!(other.body["code"], "idempotency-key-reused");
        let query = "SELECT COUNT(DISTINCT customer) FROM orders WHERE customer LIKE 'customer%'";
        let customers: i64 = sqlx::query_scalar(query).fetch_one(&guarded.database.admin_pool().await).await.unwrap();
        assert_eq!(customers, 12);
    }
}
