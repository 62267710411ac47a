//! The page itself: HTML with inline SVG, light or dark as the reader has it.

use super::read::{Answer, Question, Report, Unit};
use std::fmt::Write;

const WIDTH: f64 = 980.0;
/// Where bars begin and end; to the left stand the names, to the right the values.
const LEFT: f64 = 400.0;
const RIGHT: f64 = 860.0;
const ROW: f64 = 26.0;
const TOP: f64 = 22.0;

/// Bars that the benches are held to: the question, the most that its values may be, and how to say it.
const BARS: [(&str, f64, &str); 2] = [
    ("what does a crossing cost", 3_000.0, "bar: 3 µs"),
    ("how much memory does a wallet with one grant take", 200.0, "bar: 200 bytes at 10 M"),
];

const STYLE: &str = "\
:root { color-scheme: light dark; --ground: #fbfbfa; --ink: #1d2226; --soft: #68727a; --rule: #dfe3e6; --bar: #7ba7d7;
  --strong: #2b5f9e; --limit: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181b; --ink: #e4e8eb; --soft: #97a2ab; --rule: #2b3238;
  --bar: #35618f; --strong: #9cc7f5; --limit: #fb923c; } }
body { margin: 0 auto; max-width: 1000px; padding: 2rem 1rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 0; }
p { margin: .2rem 0 .6rem; color: var(--soft); } dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dt { color: var(--soft); } dd { margin: 0; } svg { width: 100%; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg .soft { fill: var(--soft); font-size: 11px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .rule { stroke: var(--rule); }
svg .bar { fill: var(--bar); } svg .whisker { stroke: var(--strong); stroke-width: 1.5; fill: none; }
svg .sample { fill: var(--strong); opacity: .35; } svg .limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 5 3; }
svg .told { fill: var(--limit); font-size: 11px; }
";

/// The whole page.
pub(crate) fn page(report: &Report, facts: &[(&str, String)]) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    html +=
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>drawdown: benches</title>\n";
    _ = write!(html, "<style>\n{STYLE}</style>\n<h1>drawdown: what things cost</h1>\n<dl>");
    for (name, fact) in facts {
        _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(fact));
    }
    html += "</dl>\n<p>A bar is the median of a bench's samples, the whisker its 95 % confidence interval, a dot one sample; dots beyond \
             the scale stand at its end. Bars that the project sets itself are drawn as dashed lines.</p>\n";
    if report.stale > 0 {
        _ = writeln!(html, "<p>{} figures of earlier runs were left out.</p>", report.stale);
    }
    for question in &report.questions {
        let each = match &question.unit {
            Unit::NsEach => "Time for each event, or each element of what is measured.",
            Unit::NsPerCall => "Time for one call of what is measured.",
            Unit::Named(_) => "",
        };
        _ = writeln!(html, "<h2>{}?</h2>\n<p>{each}</p>\n{}", escape(&capitalised(&question.text)), plot(question));
    }
    html + "</html>\n"
}

/// The bar of a question, if it has one.
fn limit(question: &str) -> Option<(f64, &'static str)> {
    BARS.iter().find(|(of, ..)| *of == question).map(|&(_, most, told)| (most, told))
}

fn plot(question: &Question) -> String {
    let limit = limit(&question.text);
    let scale = Scale::over(question.answers.iter().map(extent).chain(limit.map(|(most, _)| most)));
    let bottom = tops().nth(question.answers.len()).unwrap_or(TOP);
    let height = bottom + 22.0;
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(&question.text));
    for tick in scale.ticks() {
        let x = scale.x(tick);
        _ = writeln!(
            svg,
            "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"soft middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
            bottom + 15.0,
            amount(tick, &question.unit)
        );
    }
    for (answer, top) in question.answers.iter().zip(tops()) {
        draw(&mut svg, answer, &question.unit, &scale, top);
    }
    if let Some((most, told)) = limit {
        let x = scale.x(most);
        _ = writeln!(
            svg,
            "<line class=\"limit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>\
             <text class=\"told middle\" x=\"{x:.1}\" y=\"{}\">{told}</text>",
            TOP - 4.0,
            TOP - 8.0
        );
    }
    svg + "</svg>"
}

/// Where rows begin.
fn tops() -> impl Iterator<Item = f64> {
    (0..u16::MAX).map(|row| TOP + ROW * f64::from(row))
}

/// One answer: its name, bar, whisker, samples and value.
fn draw(svg: &mut String, answer: &Answer, unit: &Unit, scale: &Scale, top: f64) {
    let middle = top + ROW / 2.0;
    let (end, value) = (scale.x(answer.value), amount(answer.value, unit));
    _ = write!(svg, "<g><title>{}: {value}", escape(&answer.name));
    if let Some((lower, upper)) = answer.confidence {
        _ = write!(svg, ", 95 % between {} and {}", amount(lower, unit), amount(upper, unit));
    }
    _ = write!(
        svg,
        "</title><text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>\
         <rect class=\"bar\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\"/>",
        LEFT - 10.0,
        middle + 4.5,
        escape(&answer.name),
        top + 5.0,
        end - LEFT,
        ROW - 10.0
    );
    for sample in &answer.samples {
        _ = write!(svg, "<circle class=\"sample\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"1.8\"/>", scale.x(*sample));
    }
    if let Some((lower, upper)) = answer.confidence {
        let (from, to, above, below) = (scale.x(lower), scale.x(upper), middle - 5.0, middle + 5.0);
        _ = write!(
            svg,
            "<path class=\"whisker\" d=\"M{from:.1} {above}V{below}M{from:.1} {middle}H{to:.1}M{to:.1} {above}V{below}\"/>"
        );
    }
    _ = writeln!(svg, "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{value}</text></g>", WIDTH - 4.0, middle + 4.5);
}

/// How far an answer reaches: its confidence within reason, for one interruption may have moved samples and bounds anywhere.
fn extent(answer: &Answer) -> f64 {
    answer.confidence.map_or(answer.value, |(_, upper)| upper.clamp(answer.value, 2.0 * answer.value))
}

/// From values to places, beginning at zero.
struct Scale {
    most: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>) -> Scale {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Scale { most: if most > 0.0 { most * 1.08 } else { 1.0 } }
    }

    /// The place of a value; what lies beyond the scale stands at its end.
    fn x(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (value / self.most).clamp(0.0, 1.0)
    }

    /// Round values along the scale.
    fn ticks(&self) -> Vec<f64> {
        let rough = self.most / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(power * 10.0);
        (0..20).map(|count| f64::from(count) * step).take_while(|tick| *tick <= self.most).collect()
    }
}

/// A value with its unit, three digits of it.
fn amount(value: f64, unit: &Unit) -> String {
    let (value, name) = match unit {
        Unit::Named(name) => (value, name.as_str()),
        Unit::NsEach | Unit::NsPerCall => match value {
            1e9.. => (value / 1e9, "s"),
            1e6.. => (value / 1e6, "ms"),
            1e3.. => (value / 1e3, "µs"),
            _ => (value, "ns"),
        },
    };
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.0 => 0,
        _ => 2,
    };
    format!("{value:.digits$} {}", escape(name))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn answer(name: &str, value: f64) -> Answer {
        Answer {
            name: name.to_owned(),
            value,
            confidence: Some((value * 0.9, value * 1.1)),
            samples: vec![value, value * 9.0],
        }
    }

    fn question(text: &str, unit: Unit, answers: Vec<Answer>) -> Question {
        Question { text: text.to_owned(), unit, answers }
    }

    #[test]
    fn amounts_have_three_digits_and_a_fitting_unit() {
        for (ns, expected) in [
            (0.0, "0 ns"),
            (1.234, "1.23 ns"),
            (999.4, "999 ns"),
            (1563.0, "1.56 µs"),
            (3.4e6, "3.40 ms"),
            (1.2e9, "1.20 s"),
        ] {
            assert_eq!(amount(ns, &Unit::NsEach), expected);
        }
        assert_eq!(amount(183.2, &Unit::Named("bytes".to_owned())), "183 bytes");
    }

    #[test]
    fn ticks_are_round_and_within_the_scale() {
        for (most, expected) in [(1.0, vec![0.0, 0.5, 1.0]), (3000.0, vec![0.0, 1000.0, 2000.0, 3000.0])] {
            let scale = Scale::over([most].into_iter());
            assert_eq!(scale.ticks(), expected);
            assert!(scale.x(most) < RIGHT);
        }
    }

    #[test]
    fn what_lies_beyond_the_scale_stands_at_its_end() {
        let scale = Scale::over([100.0].into_iter());
        assert!(scale.x(-1.0) <= LEFT && scale.x(1e9) >= RIGHT && scale.x(50.0) < RIGHT);
        assert!(Scale::over(std::iter::empty()).x(0.5) > LEFT);
    }

    #[test]
    fn a_bar_is_drawn_for_the_question_that_has_one() {
        let crossing = question("what does a crossing cost", Unit::NsEach, vec![answer("alone", 100.0)]);
        assert!(plot(&crossing).contains("bar: 3 µs"));
        let other = question("what does it cost", Unit::NsEach, vec![answer("alone", 100.0)]);
        assert!(!plot(&other).contains("class=\"limit\""));
    }

    #[test]
    fn a_page_is_whole_and_escaped() {
        let questions = vec![question("what if a < b", Unit::NsPerCall, vec![answer("one & all", 5.0)])];
        let report = Report { questions, newest: SystemTime::UNIX_EPOCH, stale: 2 };
        let page = page(&report, &[("Commit", "<none>".to_owned())]);
        for part in ["What if a &lt; b?", "one &amp; all", "&lt;none&gt;", "2 figures of earlier runs", "</svg>"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(page.ends_with("</html>\n") && !page.contains("<script"));
    }
}
