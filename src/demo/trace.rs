//! The trace: requests to a large language model, with their instants and their tokens. See `data/README.md`.

use std::time::Duration;

/// The file as it was published.
pub(super) const CSV: &str = include_str!("../../data/azure-llm-inference-2023-code.csv");

/// What the trace is called.
pub(super) const NAME: &str = "Azure LLM inference trace 2023, code";

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Since the first request.
    pub(super) at: Duration,
    /// Tokens of the prompt.
    pub(super) context: u64,
    /// Tokens of the answer.
    pub(super) generated: u64,
}

/// The trace's first rows, up to a number and up to an instant.
pub(super) fn rows(limit: Option<usize>, until: Option<Duration>) -> Vec<Row> {
    let mut first = None;
    let rows = CSV.lines().skip(1).map(|line| {
        let (instant, mut row) = row(line).expect("the embedded trace is well-formed: a test reads all of it");
        row.at = instant.saturating_sub(*first.get_or_insert(instant));
        row
    });
    rows.take_while(|row| until.is_none_or(|until| row.at < until)).take(limit.unwrap_or(usize::MAX)).collect()
}

/// Reads `2023-11-16 18:17:03.9799600,4808,10`; the instant counts from the beginning of the month.
fn row(line: &str) -> Option<(Duration, Row)> {
    let mut fields = line.split(',');
    let instant = instant(fields.next()?)?;
    let (context, generated) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some((instant, Row { at: Duration::ZERO, context, generated }))
}

fn instant(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once(' ')?;
    let day: u64 = date.rsplit('-').next()?.parse().ok()?;
    let (clock, fraction) = time.split_once('.')?;
    let clock = clock.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(day * 86_400 + clock, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_trace_is_read_in_order() {
        let all = rows(None, None);
        assert_eq!(all.len(), 8819);
        assert_eq!(all[0], Row { at: Duration::ZERO, context: 4808, generated: 10 });
        assert_eq!(all[1].at, Duration::from_millis(52));
        assert!(all.is_sorted_by_key(|row| row.at));
        assert_eq!(all[8818], Row { at: Duration::from_micros(3_435_948_056), context: 549, generated: 173 });
    }

    #[test]
    fn a_part_is_its_beginning() {
        let all = rows(None, None);
        assert_eq!(rows(Some(7), None), all[..7]);
        let minute = rows(None, Some(Duration::from_mins(1)));
        assert_eq!(minute, all[..minute.len()]);
        assert!(all[minute.len()].at >= Duration::from_mins(1));
    }
}
