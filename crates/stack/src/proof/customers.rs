//! Customers who order and cancel whatever happens, repeat what they got no certain answer to, and write down each answer.
//!
//! Guarantees that each order goes under an `Idempotency-Key` and for an address of its own, so that the tables alone tell which
//! request an order came from. Some are impatient: they send the same request twice at once, or once more after it was answered.
//! Some want what the simulated payment provider has trouble with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

use super::Order;

/// Shorter than order-svc's own limit, so that a repeat may meet its original.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Products that the simulated provider declines, is slow with, loses the answer to or is away at first; to each, how many of a
/// hundred orders want it. `docs/payment-provider.md` says what each does.
pub const TROUBLESOME: [(&str, u8); 7] = [
    ("test-declined", 5),
    ("test-lost", 4),
    ("test-cut", 4),
    ("test-refund-lost", 4),
    ("test-slow", 2),
    ("test-unreachable", 1),
    ("test-throttled", 1),
];

/// What a customer asked for under one key, and all that was answered.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// The `Idempotency-Key`.
    pub key: String,
    /// What.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// For whom: an address of this request's own.
    pub email: String,
    /// What answers 201 said: one order, if all is well, always in the same words.
    pub orders: BTreeSet<Order>,
    /// What became of the wish to cancel it.
    pub cancel: Cancel,
    /// Answers that a customer who did nothing wrong never gets.
    pub oddities: BTreeSet<String>,
}

impl Asked {
    /// Whether an order is what was asked for.
    pub(super) fn is_answered_by(&self, order: &Order) -> bool {
        (&order.product, order.quantity, &order.email) == (&self.product, self.quantity, &self.email)
    }
}

/// What became of the wish to cancel an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cancel {
    /// There was none.
    Unasked,
    /// It was sent and not answered, so it may have happened.
    Unanswered,
    /// It was answered 200, in these words.
    Done(Order),
}

/// Some customers at work.
#[derive(Debug)]
pub struct Customers {
    deadline: watch::Sender<Option<Instant>>,
    taken: Arc<AtomicUsize>,
    shopping: JoinSet<Vec<Asked>>,
}

impl Customers {
    /// Starts them, at order-svc's `http://` URL. Each begins an order at most once in `pace`; the seed says what they do.
    #[must_use]
    pub fn start(url: &str, count: usize, pace: Duration, seed: u64) -> Customers {
        let (deadline, told) = watch::channel(None);
        let taken = Arc::new(AtomicUsize::new(0));
        let mut shopping = JoinSet::new();
        for number in 0..count {
            let mut rng = Rng::with_seed(seed);
            (0..=number).for_each(|_| rng = rng.fork());
            let client = Client::builder().timeout(ANSWER_WITHIN).build().expect("it asks nothing of the system");
            let (deadline, taken) = (told.clone(), Arc::clone(&taken));
            let customer = Customer { number, url: url.to_owned(), client, rng, deadline, taken };
            shopping.spawn(customer.shop(pace));
        }
        Customers { deadline, taken, shopping }
    }

    /// How many orders were answered 201 so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Lets them finish what they have begun, within `patience`; all that they asked.
    pub async fn stop(self, patience: Duration) -> Vec<Asked> {
        self.deadline.send_replace(Some(Instant::now() + patience));
        self.shopping.join_all().await.concat()
    }
}

/// What an answer means.
enum Answer {
    /// It happened; the order in the answer.
    Done(Order),
    /// It may have happened or not: ask again.
    Unknown,
    /// It should not have been answered so.
    Odd(String),
}

struct Customer {
    number: usize,
    url: String,
    client: Client,
    rng: Rng,
    deadline: watch::Receiver<Option<Instant>>,
    taken: Arc<AtomicUsize>,
}

impl Customer {
    async fn shop(mut self, pace: Duration) -> Vec<Asked> {
        let mut all = Vec::new();
        let mut pace = interval(pace);
        while self.deadline.borrow().is_none() {
            pace.tick().await;
            let mut asked = self.wish(all.len() + 1);
            self.place(&mut asked).await;
            if let Some(order) = asked.orders.first().map(|order| order.id) {
                self.taken.fetch_add(1, Ordering::Relaxed);
                match self.rng.u8(0..10) {
                    0..=3 => self.cancel(&mut asked, order).await,
                    4 => self.place(&mut asked).await,
                    _ => {}
                }
            }
            all.push(asked);
        }
        all
    }

    fn wish(&mut self, count: usize) -> Asked {
        let key = format!("order-{count}-of-customer-{}", self.number);
        let mut drawn = self.rng.u8(0..100);
        let troublesome = TROUBLESOME.iter().find(|(_, share)| {
            let is_it = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_it
        });
        Asked {
            product: troublesome.map_or_else(|| key.clone(), |(product, _)| (*product).to_owned()),
            key,
            quantity: self.rng.u32(1..=1000),
            email: format!("customer{}+{count}@example.com", self.number),
            orders: BTreeSet::new(),
            cancel: Cancel::Unasked,
            oddities: BTreeSet::new(),
        }
    }

    async fn place(&mut self, asked: &mut Asked) {
        let order = json!({ "product": asked.product, "quantity": asked.quantity, "email": asked.email });
        let request = self.client.post(format!("{}/api/orders", self.url));
        let request = request.header("Idempotency-Key", &asked.key).json(&order);
        for order in self.insist(request, StatusCode::CREATED, asked).await {
            asked.orders.insert(order);
        }
    }

    async fn cancel(&mut self, asked: &mut Asked, order: Uuid) {
        asked.cancel = Cancel::Unanswered;
        let request = self.client.post(format!("{}/api/orders/{order}/cancel", self.url));
        for answer in self.insist(request, StatusCode::OK, asked).await {
            match &asked.cancel {
                Cancel::Done(before) if before.but_payment() != answer.but_payment() => {
                    asked
                        .oddities
                        .insert(format!("cancelling {order} was answered with {before:?} and with {answer:?}"));
                }
                _ => asked.cancel = Cancel::Done(answer),
            }
        }
    }

    /// Repeats a request until it is answered, or patience is at its end; the orders in the answers.
    async fn insist(&mut self, request: reqwest::RequestBuilder, done: StatusCode, asked: &mut Asked) -> Vec<Order> {
        let send = || {
            let request = request.try_clone().expect("its body is in memory");
            async move { understand(request.send().await, done).await }
        };
        loop {
            let answers = if self.rng.u8(0..10) == 0 {
                let (one, other) = tokio::join!(send(), send());
                vec![one, other]
            } else {
                vec![send().await]
            };
            let mut orders = Vec::new();
            for answer in answers {
                match answer {
                    Answer::Done(order) => orders.push(order),
                    Answer::Unknown => {}
                    Answer::Odd(answer) => drop(asked.oddities.insert(answer)), // once is enough
                }
            }
            if !orders.is_empty() || self.deadline.borrow().is_some_and(|deadline| Instant::now() >= deadline) {
                return orders;
            }
            sleep(Duration::from_millis(self.rng.u64(50..400))).await;
        }
    }
}

async fn understand(answer: reqwest::Result<Response>, done: StatusCode) -> Answer {
    let Ok(answer) = answer else { return Answer::Unknown };
    let status = answer.status();
    let Ok(body) = answer.json::<Value>().await else { return Answer::Unknown };
    match Order::deserialize(&body) {
        Ok(order) if status == done => Answer::Done(order),
        // 408: the service was frozen while it read the request.
        _ if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::REQUEST_TIMEOUT].contains(&status) => Answer::Unknown,
        _ => Answer::Odd(format!("{status}: {body}")),
    }
}
