//! What the crate promises of every page (`src/lib.rs`), looked at in the markup of all of them.

#[path = "../examples/preview/samples.rs"]
mod samples;
mod tags;

use drawdown_pages::deposit::Deposit;
use drawdown_pages::history::{EntryRow, History};
use drawdown_pages::notice::Notice;
use drawdown_pages::{STYLE, Session, Tone};
use samples::{SESSION, deposit, pages};
use std::collections::BTreeSet;
use tags::{Tag, tags};

#[test]
fn every_page_nests_as_it_should() {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "hr"];
    for (name, page) in pages() {
        assert!(page.starts_with("<!DOCTYPE html>"), "{name}");
        let mut open: Vec<String> = Vec::new();
        for tag in tags(&page) {
            if tag.is_end {
                assert_eq!(open.pop().as_deref(), Some(tag.name.as_str()), "{name}: {tag:?} closes what is not open");
            } else if !VOID.contains(&tag.name.as_str()) {
                open.push(tag.name);
            }
        }
        assert_eq!(open, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn no_page_has_scripts_or_styles_of_its_own() {
    for (name, page) in pages() {
        for tag in tags(&page) {
            assert!(!["script", "style", "iframe", "object", "img"].contains(&tag.name.as_str()), "{name}: {tag:?}");
            for (attribute, value) in &tag.attributes {
                assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: {tag:?}");
                assert!(!value.trim_start().to_ascii_lowercase().starts_with("javascript:"), "{name}: {tag:?}");
            }
        }
    }
}

#[test]
fn every_form_posts_and_carries_the_token() {
    let mut forms = 0;
    for (name, page) in pages() {
        let all = tags(&page);
        for (place, form) in all.iter().enumerate().filter(|(_, tag)| tag.name == "form" && !tag.is_end) {
            forms += 1;
            assert_eq!(form.get("method"), Some("post"), "{name}");
            let end = all[place..].iter().position(|tag| tag.name == "form" && tag.is_end).expect("forms end") + place;
            let is_token = |tag: &Tag| tag.get("name") == Some("token") && tag.get("value") == Some("t0k3n");
            assert!(all[place..end].iter().any(is_token), "{name}");
        }
    }
    assert!(forms > 8, "{forms} forms looked at");
}

#[test]
fn every_field_has_a_label_and_ids_are_unique() {
    for (name, page) in pages() {
        let all = tags(&page);
        let mut ids = BTreeSet::new();
        for id in all.iter().filter_map(|tag| tag.get("id")) {
            assert!(ids.insert(id.to_owned()), "{name}: {id} twice");
        }
        let labels: BTreeSet<_> = all.iter().filter_map(|tag| tag.get("for")).collect();
        for (place, field) in all.iter().enumerate().filter(|(_, tag)| tag.name == "input" || tag.name == "select") {
            let is_named = field.is_end
                || field.get("type") == Some("hidden")
                || field.get("aria-label").is_some()
                || field.get("id").is_some_and(|id| labels.contains(id))
                || all[place - 1].name == "label";
            assert!(is_named, "{name}: {field:?}");
        }
        for pointer in ["aria-describedby", "aria-labelledby"] {
            for id in all.iter().filter_map(|tag| tag.get(pointer)) {
                assert!(ids.contains(id), "{name}: {pointer} {id} points at nothing");
            }
        }
    }
}

#[test]
fn every_page_has_one_heading_one_main_part_and_a_language() {
    for (name, page) in pages() {
        let count = |wanted: &str| tags(&page).iter().filter(|tag| tag.name == wanted && !tag.is_end).count();
        assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1), "{name}");
        assert!(tags(&page).iter().any(|tag| tag.name == "html" && tag.get("lang") == Some("en")), "{name}");
    }
}

#[test]
fn what_comes_from_outside_is_escaped() {
    const HOSTILE: &str = "\"><script>alert(1)</script>&'";
    let session = Session {
        merchant: HOSTILE,
        customer: HOSTILE,
        currency: HOSTILE,
        token: HOSTILE,
        message: Some((Tone::Bad, HOSTILE)),
        ..SESSION
    };
    let entry =
        EntryRow { time: HOSTILE, title: HOSTILE, detail: Some(HOSTILE), amount: HOSTILE, balance_after: HOSTILE };
    let history = History { symbol: HOSTILE, entries: &[entry], older: Some(HOSTILE), is_later_page: true };
    let notice =
        Notice { base: HOSTILE, title: HOSTILE, text: HOSTILE, tone: Tone::Bad, link: Some((HOSTILE, HOSTILE)) };
    let deposit = Deposit {
        base: HOSTILE,
        merchant: HOSTILE,
        title: HOSTILE,
        state: (Tone::Bad, HOSTILE),
        currency: HOSTILE,
        address: Some(HOSTILE),
        reference: HOSTILE,
        back: Some(HOSTILE),
        ..deposit()
    };
    for page in [history.page(&session), notice.page(), deposit.page()] {
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert!(tags(&page).iter().all(|tag| tag.name != "script"));
    }
}

#[test]
fn every_class_has_a_style() {
    // Classes that only say what a thing is.
    const BARE: [&str; 4] = ["rule", "switch", "screen", "leave"];
    for (name, page) in pages() {
        for classes in tags(&page).iter().filter_map(|tag| tag.get("class")) {
            for class in classes.split_whitespace() {
                assert!(BARE.contains(&class) || STYLE.contains(&format!(".{class}")), "{name}: .{class}");
            }
        }
    }
}
