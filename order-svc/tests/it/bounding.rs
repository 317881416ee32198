//! A customer, and an address, has a bound of orders within an hour, which the database counts.

use order_svc::domain::{CustomerId, NewOrder};
use order_svc::place::{self, Placed, Request};
use serde_json::{Value, json};
use stack::both_engines;
use stack::testing::{Engine, eventually};

use crate::api::{Answer, Api};

const BOUND: u32 = 3;

fn order(email: &str) -> Value {
    json!({"product": "Mug", "quantity": 1, "email": email})
}

async fn ordered(api: &Api, email: &str) -> Answer {
    Answer::to(api.client.post(api.url("/api/orders")).json(&order(email))).await
}

impl Api {
    /// Orders become so many minutes older: their ids tell the time.
    async fn age(&self, minutes: u64) {
        let earlier = format!(
            "UPDATE orders
             SET id = UNHEX(CONCAT(LPAD(HEX(CONV(LEFT(HEX(id), 12), 16, 10) - {}), 12, '0'), RIGHT(HEX(id), 20)))",
            minutes * 60_000
        );
        self.execute(&earlier).await;
    }
}

both_engines! {
    async fn whoever_orders_too_much_is_told_when_to_come_back(engine: Engine) {
        let api = Api::bounded(engine, BOUND).await;
        for _ in 0..BOUND {
            assert_eq!(ordered(&api, "ada@example.com").await.status, 201);
        }
        let refused = api.place_as("too-many", &order("ada@example.com")).await;
        refused.problem(429, "too-many-orders");
        let wait = refused.header("retry-after").parse::<u64>().unwrap();
        assert!((3500..=3601).contains(&wait), "{wait}");
        assert_eq!(ordered(&api, "eve@example.com").await.status, 201, "another address");
        assert_eq!(api.rows().await, (4, 4), "nothing of a refused order stays");
        assert!(api.shows(r#"orders_place_total{outcome="refused"} 1"#));

        api.age(50).await;
        let refused = ordered(&api, "ada@example.com").await;
        refused.problem(429, "too-many-orders");
        let wait = refused.header("retry-after").parse::<u64>().unwrap();
        assert!((500..=601).contains(&wait), "{wait}");
        api.age(11).await;
        assert_eq!(api.place_as("too-many", &order("ada@example.com")).await.status, 201, "the key was not spent");
    }

    async fn a_repeat_of_an_accepted_order_is_never_too_much(engine: Engine) {
        let api = Api::bounded(engine, BOUND).await;
        let first = api.place_as("first", &order("ada@example.com")).await;
        for _ in 1..BOUND {
            assert_eq!(ordered(&api, "ada@example.com").await.status, 201);
        }
        let again = api.place_as("first", &order("ada@example.com")).await;
        assert_eq!((again.status, &again.body), (201, &first.body), "{}", again.text);
        ordered(&api, "ada@example.com").await.problem(429, "too-many-orders");
    }

    async fn orders_that_come_at_once_are_bounded_and_take_no_others_along(engine: Engine) {
        let api = Api::bounded(engine, 10).await;
        let many = (0..40).map(|number| if number % 2 == 0 { "ada@example.com".to_owned() } else { format!("{number}@example.com") });
        let answers = futures::future::join_all(many.map(async |email| (ordered(&api, &email).await.status, email))).await;
        for (status, email) in &answers {
            // A busy machine has no connection in time for some.
            let is_bounded = *status == 429 && email == "ada@example.com";
            assert!(is_bounded || [201, 503].contains(status), "{status} {email}");
        }
        eventually("the bound is reached", async || ordered(&api, "ada@example.com").await.status == 429).await;
        assert!(api.count("SELECT COUNT(*) FROM orders WHERE email = 'ada@example.com'").await >= 10);
        eventually("others are not", async || ordered(&api, "another@example.com").await.status == 201).await;
    }

    async fn the_case_of_an_address_makes_no_other_one_of_it(engine: Engine) {
        let api = Api::bounded(engine, BOUND).await;
        for email in ["ada@example.com", "Ada@example.com", "ADA@Example.COM"] {
            assert_eq!(ordered(&api, email).await.status, 201);
        }
        ordered(&api, "aDa@example.com").await.problem(429, "too-many-orders");
        assert_eq!(api.count("SELECT COUNT(DISTINCT email) FROM orders").await, 3, "each is kept as it was written");
    }

    async fn a_customer_is_bounded_whatever_the_addresses(engine: Engine) {
        let api = Api::bounded(engine, BOUND).await;
        for number in 0..=BOUND {
            let body = order(&format!("{number}@example.com")).to_string();
            let new = NewOrder::parse(body.as_bytes()).unwrap();
            let customer = Some(CustomerId::new("ada"));
            let placed = place::place(&api.app, Request { customer, new, key: None, traceparent: None }).await.unwrap();
            let is_too_many = matches!(placed, Placed::TooMany(_));
            assert_eq!(is_too_many, number == BOUND, "{placed:?}");
        }
        assert_eq!(api.rows().await, (3, 3));
    }

    async fn a_bound_of_0_is_none(engine: Engine) {
        let api = Api::bounded(engine, 0).await;
        for _ in 0..=BOUND {
            assert_eq!(ordered(&api, "ada@example.com").await.status, 201);
        }
    }
}
