//! What happened when: events and latencies by intervals of the run.
//!
//! Memory is bounded however long a run is: when there are too many intervals, pairs of them become one. Latencies are kept by class, an
//! eighth of an octave wide, which is as fine as a plot shows; the report's percentiles come from the HDR histogram.

use std::time::Duration;

/// The shortest interval.
const WIDTH_MIN: Duration = Duration::from_millis(50);

/// Intervals at most; a multiple of two.
const INTERVALS_MAX: usize = 400;

/// Classes below this many nanoseconds are one.
const CLASS_SHIFT: u32 = 10;

/// Classes of an octave, as a power of two.
const OCTAVE_SHIFT: u32 = 3;

/// Classes: the last holds all from an hour on.
const CLASSES: usize = 33 << OCTAVE_SHIFT;

/// One interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Events answered in it.
    pub events: u64,
    /// Requests with events answered in it.
    pub requests: u64,
    /// The longest latency, in nanoseconds.
    pub max_ns: u64,
    classes: Box<[u32]>,
}

impl Interval {
    fn new() -> Self {
        Interval { events: 0, requests: 0, max_ns: 0, classes: vec![0; CLASSES].into() }
    }

    fn add(&mut self, other: &Interval) {
        self.events += other.events;
        self.requests += other.requests;
        self.max_ns = self.max_ns.max(other.max_ns);
        for (class, other) in self.classes.iter_mut().zip(&other.classes) {
            *class = class.saturating_add(*other);
        }
    }

    /// The upper end of the class that holds the quantile, in nanoseconds; never more than the maximum.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "counts stay far below 2^53 and above zero")]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = ((self.requests as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (class, &count) in self.classes.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted {
                return class_end(class).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

fn class_of(ns: u64) -> usize {
    let scaled = (ns >> (CLASS_SHIFT - OCTAVE_SHIFT)).max(1 << OCTAVE_SHIFT);
    let octave = scaled.ilog2() - OCTAVE_SHIFT;
    let within = (scaled >> octave) - (1 << OCTAVE_SHIFT);
    ((octave as usize) << OCTAVE_SHIFT | within as usize).min(CLASSES - 1)
}

fn class_end(class: usize) -> u64 {
    let (octave, within) = (class >> OCTAVE_SHIFT, class as u64 & ((1 << OCTAVE_SHIFT) - 1));
    (((1 << OCTAVE_SHIFT) + within + 1) << octave) << (CLASS_SHIFT - OCTAVE_SHIFT)
}

/// The intervals of a run, from its begin on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    width: Duration,
    intervals: Vec<Interval>,
}

impl Default for Series {
    fn default() -> Self {
        Series { width: WIDTH_MIN, intervals: Vec::new() }
    }
}

impl Series {
    /// How long an interval is.
    pub const fn width(&self) -> Duration {
        self.width
    }

    /// The intervals in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Notes an answer, given so long after the begin, to so many events.
    pub fn record(&mut self, at: Duration, events: u64, latency_ns: u64) {
        let mut index = self.index(at);
        while index >= INTERVALS_MAX {
            self.coarsen();
            index = self.index(at);
        }
        while self.intervals.len() <= index {
            self.intervals.push(Interval::new());
        }
        let interval = &mut self.intervals[index];
        interval.events += events;
        interval.requests += 1;
        interval.max_ns = interval.max_ns.max(latency_ns);
        interval.classes[class_of(latency_ns)] += 1;
    }

    fn index(&self, at: Duration) -> usize {
        (at.as_nanos() as u64 / self.width.as_nanos() as u64) as usize
    }

    fn coarsen(&mut self) {
        self.width *= 2;
        let halves = std::mem::take(&mut self.intervals);
        for (index, half) in halves.into_iter().enumerate() {
            match self.intervals.get_mut(index / 2) {
                Some(interval) => interval.add(&half),
                None => self.intervals.push(half),
            }
        }
    }

    /// Adds another thread's, which has the same begin.
    pub fn add(&mut self, mut other: Series) {
        while self.width < other.width {
            self.coarsen();
        }
        while other.width < self.width {
            other.coarsen();
        }
        for (index, theirs) in other.intervals.into_iter().enumerate() {
            match self.intervals.get_mut(index) {
                Some(interval) => interval.add(&theirs),
                None => self.intervals.push(theirs),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_say() {
        for ns in (0..50).map(|shift| 1_u64 << shift).flat_map(|power| [power - 1, power, power + power / 3]) {
            let class = class_of(ns);
            assert!(ns < class_end(class) || class == CLASSES - 1, "{ns}");
            assert!(class == 0 || ns >= class_end(class - 1), "{ns}");
        }
        assert!(class_end(CLASSES - 2) > 3_600_000_000_000);
    }

    #[test]
    fn intervals_hold_what_was_answered_in_them() {
        let mut series = Series::default();
        for latency_us in 1..=100 {
            series.record(Duration::from_millis(10), 5, latency_us * 1000);
        }
        series.record(Duration::from_millis(120), 5, 7_000_000);
        let [first, second, third] = series.intervals() else { panic!("three intervals: {series:?}") };
        assert_eq!((first.events, first.requests, first.max_ns), (500, 100, 100_000));
        assert!((50_000..57_000).contains(&first.quantile(0.5)), "{}", first.quantile(0.5));
        assert_eq!(first.quantile(1.0), 100_000, "no quantile is above the maximum");
        assert_eq!((second.events, second.quantile(0.5)), (0, 0));
        assert_eq!((third.events, third.quantile(0.99)), (5, 7_000_000));
    }

    #[test]
    fn a_long_run_has_wide_intervals_and_loses_nothing() {
        let (mut long, mut short) = (Series::default(), Series::default());
        for second in 0..100 {
            long.record(Duration::from_secs(second), 3, 1_000_000);
        }
        assert!(long.width() >= Duration::from_millis(200) && long.intervals().len() <= INTERVALS_MAX);
        short.record(Duration::from_secs(1), 4, 2_000_000);
        let (mut both, mut turned) = (long.clone(), short.clone());
        both.add(short);
        turned.add(long);
        assert_eq!(both, turned);
        assert_eq!(both.intervals().iter().map(|interval| interval.events).sum::<u64>(), 304);
    }
}
