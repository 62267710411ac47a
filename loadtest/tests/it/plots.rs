//! Reports as pictures.

use super::audits::{EVENTS, report};
use super::fake::Fault;
use loadtest::plot::svg;

/// Follows the tags of a document without comments, sections and entities of its own; `Err` says what is wrong.
fn well_formed(xml: &str) -> Result<Vec<String>, String> {
    let (mut open, mut seen, mut rest) = (Vec::new(), Vec::new(), xml.trim_end());
    while let Some(begin) = rest.find('<') {
        let text = &rest[..begin];
        if open.is_empty() && !text.is_empty() {
            return Err(format!("text outside: {text}"));
        }
        let plain = text.replace("&lt;", "").replace("&amp;", "");
        if plain.contains('&') || plain.contains(|character: char| character.is_control()) {
            return Err(format!("text that needs escaping: {text}"));
        }
        let end = rest.find('>').ok_or("a tag does not end")?;
        let tag = &rest[begin + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("{name} is closed and was not open"));
            }
            continue;
        }
        let tag = tag.strip_suffix('/').map_or((tag, true), |tag| (tag, false));
        let (name, attributes) = tag.0.split_once(' ').unwrap_or((tag.0, ""));
        if attributes.matches('"').count() % 2 == 1
            || attributes.matches('=').count() * 2 != attributes.matches('"').count()
        {
            return Err(format!("attributes of {name}: {attributes}"));
        }
        seen.push(name.to_owned());
        if tag.1 {
            open.push(name);
        }
    }
    if open.is_empty() && rest.is_empty() { Ok(seen) } else { Err(format!("left open: {open:?} {rest}")) }
}

#[test]
fn the_checker_sees_what_is_wrong() {
    assert!(well_formed("<a x=\"1\"><b/>t &amp; u</a>\n").is_ok());
    for wrong in ["<a>", "<a></b>", "<a x=1></a>", "<a>&</a>", "text", "<a></a><b"] {
        assert!(well_formed(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_plot_is_well_formed_and_draws_every_line() {
    let report = report(Fault::None, &[EVENTS, &["--batch", "10"]].concat());
    let picture = svg(&report);
    let tags = well_formed(&picture).expect("it is XML");
    assert_eq!(tags[..2], ["svg", "style"]);
    for wrong in ["NaN", "inf", "null"] {
        assert!(!picture.contains(wrong), "{wrong} in {picture}");
    }
    let lines = picture.matches(r#"<path class="l "#).count();
    assert_eq!(lines, 5, "percentiles, throughput, and three latencies over time");
    assert!(picture.len() < 100_000, "{} bytes", picture.len());
}

#[test]
fn a_run_without_answers_is_drawn_too() {
    let picture = svg(&report(Fault::RefusesEvents, EVENTS));
    well_formed(&picture).expect("it is XML");
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}
