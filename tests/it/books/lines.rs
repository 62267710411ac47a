//! What an operation or a debit writes into a wallet's history, by the model.

use std::collections::BTreeSet;

use drawdown_wal::Lsn;

use crate::model::{self, Command, Fate, Model, Outcome};

use super::step::Usage;

/// One line of a wallet's history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    pub(crate) grant: Option<u64>,
    pub(crate) delta: i128,
    pub(crate) parts: Vec<(u64, i128)>,
    pub(crate) debt: i128,
    pub(super) event: Option<String>,
    /// The feed's word for it.
    pub(super) told: Option<&'static str>,
    pub(super) hold: Option<u64>,
    pub(super) held: i128,
}

/// What one operation or debit wrote into a wallet's history.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) lines: Vec<Line>,
    pub(super) crossed: Vec<String>,
    pub(super) edges: Vec<(&'static str, String)>,
    /// The wallet afterwards.
    pub(crate) after: Model,
    /// The step that did it.
    pub(crate) step: usize,
    /// Nobody asked for it: it only brought about what was due. The engine need not have made it, if nothing came of it that can be seen.
    pub(super) is_due: bool,
    /// The event behind it.
    pub(super) identity: Option<(usize, u32)>,
    /// The debit that it took back, and how much of it.
    pub(super) reversed: Option<(Lsn, i128)>,
    /// The engine's time, ms.
    pub(crate) at: u64,
    /// As it was sent.
    pub(crate) usage: Option<Usage>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) exists: bool,
    pub(super) model: Option<Model>,
    pub(super) groups: Vec<Group>,
}

pub(super) fn crossed(outcome: &Outcome) -> Vec<String> {
    let mut names: Vec<_> = outcome.crossed.iter().cloned().collect();
    names.extend(outcome.depleted.then(|| "depleted".to_owned()));
    names.extend(outcome.negative.then(|| "negative".to_owned()));
    names.sort();
    names
}

/// What the feed tells of the lines that a change crossed.
pub(super) fn edges(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let told = |names: &BTreeSet<String>| names - &outcome.quiet;
    let mut edges: Vec<_> = told(&outcome.crossed).into_iter().map(|name| ("balance.low", name)).collect();
    edges.extend(told(&outcome.recovered).into_iter().map(|name| ("balance.recovered", name)));
    edges.extend(outcome.depleted.then(|| ("balance.depleted", "depleted".to_owned())));
    edges.extend(outcome.negative.then(|| ("balance.negative", "negative".to_owned())));
    edges
}

/// What happened to each grant between two states of a wallet, as lines of its history.
fn movements(before: &Model, after: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for (id, account) in after.accounts() {
        let old = before.accounts().find(|(old, _)| *old == id).map(|(_, account)| account.clone());
        let is_new = old.is_none();
        let old = old.unwrap_or_default();
        let push = |lines: &mut Vec<Line>, kind, amount: i128, delta: i128, told| {
            lines.push(Line {
                kind,
                grant: Some(id),
                delta,
                parts: vec![(id, amount)],
                debt: 0,
                event: None,
                told: Some(told),
                hold: None,
                held: 0,
            });
        };
        let (was_active, is_active) = (before.is_active(id), after.is_active(id));
        let (waited, waits) = (before.waits(id), after.waits(id));
        if waited && !waits {
            push(&mut lines, "GrantPaid", account.granted, 0, "grant.paid");
        }
        let is_remainder = after.child(id.wrapping_sub(1)) == Some(id);
        if is_new && is_remainder {
            lines.push(Line {
                grant: Some(id),
                parts: vec![(id - 1, account.granted), (id, account.granted)],
                ..plain("Rollover", Some("grant.rolled_over"))
            });
        } else if is_new && waits {
            push(&mut lines, "GrantPending", account.granted, 0, "grant.created");
        } else if is_new && is_active {
            push(&mut lines, "Grant", account.granted, account.granted, "grant.created");
        } else if is_new {
            push(&mut lines, "GrantScheduled", account.granted, 0, "grant.created");
        } else if is_active && !was_active {
            push(&mut lines, "Grant", account.granted, account.granted, "grant.activated");
        }
        for (_, paid) in after.repayments().iter().filter(|(payer, _)| *payer == id) {
            push(&mut lines, "DebtRepayment", *paid, 0, "debt.repaid");
        }
        let expired = account.expired - old.expired;
        if expired > 0 {
            push(&mut lines, "Expiry", expired, -expired, "grant.expired");
        }
        let voided = account.voided - old.voided;
        if voided > 0 {
            push(&mut lines, "Void", voided, if is_active { -voided } else { 0 }, "grant.voided");
        }
        let written_off = account.written_off - old.written_off;
        if written_off > 0 {
            push(&mut lines, "WriteOff", written_off, -written_off, "grant.voided");
        }
    }
    lines.extend(hold_movements(before, after));
    lines
}

/// What happened to each hold between two states of a wallet, but for captures.
fn hold_movements(before: &Model, after: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for kept in after.holds() {
        let id = kept.hold.id;
        let of = |kind, told, held, parts: &[(u64, i128)]| Line {
            hold: Some(id),
            held,
            parts: parts.to_vec(),
            ..plain(kind, Some(told))
        };
        let Some(old) = before.hold(id) else {
            lines.push(of("Hold", "hold.created", kept.hold.amount, &kept.parts));
            continue;
        };
        if old.hold.expires_at != kept.hold.expires_at {
            lines.push(of("Settings", "hold.updated", 0, &[]));
        }
        let ended = match (old.fate, kept.fate) {
            (Fate::Open, Fate::Expired) => Some(("HoldExpiry", "hold.expired")),
            (Fate::Open, Fate::Released) => Some(("Release", "hold.released")),
            (Fate::Open, Fate::Captured) if kept.left > 0 => Some(("Release", "hold.released")),
            _ => None,
        };
        lines.extend(ended.map(|(kind, told)| of(kind, told, -kept.left, &kept.returned)));
    }
    lines
}

pub(super) fn plain(kind: &'static str, told: Option<&'static str>) -> Line {
    Line { kind, grant: None, delta: 0, parts: Vec::new(), debt: 0, event: None, told, hold: None, held: 0 }
}

impl Book {
    pub(super) fn model(&self) -> Model {
        self.model.clone().unwrap_or_else(Model::new)
    }

    /// Makes one operation, or one debit, and writes its lines. A command that is refused leaves the books as they are.
    pub(super) fn enter(&mut self, command: &Command, now: u64, step: usize, event: Option<&Usage>) -> Outcome {
        let before = self.model();
        let mut after = before.clone();
        let outcome = after.apply(command, now);
        if outcome.refused.is_some() {
            return outcome;
        }
        let mut lines = movements(&before, &after);
        match command {
            Command::Debit { .. } => {
                let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
                lines.push(Line {
                    kind: "Debit",
                    grant: None,
                    delta: -outcome.taken,
                    parts: outcome.paid_by.clone(),
                    debt: outcome.taken - paid,
                    event: event.map(Usage::text),
                    told: Some("debit.applied"),
                    hold: None,
                    held: 0,
                });
            }
            Command::Capture { hold, .. } => {
                let (old, new) = (before.hold(*hold).expect("a hold"), after.hold(*hold).expect("a hold"));
                let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
                let is_late = old.fate == Fate::Expired;
                lines.push(Line {
                    delta: -outcome.taken,
                    parts: outcome.paid_by.clone(),
                    debt: outcome.taken - paid,
                    hold: Some(*hold),
                    held: if is_late { 0 } else { new.left - old.left },
                    ..plain(if is_late { "LateCapture" } else { "Capture" }, Some("hold.captured"))
                });
            }
            Command::SetStatus(status) => {
                let paid: i128 =
                    lines.iter().filter(|line| line.kind == "DebtRepayment").map(|line| line.parts[0].1).sum();
                let unpaid = before.debt() - paid;
                if *status == model::Status::Closed && unpaid > 0 {
                    lines.push(Line { delta: unpaid, ..plain("WriteOff", None) });
                }
                lines.push(plain(
                    "Settings",
                    Some(match status {
                        model::Status::Active => "wallet.updated",
                        model::Status::Frozen => "wallet.frozen",
                        model::Status::Closed => "wallet.closed",
                    }),
                ));
            }
            Command::Charge { .. } => lines.push(Line {
                delta: -outcome.taken,
                parts: outcome.paid_by.clone(),
                ..plain("Charge", Some("charge.created"))
            }),
            Command::Reverse(_) => {
                let returned: i128 = outcome.returned.iter().map(|(_, amount)| amount).sum();
                lines.push(Line {
                    delta: returned + outcome.debt_returned,
                    parts: outcome.returned.clone(),
                    debt: outcome.debt_returned,
                    ..plain("Reversal", Some("debit.reversed"))
                });
            }
            Command::SetAllowance(_)
            | Command::SetLevels(_)
            | Command::Inherit(..)
            | Command::ClearLevels
            | Command::Commit(_) => lines.push(plain("Settings", Some("wallet.updated"))),
            // A move that moves nothing leaves nothing to be seen. What it moves may have begun with what is due.
            Command::MoveExpiry { grant, expires_at } if before.at(now).expires_at(*grant) == *expires_at => {}
            Command::MoveExpiry { grant, .. } => lines.push(Line {
                grant: Some(*grant),
                parts: vec![(*grant, after.remaining(*grant))],
                ..plain("Settings", Some("grant.updated"))
            }),
            Command::TransferOut { .. } | Command::TransferIn(_) => transfer_line(command, &outcome, &mut lines),
            Command::Grant(_)
            | Command::Void { .. }
            | Command::Wait
            | Command::Pay { .. }
            | Command::Hold(_)
            | Command::Release { .. }
            | Command::ExtendHold { .. } => {}
        }
        lines.sort();
        let mut edges = edges(&outcome);
        if after.status() != model::Status::Closed {
            // The built-in lines are their own margin: what is crossed upwards has recovered.
            let (low, high) = (before.balance(), after.balance());
            // A new wallet's first credit lifts it off zero, but it had never been depleted.
            let was_depleted = !self.groups.is_empty() && low <= 0;
            edges.extend((was_depleted && high > 0).then(|| ("balance.recovered", "depleted".to_owned())));
            edges.extend((low < 0 && high >= 0).then(|| ("balance.recovered", "negative".to_owned())));
        }
        let identity = event.map(|usage| (usage.source, usage.id));
        let (crossed, usage, reversed) = (crossed(&outcome), event.cloned(), None);
        let (is_due, at) = (matches!(command, Command::Wait), now);
        let group = Group { lines, crossed, edges, after: after.clone(), step, is_due, identity, reversed, at, usage };
        self.model = Some(after);
        self.groups.push(group);
        outcome
    }
}

/// Enters the line of one side of a transfer.
fn transfer_line(command: &Command, outcome: &Outcome, lines: &mut Vec<Line>) {
    let (kind, told, sign, parts): (_, _, _, Vec<_>) = match command {
        Command::TransferIn(grants) => {
            lines.retain(|line| line.kind != "Grant" || grants.iter().all(|grant| Some(grant.id) != line.grant));
            ("TransferIn", "transfer.received", 1, grants.iter().map(|grant| (grant.id, grant.amount)).collect())
        }
        _ => ("TransferOut", "transfer.sent", -1, outcome.moved.iter().map(|(id, part, _)| (*id, *part)).collect()),
    };
    let delta = sign * parts.iter().map(|(_, part)| part).sum::<i128>();
    lines.push(Line { delta, parts, ..plain(kind, Some(told)) });
}
