//! Histograms of whole numbers with bounds that are fixed when the program is written.

use super::Striped;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts values by class; class `i` holds what is above bound `i - 1` and at most bound `i`, and one more class what is above all.
///
/// Recording is a search among `N` bounds and two additions.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: Striped<Counts<N>>,
}

#[derive(Debug)]
struct Counts<const N: usize> {
    classes: [AtomicU64; N],
    beyond: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Counts { classes: [const { AtomicU64::new(0) }; N], beyond: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

/// What a histogram held when it was read. Values that were recorded meanwhile may be in it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Bound and number of the values in the class below it (not in those before).
    pub classes: Vec<(u64, u64)>,
    /// Values above all bounds.
    pub beyond: u64,
    /// All values together.
    pub sum: u64,
}

impl Reading {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum::<u64>() + self.beyond
    }
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram. The bounds ascend.
    pub fn new(bounds: &'static [u64; N]) -> Self {
        debug_assert!(bounds.is_sorted());
        Histogram { bounds, counts: Striped::default() }
    }

    /// Counts one value.
    pub fn record(&self, value: u64) {
        let counts = self.counts.local();
        let class = self.bounds.partition_point(|&bound| bound < value);
        counts.classes.get(class).unwrap_or(&counts.beyond).fetch_add(1, Relaxed);
        counts.sum.fetch_add(value, Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Reading {
        let class = |class: usize| self.counts.sum(|counts| counts.classes[class].load(Relaxed));
        Reading {
            classes: self.bounds.iter().enumerate().map(|(index, &bound)| (bound, class(index))).collect(),
            beyond: self.counts.sum(|counts| counts.beyond.load(Relaxed)),
            sum: self.counts.sum(|counts| counts.sum.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_class_that_holds_it() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 1_000_000] {
            histogram.record(value);
        }
        let reading = histogram.read();
        assert_eq!(reading.classes, [(1, 2), (10, 2), (100, 2)]);
        assert_eq!((reading.beyond, reading.sum, reading.count()), (2, 1_000_225, 8));
    }
}
