//! What the benches left behind -> questions with their figures, in an order for people.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Figures that are older than the newest by more than this are left out: their bench may be gone.
const ONE_RUN: Duration = Duration::from_hours(24);

/// All that there is to show.
pub(crate) struct Report {
    pub(crate) questions: Vec<Question>,
    /// When the newest figure was taken.
    pub(crate) newest: SystemTime,
    /// How many figures were left out for their age.
    pub(crate) stale: usize,
}

/// A question and its answers, all in one unit.
#[derive(Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) unit: Unit,
    pub(crate) answers: Vec<Answer>,
}

/// What the values of a question are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Nanoseconds for each event, wallet or whatever the bench counts.
    NsEach,
    /// Nanoseconds for one call of what is measured.
    NsPerCall,
    /// Something else, by name.
    Named(String),
}

/// One figure.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Where the value lies with 95 % confidence.
    pub(crate) confidence: Option<(f64, f64)>,
    /// The samples behind it.
    pub(crate) samples: Vec<f64>,
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

#[derive(Deserialize)]
struct Told {
    question: String,
    unit: String,
    #[serde(rename = "figures")]
    answers: Vec<Figure>,
}

#[derive(Deserialize)]
struct Figure {
    name: String,
    value: f64,
}

/// Reads everything below criterion's directory.
pub(crate) fn report(dir: &Path) -> io::Result<Report> {
    let mut found = Vec::new();
    for path in measurements(dir)? {
        found.push((modified(&path.join("estimates.json"))?, criterion(&path)?));
    }
    for path in json_files(&dir.join("figures"))? {
        found.push((modified(&path)?, told(json(&path)?)));
    }
    let newest = found.iter().map(|(time, _)| *time).max().unwrap_or(SystemTime::UNIX_EPOCH);
    let all = found.len();
    found.retain(|(time, _)| newest.duration_since(*time).is_ok_and(|age| age < ONE_RUN));
    let stale = all - found.len();
    Ok(Report { questions: gather(found.into_iter().map(|(_, question)| question)), newest, stale })
}

/// Joins the answers to the same question and puts all in order: what criterion timed first.
fn gather(found: impl IntoIterator<Item = Question>) -> Vec<Question> {
    let mut questions: BTreeMap<(Unit, String), Vec<Answer>> = BTreeMap::new();
    for Question { text, unit, answers } in found {
        questions.entry((unit, text)).or_default().extend(answers);
    }
    let ordered = |((unit, text), mut answers): ((Unit, String), Vec<Answer>)| {
        if !matches!(unit, Unit::Named(_)) {
            answers.sort_by(|a, b| natural(&a.name, &b.name));
        }
        Question { text, unit, answers }
    };
    let mut questions: Vec<Question> = questions.into_iter().map(ordered).collect();
    let is_other = |question: &Question| matches!(question.unit, Unit::Named(_));
    questions.sort_by(|a, b| is_other(a).cmp(&is_other(b)).then_with(|| natural(&a.text, &b.text)));
    questions
}

/// One measurement of criterion's, by its directory `new`.
fn criterion(path: &Path) -> io::Result<Question> {
    let benchmark: Benchmark = json(&path.join("benchmark.json"))?;
    let estimates: Estimates = json(&path.join("estimates.json"))?;
    let sample: Sample = json(&path.join("sample.json"))?;
    Ok(timed(benchmark, &estimates, &sample))
}

fn timed(benchmark: Benchmark, estimates: &Estimates, sample: &Sample) -> Question {
    let elements = benchmark.throughput.as_ref().and_then(|kinds| kinds.get("Elements")?.as_f64());
    let each = |ns: f64| ns / elements.unwrap_or(1.0);
    let interval = &estimates.median.confidence_interval;
    let name = match (benchmark.function_id, benchmark.value_str) {
        (Some(function), Some(value)) => format!("{function}: {value}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => benchmark.group_id.clone(),
    };
    let answer = Answer {
        name,
        value: each(estimates.median.point_estimate),
        confidence: Some((each(interval.lower_bound), each(interval.upper_bound))),
        samples: sample.times.iter().zip(&sample.iters).map(|(time, iterations)| each(time / iterations)).collect(),
    };
    let unit = if elements.is_some() { Unit::NsEach } else { Unit::NsPerCall };
    Question { text: benchmark.group_id, unit, answers: vec![answer] }
}

fn told(told: Told) -> Question {
    let answer =
        |figure: Figure| Answer { name: figure.name, value: figure.value, confidence: None, samples: Vec::new() };
    Question {
        text: told.question,
        unit: Unit::Named(told.unit),
        answers: told.answers.into_iter().map(answer).collect(),
    }
}

/// The directories called `new` that hold a measurement.
fn measurements(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop() {
        for entry in entries(&dir)? {
            if entry.is_dir() && entry.ends_with("new") && entry.join("benchmark.json").is_file() {
                found.push(entry);
            } else if entry.is_dir() {
                pending.push(entry);
            }
        }
    }
    Ok(found)
}

fn json_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = if dir.is_dir() { entries(dir)? } else { Vec::new() };
    found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(found)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    std::fs::metadata(path)?.modified()
}

fn json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&std::fs::read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// Orders names as people do: numbers by value, `10 k` behind `1000` and before `1 M`.
fn natural(a: &str, b: &str) -> Ordering {
    tokens(a).cmp(&tokens(b))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    Number(u64),
    Text(&'a str),
}

fn tokens(mut text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    while !text.is_empty() {
        let is_number = text.starts_with(|first: char| first.is_ascii_digit());
        let end = text.find(|other: char| other.is_ascii_digit() != is_number).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        text = rest;
        if is_number {
            let (factor, rest) = scale_word(text);
            text = rest;
            tokens.push(Token::Number(token.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor)));
        } else {
            tokens.push(Token::Text(token));
        }
    }
    tokens
}

/// The factor that a word like `k` or `MiB` behind a number stands for, and what follows it.
fn scale_word(text: &str) -> (u64, &str) {
    for (word, factor) in [("k", 1_000), ("M", 1_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20)] {
        let rest = text.strip_prefix(' ').unwrap_or(text).strip_prefix(word);
        if let Some(rest) = rest.filter(|rest| !rest.starts_with(|next: char| next.is_ascii_alphabetic())) {
            return (factor, rest);
        }
    }
    (1, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[track_caller]
    fn check_order(names: &[&str]) {
        for pair in names.windows(2) {
            assert_eq!(natural(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        check_order(&["levels: 0", "levels: 1", "levels: 8", "levels: 64"]);
        check_order(&["alone: 1000 wallets", "alone: 10 k wallets", "alone: 1 M wallets", "alone: 10 M wallets"]);
        check_order(&["find one of 1M wallets", "find one of 10M wallets"]);
        check_order(&["4 KiB, mapped", "64 KiB, mapped", "1 MiB, mapped"]);
        check_order(&["2 kinds", "10 kinds"]);
    }

    fn write(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).expect("a directory");
        fs::write(dir.join(name), text).expect("a file");
    }

    fn write_measurement(dir: &Path, value: &str, throughput: &str) {
        write(
            dir,
            "benchmark.json",
            &format!(
                r#"{{"group_id":"what does it cost","function_id":"alone","value_str":"{value}","throughput":{throughput},"title":"x"}}"#
            ),
        );
        write(
            dir,
            "estimates.json",
            r#"{"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":900.0,"upper_bound":1200.0},"point_estimate":1000.0,"standard_error":1.0}}"#,
        );
        write(dir, "sample.json", r#"{"sampling_mode":"Flat","iters":[2.0,4.0],"times":[1800.0,4400.0]}"#);
    }

    #[test]
    fn measurements_and_figures_are_read_divided_and_ordered() {
        let dir = tempfile::tempdir().expect("a directory");
        write_measurement(&dir.path().join("group/alone/10 k/new"), "10 k", r#"{"Elements":10}"#);
        write_measurement(&dir.path().join("group/alone/64/new"), "64", r#"{"Elements":10}"#);
        write_measurement(&dir.path().join("group/alone/64/base"), "64", r#"{"Elements":10}"#);
        let text =
            r#"{"question":"how much","unit":"bytes","figures":[{"name":"b","value":2.0},{"name":"a","value":1}]}"#;
        write(&dir.path().join("figures"), "memory.json", text);

        let report = report(dir.path()).expect("it reads");
        assert_eq!((report.questions.len(), report.stale), (2, 0));
        let timed = &report.questions[0];
        assert_eq!((timed.text.as_str(), &timed.unit), ("what does it cost", &Unit::NsEach));
        let names: Vec<_> = timed.answers.iter().map(|answer| answer.name.as_str()).collect();
        assert_eq!(names, ["alone: 64", "alone: 10 k"]);
        assert_eq!((timed.answers[0].value, timed.answers[0].confidence), (100.0, Some((90.0, 120.0))));
        assert_eq!(timed.answers[0].samples, [90.0, 110.0]);
        let told = &report.questions[1];
        assert_eq!((told.unit.clone(), told.answers[0].name.as_str()), (Unit::Named("bytes".to_owned()), "b"));
    }

    #[test]
    fn bytes_are_no_elements() {
        let dir = tempfile::tempdir().expect("a directory");
        write_measurement(&dir.path().join("group/new"), "4 KiB", r#"{"Bytes":4096}"#);
        write_measurement(&dir.path().join("other/new"), "none", "null");
        let report = report(dir.path()).expect("it reads");
        let answers: Vec<_> = report.questions.iter().flat_map(|question| &question.answers).collect();
        assert_eq!(report.questions[0].unit, Unit::NsPerCall);
        assert!(answers.len() == 2 && answers.iter().all(|answer| answer.value > 999.0));
    }

    #[test]
    fn a_file_that_is_damaged_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        write(&dir.path().join("figures"), "growth.json", "{");
        let error = report(dir.path()).err().expect("refused");
        assert!(error.to_string().contains("growth.json"), "{error}");
    }
}
