//! Comparing what histories and the feed tell.

use std::collections::HashSet;

use drawdown::engine::Engine;
use drawdown::engine::view::{Entry, EntryKind, FeedEvent, FeedValue};
use drawdown::ledger::{Amount, GrantId};
use drawdown_wal::Lsn;

use super::holds::hold_text;
use super::lines::{Group, Line};
use super::{CURRENCIES, WalletNumber, units};

/// All of a wallet's entries, oldest first, read in pages.
pub(crate) fn history(engine: &Engine, wallet: WalletNumber, page: usize) -> Vec<Entry> {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let page = engine.entries(wallet.customer(), wallet.currency(), before, page).expect("a readable history");
        entries.extend(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    entries.reverse();
    entries
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Debit => "Debit",
        EntryKind::Grant => "Grant",
        EntryKind::GrantScheduled => "GrantScheduled",
        EntryKind::Expiry => "Expiry",
        EntryKind::Void => "Void",
        EntryKind::DebtRepayment => "DebtRepayment",
        EntryKind::WriteOff => "WriteOff",
        EntryKind::Settings => "Settings",
        EntryKind::Reversal => "Reversal",
        EntryKind::Adjustment => "Adjustment",
        EntryKind::Charge => "Charge",
        EntryKind::Hold => "Hold",
        EntryKind::Capture => "Capture",
        EntryKind::Release => "Release",
        EntryKind::HoldExpiry => "HoldExpiry",
        EntryKind::LateCapture => "LateCapture",
        EntryKind::GrantPending => "GrantPending",
        EntryKind::GrantPaid => "GrantPaid",
        EntryKind::Rollover => "Rollover",
        EntryKind::TransferOut => "TransferOut",
        EntryKind::TransferIn => "TransferIn",
        EntryKind::Freeze => "Freeze",
        EntryKind::Thaw => "Thaw",
    }
}

/// Compares a history with what the books say, group by group, as far as it goes; how many groups it holds. Groups without lines
/// (they leave nothing to be seen) count as held.
#[track_caller]
pub(crate) fn compare_groups(groups: &[Group], entries: &[Entry]) -> usize {
    let mut balance = 0;
    for entry in entries {
        balance += units(entry.amount);
        assert_eq!(units(entry.balance_after), balance, "the chain of balances breaks: {entry:?}");
    }
    let mut rest = entries;
    for (number, group) in groups.iter().enumerate() {
        if !group.lines.is_empty() && rest.is_empty() {
            return number;
        }
        assert!(rest.len() >= group.lines.len(), "an operation's entries are torn apart: {group:?}");
        let (of_group, behind) = rest.split_at(group.lines.len());
        rest = behind;
        let mut lines: Vec<_> = of_group.iter().map(line).collect();
        lines.sort();
        let expected: Vec<_> = group.lines.iter().map(|line| Line { told: None, ..line.clone() }).collect();
        assert_eq!(lines, expected);
        let mut crossed: Vec<_> = of_group.iter().flat_map(|entry| &entry.crossed).map(ToString::to_string).collect();
        crossed.sort();
        // What leaves nothing to be seen has no entry that could say what it crossed: an alert that was held back, and is told now.
        assert_eq!(crossed, if group.lines.is_empty() { &[] } else { &group.crossed[..] }, "{group:?}");
        if let Some(last) = of_group.last() {
            assert_eq!(units(last.balance_after), group.after.balance(), "{group:?}");
        }
    }
    assert!(rest.is_empty(), "entries that nobody asked for: {rest:?}");
    groups.len()
}

pub(super) fn line(entry: &Entry) -> Line {
    Line {
        kind: kind_name(entry.kind),
        grant: entry.grant.map(GrantId::get),
        delta: units(entry.amount),
        parts: entry.allocations.iter().map(|(grant, amount)| (grant.get(), units(*amount))).collect(),
        debt: units(entry.debt),
        event: entry.event.as_ref().map(|event| event.id.clone()),
        told: None,
        hold: entry.hold.map(|hold| hold.id.get()),
        held: units(entry.held),
    }
}

/// The whole feed, read in pages.
pub(crate) fn feed(engine: &Engine, page: usize) -> Vec<FeedEvent> {
    engine.barrier().wait().expect("a healthy log");
    let (mut events, mut after) = (Vec::new(), Lsn::ZERO);
    loop {
        let page = engine.feed(after, page, None).expect("a readable feed");
        events.extend(page.events);
        after = page.next;
        if page.at_end {
            return events;
        }
    }
}

pub(crate) fn wallet_of(event: &FeedEvent) -> Option<WalletNumber> {
    WalletNumber::of(event.customer.as_deref()?, &event.currency.as_ref()?.id)
}

pub(super) fn text<'e>(event: &'e FeedEvent, field: &str) -> &'e str {
    match event.data.iter().find(|(name, _)| *name == field) {
        Some((_, FeedValue::Text(text))) => text,
        _ => "",
    }
}

/// Compares what the feed tells of a wallet with the books.
pub(crate) fn compare_told(groups: &[Group], events: &[&FeedEvent], wallet: WalletNumber, engine: &Engine) {
    let identities: HashSet<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(identities.len(), events.len(), "an event is told twice, or two have one identity");
    let scale = CURRENCIES[wallet.currency_index()].1;
    let show = |amount: i128| {
        let amount = Amount::new(i64::try_from(amount).expect("an amount"));
        amount.display(drawdown::ledger::Scale::new(scale).expect("a scale")).to_string()
    };
    let mut expected = Vec::new();
    for line in groups.iter().flat_map(|group| &group.lines) {
        let Some(told) = line.told else { continue };
        if let (Some(grant), "adjustment.created") = (line.grant, told) {
            // Credits that were given are a grant as well.
            expected.push(("grant.created", engine.grant_text(GrantId::new(grant)), show(line.parts[0].1)));
        }
        let returned: i128 = line.parts.iter().map(|(_, part)| part).sum();
        let of_part = match told {
            "transfer.sent" => Some("grant.transferred"),
            "transfer.received" => Some("grant.created"),
            _ => None,
        };
        if let Some(kind) = of_part {
            let grants = line.parts.iter().map(|(grant, part)| (engine.grant_text(GrantId::new(*grant)), show(*part)));
            expected.extend(grants.map(|(grant, part)| (kind, grant, part)));
        }
        expected.push(match (told, line.grant) {
            ("debit.reversed", _) => (told, show(line.debt), show(returned)),
            ("charge.created" | "transfer.sent", _) => (told, String::new(), show(-line.delta)),
            ("adjustment.created", None) | ("transfer.received", _) => (told, String::new(), show(line.delta)),
            ("debit.applied", _) => (told, line.event.clone().unwrap_or_default(), show(-line.delta)),
            ("hold.captured", _) => (told, hold_text(line, engine), show(-line.delta)),
            ("hold.updated", _) => (told, hold_text(line, engine), String::new()),
            _ if line.hold.is_some() => (told, hold_text(line, engine), show(line.held.abs())),
            // Told of the grant that ended, where the history has the new one.
            ("grant.rolled_over", Some(grant)) => {
                (told, engine.grant_text(GrantId::new(grant).rolled_from()), show(line.parts[0].1))
            }
            (_, Some(grant)) => (told, engine.grant_text(GrantId::new(grant)), show(line.parts[0].1)),
            (_, None) => (told, String::new(), String::new()),
        });
    }
    let apart = ["wallet.created", "grant.depleted", "grant.reopened"];
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| !event.kind.starts_with("balance.") && !apart.contains(&event.kind))
        .map(|event| match event.kind {
            "debit.applied" => (event.kind, text(event, "event_id").to_owned(), text(event, "amount").to_owned()),
            "debit.reversed" => (event.kind, text(event, "debt").to_owned(), text(event, "returned").to_owned()),
            "charge.created" => (event.kind, String::new(), text(event, "from_wallet").to_owned()),
            kind if kind.starts_with("hold.") => {
                (event.kind, text(event, "hold").to_owned(), text(event, "amount").to_owned())
            }
            _ => (event.kind, text(event, "grant").to_owned(), text(event, "amount").to_owned()),
        })
        .collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected, "{wallet:?}");
    let edges = Edges::of(groups, events);
    assert_eq!(edges.told, edges.expected, "{wallet:?}");
}

/// A line that a balance crossed: the feed's word for it, and the line's name.
type Edge = (&'static str, String);

/// The edges of a wallet, a row for each group, and one for those that belong to none.
pub(super) struct Edges {
    /// What the feed tells, as the groups would have it.
    pub(super) told: Vec<Vec<Edge>>,
    /// What the groups say.
    pub(super) expected: Vec<Vec<Edge>>,
}

impl Edges {
    /// Edges come of operations only, so their order is the wallet's own; those of one operation are told together.
    pub(super) fn of(groups: &[Group], events: &[&FeedEvent]) -> Edges {
        let mut edges: Vec<Edge> = events
            .iter()
            .filter(|event| event.kind.starts_with("balance."))
            .map(|event| (event.kind, text(event, "level").to_owned()))
            .collect();
        // A first credit is no recovery. Whether it was the first operation is not known here if a crash may have taken one that left no line.
        let first =
            groups.iter().position(|group| !group.lines.is_empty()).filter(|first| groups[*first].after.balance() > 0);
        let may_be_first = |edge: &Edge| *edge == ("balance.recovered", "depleted".to_owned());
        if let Some(first) = first {
            let others = groups[first].edges.iter().filter(|edge| !may_be_first(edge)).count();
            if let Some(at) = edges.iter().take(others + 1).position(may_be_first) {
                edges.remove(at);
            }
        }
        let (mut edges, mut told, mut expected) = (edges.into_iter(), Vec::new(), Vec::new());
        for (number, group) in groups.iter().enumerate() {
            let mut of_group = group.edges.clone();
            if Some(number) == first {
                of_group.retain(|edge| !may_be_first(edge));
            }
            let mut told_of_group: Vec<_> = edges.by_ref().take(of_group.len()).collect();
            told_of_group.sort();
            told.push(told_of_group);
            of_group.sort();
            expected.push(of_group);
        }
        told.push(edges.collect());
        expected.push(Vec::new());
        Edges { told, expected }
    }
}
