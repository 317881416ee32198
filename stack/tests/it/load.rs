//! Customers who go on ordering whatever happens, at a steady pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stack::testing::eventually_within;
use tokio::task::JoinHandle;

use crate::services::Services;

const PACE: Duration = Duration::from_millis(20);
/// A service may answer 503 for as long as its database is away.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    placed: Arc<AtomicUsize>,
    placing: JoinHandle<Vec<String>>,
}

impl Load {
    /// Orders, and if `with_cancels`, cancels each order that was taken: two events.
    pub(crate) fn start(services: &Services, with_cancels: bool) -> Self {
        let (stop, placed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let place = Customers {
            url: services.order_svc.url("/api/orders"),
            client: reqwest::Client::builder().timeout(Duration::from_secs(15)).build().unwrap(),
            with_cancels,
            stop: Arc::clone(&stop),
            placed: Arc::clone(&placed),
        };
        Self { stop, placed, placing: tokio::spawn(place.run()) }
    }

    /// Waits until so many more orders were taken.
    pub(crate) async fn until_more(&self, orders: usize) {
        let enough = self.placed.load(Ordering::Relaxed) + orders;
        eventually_within(PATIENCE, "more orders are taken", async || self.placed.load(Ordering::Relaxed) >= enough)
            .await;
    }

    /// The orders that were taken.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.placing.await.unwrap()
    }
}

struct Customers {
    url: String,
    client: reqwest::Client,
    with_cancels: bool,
    stop: Arc<AtomicBool>,
    placed: Arc<AtomicUsize>,
}

impl Customers {
    async fn run(self) -> Vec<String> {
        let order = json!({ "product": "Espresso machine", "quantity": 2, "email": "ada@example.com" });
        let mut orders = Vec::new();
        let mut pace = tokio::time::interval(PACE);
        while !self.stop.load(Ordering::Relaxed) {
            pace.tick().await;
            let Ok(response) = self.client.post(&self.url).json(&order).send().await else { continue };
            if response.status() != 201 {
                continue;
            }
            let order: Value = response.json().await.unwrap();
            let order = order["id"].as_str().unwrap().to_owned();
            if self.with_cancels {
                // Whether it was cancelled, the tables will tell.
                drop(self.client.post(format!("{}/{order}/cancel", self.url)).send().await);
            }
            orders.push(order);
            self.placed.fetch_add(1, Ordering::Relaxed);
        }
        orders
    }
}
