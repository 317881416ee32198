//! Whether something grows: the first sample against the last, each the median of a fifth of all, so that one odd sample
//! decides nothing. The first fifth is the warm-up and counts for neither.

use crate::figure::median;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    pub(crate) first: f64,
    pub(crate) last: f64,
}

impl Growth {
    /// None without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Growth> {
        let fifth = samples.len().div_ceil(5);
        let first = samples.get(fifth..2 * fifth).unwrap_or(samples);
        let last = &samples[samples.len() - fifth..];
        (!samples.is_empty()).then(|| Growth { first: median(first), last: median(last) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_and_one_odd_sample_count_for_nothing() {
        let samples = [0.0, 0.0, 0.0, 5.0, 5.0, 99.0, 6.0, 6.0, 6.0, 7.0, 7.0, 7.0, 8.0, 0.0, 8.0];
        assert_eq!(Growth::of(&samples), Some(Growth { first: 5.0, last: 8.0 }));
    }

    #[test]
    fn few_samples_are_taken_as_they_are() {
        assert_eq!(Growth::of(&[3.0]), Some(Growth { first: 3.0, last: 3.0 }));
        assert_eq!(Growth::of(&[3.0, 4.0]), Some(Growth { first: 4.0, last: 4.0 }));
        assert_eq!(Growth::of(&[]), None);
    }
}
