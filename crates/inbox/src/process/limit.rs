//! How many events one transaction may hold: half as many after each attempt that failed, down to one, and twice as many
//! after each that was quick. So a batch that the database can't manage in time, in its memory, its locks or its packets
//! shrinks until it fits, and an outage costs some small batches afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit that all parts of the process share.
#[derive(Debug)]
pub struct Limit {
    now: AtomicUsize,
    most: usize,
}

impl Limit {
    /// Begins with the most.
    pub fn new(most: usize) -> Self {
        Self { now: AtomicUsize::new(most), most }
    }

    /// As it is.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// An attempt failed: the limit that it was made under is halved, and what it is now is returned.
    pub fn shrink(&self, tried: usize) -> usize {
        let less = (tried / 2).max(1);
        self.now.fetch_min(less, Ordering::Relaxed).min(less)
    }

    /// An attempt was quick.
    pub fn grow(&self) {
        self.now.store((self.now() * 2).clamp(1, self.most), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shrinks_to_one_and_grows_to_the_most() {
        let limit = Limit::new(5);
        assert_eq!(limit.shrink(5), 2);
        assert_eq!((limit.shrink(2), limit.shrink(1)), (1, 1));
        for expected in [2, 4, 5, 5] {
            limit.grow();
            assert_eq!(limit.now(), expected);
        }
    }
}
