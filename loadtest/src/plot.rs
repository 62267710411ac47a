//! The report as pictures: latency by percentile, throughput over time, latency over time. One SVG without scripts or fonts of its own,
//! readable on light and on dark ground.

use crate::report::{Point, Report, TimeSlice};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const PANEL_HEIGHT: f64 = 230.0;

/// Height of a line of small text, and the most characters that fit into one.
const LINE_HEIGHT: f64 = 15.0;
const LINE_CHARACTERS: usize = 110;

/// The plotting area within a panel: left, top, right and bottom edge.
const LEFT: f64 = 70.0;
const AREA_TOP: f64 = 28.0;
const RIGHT: f64 = WIDTH - 20.0;
const AREA_BOTTOM: f64 = PANEL_HEIGHT - 40.0;

const STYLE: &str = "\
svg{background:#fff;color:#222;font:12px system-ui,sans-serif}\
text{fill:currentColor}.t{font-weight:600;font-size:13px}.s{opacity:.7;font-size:11px}\
.g{stroke:currentColor;stroke-opacity:.15}.l{fill:none;stroke-width:1.6;stroke-linejoin:round}\
.a{stroke:#1f6feb}.b{stroke:#c2570c}.c{stroke:#8a63d2}.ka{fill:#1f6feb}.kb{fill:#c2570c}.kc{fill:#8a63d2}\
@media(prefers-color-scheme:dark){svg{background:#14171c;color:#dde1e6}\
.a{stroke:#6cb0ff}.b{stroke:#ff9d5c}.c{stroke:#c3a6ff}.ka{fill:#6cb0ff}.kb{fill:#ff9d5c}.kc{fill:#c3a6ff}}";

/// Draws a report.
pub fn svg(report: &Report) -> String {
    let lines: Vec<String> = [report.run_line(), report.machine_line()].iter().flat_map(|line| wrapped(line)).collect();
    let baseline = |index: usize| 40.0 + LINE_HEIGHT * f64::from(index as u32);
    let (top, height) = (baseline(lines.len()), baseline(lines.len()) + 3.0 * PANEL_HEIGHT);
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Load test"><style>{STYLE}</style>"#
    );
    let title = format!("drawdown: {:.0} events/s", report.events_per_second);
    text(&mut out, "t", 12.0, 22.0, "start", &title);
    for (index, line) in lines.iter().enumerate() {
        text(&mut out, "s", 12.0, baseline(index), "start", line);
    }
    percentiles(&mut out, top, &report.latency_curve);
    throughput(&mut out, top + PANEL_HEIGHT, &report.time_slices);
    latencies(&mut out, top + 2.0 * PANEL_HEIGHT, &report.time_slices);
    out.push_str("</svg>\n");
    out
}

/// Cuts a line at spaces.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + word.len() < LINE_CHARACTERS {
            last.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// One axis: from values to places.
#[derive(Clone, Copy)]
struct Axis {
    least: f64,
    most: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn linear(most: f64, from: f64, to: f64) -> Self {
        Axis { least: 0.0, most: if most > 0.0 { most } else { 1.0 }, is_log: false, from, to }
    }

    /// Whole decades around the values.
    fn log(least: f64, most: f64, from: f64, to: f64) -> Self {
        let least = 10_f64.powf(least.max(1e-3).log10().floor());
        let most = 10_f64.powf(most.max(least * 10.0).log10().ceil());
        Axis { least, most, is_log: true, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Where lines of the grid are: decades, or round steps.
    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let decades = (self.most / self.least).log10().round() as i32;
            return (0..=decades).map(|decade| self.least * 10_f64.powi(decade)).collect();
        }
        let rough = self.most / 5.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(rough);
        (0..=5_u8).map(|index| f64::from(index) * step).filter(|&tick| tick <= self.most).collect()
    }
}

struct Panel {
    top: f64,
    y: Axis,
}

impl Panel {
    fn begin(out: &mut String, top: f64, title: &str, y: Axis, unit: fn(f64) -> String) -> Self {
        let panel = Panel { top, y };
        text(out, "t", LEFT, panel.top + 18.0, "start", title);
        for tick in y.ticks() {
            let place = panel.top + y.place(tick);
            let _ = write!(out, r#"<path class="g" d="M{LEFT} {place:.1}H{RIGHT}"/>"#);
            text(out, "s", LEFT - 6.0, place + 4.0, "end", &unit(tick));
        }
        panel
    }

    fn x_tick(&self, out: &mut String, place: f64, label: &str) {
        let (top, bottom) = (self.top + AREA_TOP, self.top + AREA_BOTTOM);
        let _ = write!(out, r#"<path class="g" d="M{place:.1} {top:.1}V{bottom:.1}"/>"#);
        text(out, "s", place, bottom + 15.0, "middle", label);
    }

    fn line(&self, out: &mut String, class: char, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, value) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {:.1}", self.top + self.y.place(value));
        }
        if !path.is_empty() {
            let _ = write!(out, r#"<path class="l {class}" d="{path}"/>"#);
        }
    }

    fn legend(&self, out: &mut String, names: &[(char, &str)]) {
        for (index, (class, name)) in (0_u8..).zip(names.iter().rev()) {
            let x = RIGHT - 46.0 - 60.0 * f64::from(index);
            let y = self.top + 10.0;
            let _ = write!(out, r#"<rect class="k{class}" x="{x}" y="{y}" width="12" height="3"/>"#);
            text(out, "s", x + 16.0, y + 6.0, "start", name);
        }
    }
}

fn percentiles(out: &mut String, top: f64, curve: &[Point]) {
    let y = latency_axis(curve.iter().map(|point| point.us));
    let panel = Panel::begin(out, top, "Latency by percentile", y, duration);
    // One more nine at each step to the right.
    let nines_max = curve.last().map_or(1.0, Point::nines).max(1.0);
    let x = Axis::linear(nines_max, LEFT, RIGHT);
    for (nines, label) in
        [(0.0, "0"), (0.301, "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99"), (5.0, "99.999")]
    {
        if nines <= nines_max {
            panel.x_tick(out, x.place(nines), &format!("{label} %"));
        }
    }
    panel.line(out, 'a', curve.iter().map(|point| (x.place(point.nines()), point.us)));
}

fn throughput(out: &mut String, top: f64, slices: &[TimeSlice]) {
    let most = slices.iter().map(|slice| slice.events_per_second).fold(0.0, f64::max);
    let panel = Panel::begin(out, top, "Events a second over time", Axis::linear(most, AREA_BOTTOM, AREA_TOP), count);
    let x = time_axis(out, &panel, slices);
    panel.line(out, 'a', slices.iter().map(|slice| (x.place(slice.middle()), slice.events_per_second)));
}

fn latencies(out: &mut String, top: f64, slices: &[TimeSlice]) {
    let busy = || slices.iter().filter(|slice| slice.requests > 0);
    let y = latency_axis(busy().flat_map(|slice| [slice.p50_us, slice.max_us]));
    let panel = Panel::begin(out, top, "Latency over time", y, duration);
    let x = time_axis(out, &panel, slices);
    for (class, of) in [
        ('c', (|slice| slice.max_us) as fn(&TimeSlice) -> f64),
        ('b', |slice| slice.p99_us),
        ('a', |slice| slice.p50_us),
    ] {
        panel.line(out, class, busy().map(|slice| (x.place(slice.middle()), of(slice))));
    }
    panel.legend(out, &[('a', "p50"), ('b', "p99"), ('c', "max")]);
}

fn latency_axis(values: impl Iterator<Item = f64>) -> Axis {
    let (least, most) = values.fold((f64::INFINITY, 1.0), |(least, most), us| (us.min(least), us.max(most)));
    Axis::log(if least.is_finite() { least } else { 1.0 }, most, AREA_BOTTOM, AREA_TOP)
}

fn time_axis(out: &mut String, panel: &Panel, slices: &[TimeSlice]) -> Axis {
    let end = slices.last().map_or(1.0, |slice| slice.start_seconds + slice.seconds);
    let x = Axis::linear(end, LEFT, RIGHT);
    for tick in x.ticks() {
        panel.x_tick(out, x.place(tick), &format!("{} s", short(tick)));
    }
    x
}

fn duration(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{} us", short(us)),
        us if us < 1e6 => format!("{} ms", short(us / 1e3)),
        us => format!("{} s", short(us / 1e6)),
    }
}

fn count(value: f64) -> String {
    match value {
        value if value < 1e4 => short(value),
        value if value < 1e6 => format!("{} k", short(value / 1e3)),
        value => format!("{} M", short(value / 1e6)),
    }
}

/// Up to three decimals, without trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(out: &mut String, class: &str, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = write!(out, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">"#);
    for character in content.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            // XML has no other control characters.
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out.push_str("</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_place_their_ends_and_clamp_the_rest() {
        let log = Axis::log(30.0, 4_000.0, 100.0, 0.0);
        assert_eq!(log.ticks().iter().map(|tick| tick.round()).collect::<Vec<_>>(), [10.0, 100.0, 1000.0, 10_000.0]);
        let place = |axis: &Axis, value| axis.place(value).round() as i32;
        assert_eq!([1.0, 10.0, 10_000.0, 1e9].map(|value| place(&log, value)), [100, 100, 0, 0]);
        let linear = Axis::linear(10.0, 0.0, 50.0);
        assert_eq!(linear.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!([-1.0, 5.0, 11.0].map(|value| place(&linear, value)), [0, 25, 50]);
        assert!(Axis::linear(0.0, 0.0, 1.0).place(0.0).is_finite(), "a run without events has a plot too");
    }

    #[test]
    fn long_lines_are_cut_at_spaces() {
        let line = "word ".repeat(60).trim_end().to_owned();
        let lines = wrapped(&line);
        assert_eq!(lines.join(" "), line);
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= LINE_CHARACTERS), "{lines:?}");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0.5, 1000.0, 1_250_000.0].map(duration), ["0.5 us", "1 ms", "1.25 s"]);
        assert_eq!([0.0, 9999.0, 25_000.0, 1_500_000.0].map(count), ["0", "9999", "25 k", "1.5 M"]);
    }

    #[test]
    fn texts_are_escaped() {
        let mut out = String::new();
        text(&mut out, "t", 1.0, 2.0, "end", "a<b & \u{1}c");
        assert_eq!(out, r#"<text class="t" x="1.0" y="2.0" text-anchor="end">a&lt;b &amp;  c</text>"#);
    }
}
