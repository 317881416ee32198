//! Customers who go on ordering and cancelling whatever happens, at a steady pace.

use std::time::Duration;

use stack::proof::{Asked, Customers};
use stack::testing::eventually_within;

use crate::services::Services;

const PACE: Duration = Duration::from_millis(20);
/// A service may answer 503 for as long as its database is away.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load(Customers);

impl Load {
    pub(crate) fn start(services: &Services) -> Self {
        Self(Customers::start(&services.order_svc.url(""), 1, PACE, 1))
    }

    /// Waits until so many more orders were taken.
    pub(crate) async fn until_more(&self, orders: usize) {
        let enough = self.0.taken() + orders;
        eventually_within(PATIENCE, "more orders are taken", async || self.0.taken() >= enough).await;
    }

    /// What was asked and answered.
    pub(crate) async fn stop(self) -> Vec<Asked> {
        self.0.stop(PATIENCE).await
    }
}
