//! What a scrape answers: families of metrics with their values, written in Prometheus' text format by `prometheus-client`.
//!
//! The counters are ours, since its histograms take a lock and its counters share a line; names, escaping and format are its business.

use super::Reading;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// The content type of [`Page::into_text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Labels of a value: name and value.
type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// The families of one scrape, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

/// One metric under all its labels.
#[derive(Debug)]
pub struct Family {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: MetricType,
    values: Vec<(Labels, Value)>,
}

#[derive(Debug)]
enum Value {
    Number(Number),
    Histogram { classes: Vec<(f64, u64)>, count: u64, sum: f64 },
}

/// A whole number or one with a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one.
    Whole(u64),
    /// Any other.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Number::Whole(number)
    }
}

impl From<bool> for Number {
    fn from(truth: bool) -> Self {
        Number::Whole(u64::from(truth))
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Number::Real(number)
    }
}

impl Page {
    /// Adds a number that only grows. Its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(name, help, MetricType::Counter)
    }

    /// Adds a number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, MetricType::Gauge)
    }

    /// Adds a distribution.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, help, MetricType::Histogram)
    }

    fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: MetricType,
    ) -> &mut Family {
        let (name, help) = (name.into(), help.into());
        debug_assert!(self.families.iter().all(|family| family.name != name), "{name} is there already");
        self.families.push(Family { name, help, kind, values: Vec::new() });
        self.families.last_mut().expect("just pushed")
    }

    /// The page as it is served.
    pub fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(32 << 10);
        prometheus_text::encode(&mut text, &registry).expect("writing to a String cannot fail");
        text
    }
}

impl Family {
    /// The value, where there are no labels. Nothing is written for a family without a value but what it is.
    pub fn value(&mut self, number: impl Into<Number>) {
        self.values.push((Labels::new(), Value::Number(number.into())));
    }

    /// The value, if there is one.
    pub fn value_if_known(&mut self, number: Option<impl Into<Number>>) {
        if let Some(number) = number {
            self.value(number);
        }
    }

    /// The value under one label.
    pub fn labelled(
        &mut self,
        label: &'static str,
        value: impl Into<Cow<'static, str>>,
        number: impl Into<Number>,
    ) -> &mut Self {
        self.under([(label, value.into())], number)
    }

    /// The value under these labels.
    pub fn under<const N: usize>(
        &mut self,
        labels: [(&'static str, Cow<'static, str>); N],
        number: impl Into<Number>,
    ) -> &mut Self {
        self.values.push((labels.into(), Value::Number(number.into())));
        self
    }

    /// A distribution under these labels. `unit` is what one of the reading's units is in the family's: 1e-9 for nanoseconds in seconds.
    #[expect(clippy::cast_precision_loss, reason = "bounds are short, and sums are for people")]
    pub fn distribution<const N: usize>(
        &mut self,
        labels: [(&'static str, Cow<'static, str>); N],
        reading: &Reading,
        unit: f64,
    ) -> &mut Self {
        // Divided by the inverse and not multiplied: 25 000 ns are 2.5e-5 s then, to the last digit.
        let scale = (1.0 / unit).round();
        let classes = reading.classes.iter().map(|&(bound, count)| (bound as f64 / scale, count)).collect();
        let value = Value::Histogram { classes, count: reading.count(), sum: reading.sum as f64 / scale };
        self.values.push((labels.into(), value));
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // The encoder adds the ending itself.
        let name = self.name.strip_suffix("_total").unwrap_or(&self.name);
        let mut metric = encoder.encode_descriptor(name, &self.help, None, self.kind)?;
        for (labels, value) in &self.values {
            if labels.is_empty() {
                value.encode(&mut metric, self.kind)?;
            } else {
                value.encode(&mut metric.encode_family(labels)?, self.kind)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, metric: &mut MetricEncoder<'_>, kind: MetricType) -> fmt::Result {
        match (self, kind) {
            (Value::Histogram { classes, count, sum }, _) => {
                metric.encode_histogram::<NoLabelSet>(*sum, *count, classes, None)
            }
            (Value::Number(Number::Whole(number)), MetricType::Counter) => {
                metric.encode_counter::<NoLabelSet, _, u64>(number, None)
            }
            (Value::Number(Number::Real(number)), MetricType::Counter) => {
                metric.encode_counter::<NoLabelSet, _, u64>(number, None)
            }
            (Value::Number(Number::Whole(number)), _) => metric.encode_gauge(number),
            (Value::Number(Number::Real(number)), _) => metric.encode_gauge(number),
        }
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

/// What other parts of the program want on the page: each is asked at every scrape.
#[derive(Default)]
pub struct Extras(RwLock<Vec<Extra>>);

struct Extra {
    name: String,
    help: String,
    kind: MetricType,
    read: Box<dyn Fn() -> Option<Number> + Send + Sync>,
}

impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|e| &e.name)).finish()
    }
}

impl Extras {
    /// Adds a number that goes up and down, in the unit that its name ends with. `read` is asked at every scrape and must not block for
    /// long; while it has nothing to say, only what the metric is gets written.
    pub fn gauge<T: Into<Number>>(&self, name: &str, help: &str, read: impl Fn() -> Option<T> + Send + Sync + 'static) {
        self.add(name, help, MetricType::Gauge, move || read().map(Into::into));
    }

    /// Adds a number that only grows. Its name ends in `_total`.
    pub fn counter<T: Into<Number>>(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> Option<T> + Send + Sync + 'static,
    ) {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.add(name, help, MetricType::Counter, move || read().map(Into::into));
    }

    fn add(&self, name: &str, help: &str, kind: MetricType, read: impl Fn() -> Option<Number> + Send + Sync + 'static) {
        let extra = Extra { name: name.to_owned(), help: help.to_owned(), kind, read: Box::new(read) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(extra);
    }

    /// Adds them all to a page.
    pub fn write_to(&self, page: &mut Page) {
        for extra in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let family = page.family(extra.name.clone(), extra.help.clone(), extra.kind);
            family.value_if_known((extra.read)());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    #[test]
    fn a_page_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.counter("x_things_total", "Things.").labelled("kind", "a\"b", 3).labelled("kind", "c", 4);
        page.gauge("x_ratio", "A ratio.").value(0.25);
        page.gauge("x_nothing", "Nothing is known of it.");
        let histogram = Histogram::new(&[25_000, 100_000_000]);
        for ns in [1000, 25_000, 26_000, 200_000_000] {
            histogram.record(ns);
        }
        let labels = [("stage", Cow::Borrowed("decode"))];
        page.histogram("x_seconds", "Times.").distribution(labels, &histogram.read(), 1e-9);
        let extras = Extras::default();
        extras.gauge("x_age_seconds", "An age.", || Some(7));
        extras.counter("x_seen_total", "Nothing yet.", || None::<u64>);
        extras.write_to(&mut page);
        assert_eq!(
            page.into_text(),
            "# HELP x_things_total Things.\n# TYPE x_things_total counter\n\
             x_things_total{kind=\"a\\\"b\"} 3\nx_things_total{kind=\"c\"} 4\n\
             # HELP x_ratio A ratio.\n# TYPE x_ratio gauge\nx_ratio 0.25\n\
             # HELP x_nothing Nothing is known of it.\n# TYPE x_nothing gauge\n\
             # HELP x_seconds Times.\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{stage=\"decode\",le=\"2.5e-05\"} 2\nx_seconds_bucket{stage=\"decode\",le=\"0.1\"} 3\n\
             x_seconds_bucket{stage=\"decode\",le=\"+Inf\"} 4\n\
             x_seconds_sum{stage=\"decode\"} 0.200052\nx_seconds_count{stage=\"decode\"} 4\n\
             # HELP x_age_seconds An age.\n# TYPE x_age_seconds gauge\nx_age_seconds 7\n\
             # HELP x_seen_total Nothing yet.\n# TYPE x_seen_total counter\n"
        );
    }
}
