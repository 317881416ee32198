//! How many orders were notified, and how soon.

use std::collections::HashMap;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlPool;

use super::closed::Done;

/// Of the orders that were placed while it counted.
#[derive(Debug, PartialEq)]
pub(super) struct Tally {
    placed: usize,
    in_time: usize,
    seconds: f64,
}

impl Tally {
    /// Goes through the outbox: an order's event says when order-svc took it and where it is in the stream.
    pub(super) async fn count(orders: &MySqlPool, done: &Done) -> anyhow::Result<Tally> {
        let events: Vec<(u64, DateTime<Utc>)> = sqlx::query_as(
            "SELECT stream_seq, occurred_at
             FROM outbox
             WHERE event_type = 'order.created'
               AND occurred_at BETWEEN ? AND ?",
        )
        .bind(done.began)
        .bind(done.ended)
        .fetch_all(orders)
        .await
        .context("cannot read the outbox")?;
        if events.is_empty() {
            bail!("no order was placed");
        }
        let seconds = (done.ended - done.began).as_seconds_f64();
        Ok(Tally { seconds, ..Tally::of(&events, &done.notified) })
    }

    fn of(events: &[(u64, DateTime<Utc>)], notified: &HashMap<u64, DateTime<Utc>>) -> Tally {
        // An event that is not settled is nowhere in the stream yet.
        let is_in_time = |(sequence, taken): &&(u64, DateTime<Utc>)| {
            *sequence > 0 && notified.get(sequence).is_some_and(|at| *at - *taken <= TimeDelta::seconds(1))
        };
        Tally { placed: events.len(), in_time: events.iter().filter(is_in_time).count(), seconds: 1.0 }
    }

    /// Orders a second whose notification was committed within a second.
    pub(super) fn rate_in_time(&self) -> f64 {
        self.in_time as f64 / self.seconds
    }

    /// Of the orders, those whose notification was not.
    pub(super) fn late_percent(&self) -> f64 {
        100.0 * (self.placed - self.in_time) as f64 / self.placed as f64
    }

    pub(super) fn summary(&self) -> String {
        let Tally { placed, in_time, seconds } = self;
        format!("{in_time} of {placed} orders in {seconds:.0} s were notified within a second")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_counts_if_its_notification_came_within_a_second() {
        let taken = Utc::now();
        let after = |milliseconds| taken + TimeDelta::milliseconds(milliseconds);
        let notified = HashMap::from([(1, after(10)), (2, after(1000)), (3, after(1001)), (0, after(1))]);
        // The fourth was never notified, the last is not settled.
        let events = [1, 2, 3, 4, 0].map(|sequence| (sequence, taken));
        let tally = Tally { seconds: 2.0, ..Tally::of(&events, &notified) };
        assert_eq!(tally, Tally { placed: 5, in_time: 2, seconds: 2.0 });
        assert_eq!((tally.rate_in_time(), tally.late_percent()), (1.0, 60.0));
    }
}
