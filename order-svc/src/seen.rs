//! Which customers and addresses this process has taken orders of lately: whoever it has not can't be far above the bound, and is not
//! counted in the database. It remembers each for an hour at least and two at most, in a fixed size, and takes some for others:
//! those are counted for nothing.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::bound::{WINDOW, keys};
use crate::domain::Order;

/// 2 MiB an hour, of which each customer and each address marks two bits: a million of them within two hours take one in eighty
/// strangers for known, and a hundred thousand one in seven thousand.
const WORDS: usize = 1 << 18;
const BITS: u64 = 1 << 24;

/// Whom this process knows.
#[derive(Debug)]
pub(crate) struct Seen {
    hasher: RandomState,
    hours: Mutex<Hours>,
}

#[derive(Debug)]
struct Hours {
    begun_at: Instant,
    this: Vec<u64>,
    last: Vec<u64>,
}

impl Seen {
    /// Nobody.
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), hours: Mutex::new(Hours::new(Instant::now())) }
    }

    /// Whether this order's customer or address was seen before; they are from now on.
    pub(crate) fn again(&self, order: &Order) -> bool {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.turn(Instant::now());
        // Each of them is marked, whatever the first one was.
        keys(order).filter(|key| hours.mark(self.hasher.hash_one(key))).count() > 0
    }
}

impl Hours {
    fn new(begun_at: Instant) -> Self {
        Self { begun_at, this: vec![0; WORDS], last: vec![0; WORDS] }
    }

    /// Forgets what is older than an hour, after an hour.
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun_at);
        if passed >= 2 * WINDOW {
            *self = Self::new(now);
        } else if passed >= WINDOW {
            self.begun_at = now;
            self.last = std::mem::replace(&mut self.this, vec![0; WORDS]);
        }
    }

    /// Whether it was marked before.
    fn mark(&mut self, hash: u64) -> bool {
        // Both halves of a hash are as good as two hashes.
        let bits = [hash, hash >> 32].map(|half| half % BITS);
        let places = bits.map(|bit| (usize::try_from(bit / 64).expect("a word"), 1 << (bit % 64)));
        let was = places.iter().all(|&(word, bit)| (self.this[word] | self.last[word]) & bit != 0);
        places.iter().for_each(|&(word, bit)| self.this[word] |= bit);
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_seen_is_known_for_an_hour_and_forgotten_after_two() {
        let begun_at = Instant::now();
        let mut hours = Hours::new(begun_at);
        assert!(!hours.mark(7));
        assert!(hours.mark(7) && !hours.mark(8));
        hours.turn(begun_at + WINDOW);
        assert!(hours.mark(7), "an hour at least");
        hours.turn(begun_at + WINDOW + WINDOW);
        assert!(hours.mark(7) && !hours.mark(8));
        hours.turn(begun_at + 5 * WINDOW);
        assert!(!hours.mark(7), "two hours without a visit");
    }
}
