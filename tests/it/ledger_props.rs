//! The rules under random operations: against the model, and against what they claim of themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::ledger::{
    Amount, Bearings, Category, Clause, Commitment, Decimal, Expiry, GrantId, HoldId, LevelStates, Levels, Lines, Lot,
    Movement, NewGrant, NewHold, Occurrence, OpenHold, Operation, Part, Payment, Policy, Progress, Return, Reversal,
    Riders, Rollover, Special, Status, Taken, Terms, Unpaid, decide_debit, transition,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{self, Command};
use crate::subject::{at, level, on_exceed, operation, policy, tell, units};

// Random commands. Ids, dates and the like are small numbers that often meet; amounts are sometimes at the limits.

fn any_amount() -> impl Strategy<Value = i128> {
    prop_oneof![
        30 => 0..60_i128,
        6 => 0..1_000_i128,
        1 => -5..0_i128,
        1 => (0..40_i128).prop_map(|less| i128::from(i64::MAX) - less),
    ]
}

fn any_policy() -> impl Strategy<Value = model::Policy> {
    prop_oneof![
        6 => Just(model::Policy::Reject),
        2 => Just(model::Policy::Partial),
        2 => Just(model::Policy::Overdraft),
    ]
}

/// A level; every other time the same one for its number, so that stories set levels that are already there.
fn any_level(number: usize) -> impl Strategy<Value = model::Level> {
    let usual = (10 * (i128::try_from(number).expect("a small number") + 1), false, 5);
    let other = (-20..60_i128, any::<bool>(), prop_oneof![Just(0), 0..10_i128]);
    let kinds = (any_watched(), any_percent(), prop_oneof![2 => Just(0), 1 => 1..12_u64]);
    let plain = (model::Watches::Balance, None, 0);
    let of = prop_oneof![Just((usual, plain)), (other.clone(), Just(plain)), (other, kinds)];
    of.prop_map(move |((amount, at_or_below, margin), (watches, percent, interval))| model::Level {
        watches,
        percent,
        interval,
        ..model::Level::plain(
            format!("level-{number}"),
            if percent.is_some() { 0 } else { amount },
            at_or_below,
            margin,
        )
    })
}

fn any_watched() -> impl Strategy<Value = model::Watches> {
    prop_oneof![Just(model::Watches::Balance), Just(model::Watches::Available), Just(model::Watches::Projected)]
}

/// Millionths of a percent.
fn any_percent() -> impl Strategy<Value = Option<i128>> {
    proptest::option::of(
        prop_oneof![3 => (1..=100_i128).prop_map(|whole| whole * 1_000_000), 1 => 1..=100_000_000_i128],
    )
}

/// Commitments, each with how long it lasts from when it is made.
fn any_commitments() -> impl Strategy<Value = Vec<(i128, Option<u64>)>> {
    let amount = prop_oneof![20 => 1..40_i128, 1 => -1..1_i128, 1 => Just(model::BALANCE_MAX)];
    vec((amount, proptest::option::of(0..30_u64)), 0..4)
}

fn any_levels() -> impl Strategy<Value = Vec<model::Level>> {
    (0..5_usize).prop_flat_map(|count| (0..count).map(any_level).collect::<Vec<_>>())
}

/// A grant whose id and dates are given relative to the moment at which it is made.
fn any_grant() -> impl Strategy<Value = model::Grant> {
    let period = (prop_oneof![2 => Just(0), 1 => 0..20_u64], proptest::option::weighted(0.7, 0..40_u64));
    let kind = (prop_oneof![20 => 0..4_u8, 1 => 95..103_u8], any::<bool>(), proptest::option::of(-1..50_i128));
    let limit = proptest::option::weighted(0.1, 0..200_i128);
    let extras = (limit, any_model_rollover(), any_model_payment());
    (any_amount(), period, kind, extras).prop_map(|(amount, (effective_at, expires_at), kind, extras)| {
        let (priority, promotional, cost) = kind;
        let (max_balance, rollover, payment) = extras;
        // One that waits has either an end or a length.
        let expires_at = expires_at.filter(|_| payment.as_ref().is_none_or(|payment| payment.lasts.is_none()));
        model::Grant {
            id: 0,
            amount,
            priority,
            promotional,
            effective_at,
            expires_at,
            cost,
            max_balance,
            rollover,
            payment,
        }
    })
}

fn any_on_exceed() -> impl Strategy<Value = model::OnExceed> {
    prop_oneof![Just(model::OnExceed::Reject), Just(model::OnExceed::Cap), Just(model::OnExceed::Overdraw)]
}

/// A hold whose end is given relative to the moment at which it is made.
fn any_hold() -> impl Strategy<Value = model::Hold> {
    (any_amount(), 0..40_u64, any_on_exceed()).prop_map(|(amount, expires_at, on_exceed)| model::Hold {
        id: 0,
        amount,
        expires_at,
        on_exceed,
    })
}

fn any_model_rollover() -> impl Strategy<Value = Option<model::Rollover>> {
    let terms = (1..=10_i128, proptest::option::weighted(0.3, 1..20_i128), proptest::option::of(1..30_u64), 0..8_u8);
    let terms =
        terms.prop_map(|(parts, max, lasts, priority)| model::Rollover { parts, whole: 10, max, lasts, priority });
    proptest::option::weighted(0.3, terms)
}

fn any_model_payment() -> impl Strategy<Value = Option<model::Payment>> {
    let terms = (any::<bool>(), proptest::option::of(1..30_u64));
    let terms = terms.prop_map(|(begins_then, lasts)| model::Payment { begins_then, lasts });
    proptest::option::weighted(0.2, terms)
}

fn any_command() -> impl Strategy<Value = Command> {
    let status = prop_oneof![
        10 => Just(model::Status::Active),
        3 => Just(model::Status::Frozen),
        1 => Just(model::Status::Closed)
    ];
    prop_oneof![
        40 => (any_amount(), any_policy()).prop_map(|(amount, policy)| Command::Debit { amount, policy }),
        14 => any_grant().prop_map(Command::Grant),
        3 => (0..20_u64).prop_map(|grant| Command::Void { grant }),
        4 => (0..20_u64, proptest::option::of(0..40_u64))
            .prop_map(|(grant, expires_at)| Command::MoveExpiry { grant, expires_at }),
        3 => status.prop_map(Command::SetStatus),
        3 => any_amount().prop_map(Command::SetAllowance),
        6 => any_levels().prop_map(Command::SetLevels),
        5 => prop_oneof![8 => 1..90_i128, 1 => Just(i128::from(i64::MAX))].prop_map(|amount| Command::Charge { amount }),
        3 => (1..6_u32, any_levels()).prop_map(|(version, levels)| Command::Inherit(version, levels)),
        1 => Just(Command::ClearLevels),
        3 => any_commitments().prop_map(Command::Commit),
        4 => Just(Command::Wait),
        16 => any_hold().prop_map(Command::Hold),
        16 => (0..12_u64, any_amount(), proptest::bool::weighted(0.3))
            .prop_map(|(hold, amount, is_final)| Command::Capture { hold, amount, is_final }),
        4 => (0..12_u64).prop_map(|hold| Command::Release { hold }),
        4 => (0..12_u64, 0..40_u64).prop_map(|(hold, expires_at)| Command::ExtendHold { hold, expires_at }),
        6 => (0..20_u64).prop_map(|grant| Command::Pay { grant }),
        6 => any_amount().prop_map(|amount| Command::TransferOut { amount }),
    ]
}

/// Commands, each with the time that passes before it.
fn any_story() -> impl Strategy<Value = Vec<(u64, Command)>> {
    vec((prop_oneof![6 => Just(0), 3 => 1..4_u64, 1 => 5..60_u64], any_command()), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_agree_with_the_model(story in any_story()) {
        tell(&story, false);
    }

    #[test]
    fn debits_on_the_slow_path_agree_with_the_model_too(story in any_story()) {
        tell(&story, true);
    }
}

// Random terms, built from the invariants rather than by operations.

fn any_lot() -> impl Strategy<Value = Lot> {
    let kind = (0..4_u8, any::<bool>(), prop_oneof![Just(0), 0..100_i64, Just(i64::MAX)]);
    let size = prop_oneof![8 => 1..50_i64, 1 => 1..(i64::MAX / 64)];
    (size, 0..20_i64, kind, 0..30_u64, proptest::option::of(1..40_u64)).prop_map(|(left, spent, kind, begin, lasts)| {
        let (priority, promotional, cost) = kind;
        Lot {
            id: GrantId::new(0),
            remaining: Amount::new(left),
            granted: Amount::new(left + spent),
            effective_at: at(begin),
            expires_at: lasts.map_or(Expiry::NEVER, |lasts| Expiry::at(at(begin + lasts))),
            cost,
            priority,
            category: if promotional { Category::Promotional } else { Category::Paid },
        }
    })
}

/// States that a level can be in at a balance: the first fit is armed or idle, and `fired` prefers to have fired.
/// `muted` prefers to have fired silently; what was told, was told at [`TOLD`].
fn states_at(levels: &Levels, balance: Amount, bearings: &Bearings, fired: u64, muted: u64) -> LevelStates {
    let mut states = LevelStates::default();
    for (index, level) in levels.iter().enumerate() {
        let bit = 1 << index;
        if balance < level.rearm(bearings) && fired & bit != 0 {
            states.triggered |= bit;
            if level.min_interval_ms > 0 {
                states.muted |= bit & muted;
            }
        } else if balance >= level.line(bearings) {
            states.armed |= bit;
        }
    }
    states
}

/// When levels of random terms were told last: so that none of them may be told again at [`EARLY`].
const TOLD: u64 = 5;
/// A hold: how much beyond its parts, when it ends, its policy, and which share of which lots it has.
type HoldSeed = (i64, u64, model::OnExceed, Vec<(usize, u8, bool)>);

fn any_hold_seed() -> impl Strategy<Value = HoldSeed> {
    let parts = vec((0..8_usize, 1..4_u8, proptest::bool::weighted(0.2)), 0..3);
    (0..20_i64, 1..40_u64, any_on_exceed(), parts)
}

/// Makes holds out of lots: each takes its share, and what is taken whole is no lot any more.
fn holds_of(seeds: Vec<HoldSeed>, lots: &mut Vec<Lot>) -> Vec<OpenHold> {
    let all = lots.clone();
    let mut holds = Vec::new();
    for (number, (unbacked, end, policy, shares)) in (1..).zip(seeds) {
        let mut parts: Vec<Part> = Vec::new();
        for (place, share, is_voided) in shares {
            let Some(grant) = all.get(place).map(|lot| lot.id) else { continue };
            let Some(at) = lots.iter().position(|lot| lot.id == grant) else { continue };
            if parts.iter().any(|part| part.lot.id == grant) {
                continue;
            }
            let part = Amount::new((lots[at].remaining.units() / i64::from(share)).max(1));
            parts.push(Part { lot: Lot { remaining: part, ..lots[at] }, is_voided: false });
            lots[at].remaining = lots[at].remaining.checked_sub(part).expect("a share");
            if lots[at].remaining == Amount::ZERO {
                lots.remove(at);
                // A voided grant has nothing free.
                parts.last_mut().expect("pushed").is_voided = is_voided;
            }
        }
        parts.sort_by(|a, b| a.lot.spend_order(&b.lot));
        let backed: i64 = parts.iter().map(|part| part.lot.remaining.units()).sum();
        let remaining = Amount::new((backed + unbacked).max(1));
        holds.push(OpenHold {
            id: HoldId::new(number),
            amount: remaining,
            remaining,
            expires_at: at(end),
            on_exceed: on_exceed(policy),
            parts: parts.into_iter().collect(),
        });
    }
    holds.sort_by_key(|hold| (hold.expires_at, hold.id));
    holds
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![8 => Just(Status::Active), 1 => Just(Status::Frozen)]
}

fn any_rollover() -> impl Strategy<Value = Rollover> {
    let fraction = prop_oneof![Just((1, 0)), (1..=10_i64).prop_map(|tenths| (tenths, 1)), Just((1, 18))];
    let max = proptest::option::of(prop_oneof![1..30_i64, Just(i64::MAX)]);
    let lasts = proptest::option::of(prop_oneof![1..20_u64, Just(u64::MAX)]);
    (fraction, max, lasts, 0..=100_u8).prop_map(|((mantissa, scale), max, valid_for_ms, priority)| Rollover {
        fraction: Decimal::from_parts(mantissa, scale).expect("18 places at most"),
        max: max.map(Amount::new),
        valid_for_ms,
        priority,
    })
}

/// What random grants carry: terms for some of those that there are, some that wait, and schedules.
fn any_riders() -> impl Strategy<Value = (Vec<Option<Rollover>>, Vec<Lot>, Vec<u64>)> {
    let small = any_lot().prop_map(|lot| Lot { remaining: Amount::new(7), granted: Amount::new(7), ..lot });
    (vec(proptest::option::weighted(0.4, any_rollover()), 16), vec(small, 0..3), vec(0..4_u64, 0..3))
}

fn riders(
    lots: &[Lot],
    scheduled: &[Lot],
    holds: &[OpenHold],
    carried: (Vec<Option<Rollover>>, Vec<Lot>, Vec<u64>),
) -> Riders {
    let (rollovers, mut unpaid, mut schedules) = carried;
    for (number, lot) in (100..).step_by(2).zip(&mut unpaid) {
        lot.id = GrantId::new(number);
    }
    let held = holds.iter().flat_map(|hold| &hold.parts).filter(|part| !part.is_voided).map(|part| &part.lot);
    let mut ids: Vec<_> = lots.iter().chain(scheduled).chain(&unpaid).chain(held).map(|lot| lot.id).collect();
    ids.sort_unstable();
    ids.dedup();
    // Parts of one grant may differ here in whether it was voided; where one says so, nothing is said of rolling over.
    let parts = || holds.iter().flat_map(|hold| &hold.parts);
    ids.retain(|id| !parts().any(|part| part.is_voided && part.lot.id == *id));
    let clause = |(grant, rollover): (GrantId, Option<Rollover>)| {
        let is_scheduled = scheduled.iter().any(|lot| lot.id == grant);
        let occurrence = (is_scheduled && grant.get() % 4 == 0).then_some(Occurrence { schedule: 2, number: 5 });
        (rollover.is_some() || occurrence.is_some()).then_some(Clause { grant, rollover, occurrence })
    };
    schedules.sort_unstable();
    schedules.dedup();
    let payment = |lot: &Lot| {
        let valid_for_ms = lot.expires_at.timestamp().is_none().then_some(9);
        Payment { begins_when_paid: lot.cost == 0, valid_for_ms }
    };
    Riders {
        clauses: ids.into_iter().zip(rollovers).filter_map(clause).collect(),
        unpaid: unpaid.iter().map(|lot| Unpaid { lot: *lot, payment: payment(lot) }).collect(),
        progress: schedules.into_iter().map(|schedule| Progress { schedule, next: 3 }).collect(),
    }
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let lots = (vec(any_lot(), 0..8), vec(any_lot(), 0..4), prop_oneof![Just(0), 0..60_i64, Just(i64::MAX / 2)]);
    let limits = (
        prop_oneof![Just(0), 0..60_i64, Just(i64::MAX / 2)],
        prop_oneof![2 => Just(Vec::new()), 1 => vec(any_hold_seed(), 0..5)],
    );
    let alerts = (any_levels(), any::<u64>(), any::<u64>(), 0..200_i64);
    let rest = (any_status(), alerts, any_commitments(), any_riders());
    (lots, limits, rest).prop_map(|(lots, limits, (status, alerts, committed, carried))| {
        let (levels, fired, muted, granted) = alerts;
        let (mut active, mut scheduled, debt) = lots;
        for (number, lot) in (2..).step_by(2).zip(active.iter_mut().chain(&mut scheduled)) {
            lot.id = GrantId::new(number);
        }
        active.sort_by(Lot::spend_order);
        scheduled.sort_by(Lot::activation_order);
        let sum: i64 = active.iter().map(|lot| lot.remaining.units()).sum();
        let holds = holds_of(limits.1, &mut active);
        let opening = Amount::new(if active.is_empty() { sum - debt } else { sum });
        let held = holds.iter().map(|hold| hold.remaining.units()).sum();
        let (held, allowance) = (Amount::new(held), Amount::new(limits.0));
        let levels = Levels::new(levels.iter().map(level).collect()).expect("levels are generated valid");
        let riders = riders(&active, &scheduled, &holds, carried);
        let mut terms = Terms {
            status,
            opening,
            allowance,
            held,
            lots: active.into(),
            scheduled: scheduled.into(),
            holds: holds.into(),
            riders,
            told: vec![at(TOLD); levels.intervals()].into(),
            granted: if levels.has_percentages() { Amount::new(granted) } else { Amount::ZERO },
            ..Terms::new()
        };
        if let Operation::SetCommitments(commitments) = operation(&Command::Commit(committed)) {
            let set = transition(&Terms::new(), Amount::ZERO, &Operation::SetCommitments(commitments), at(EARLY));
            terms.committed = set.terms.committed;
        }
        terms.states = states_at(&levels, opening, &terms.bearings(), fired, muted);
        Terms { levels: Some(Arc::new(levels)), ..terms }
    })
}

/// Terms and a balance that fast debits could have led to.
fn any_moment() -> impl Strategy<Value = (Terms, Amount)> {
    (any_terms(), any::<proptest::sample::Index>(), any::<bool>()).prop_map(|(terms, index, far)| {
        let headroom = terms.headroom().units().max(0);
        let limit = if far { headroom } else { headroom.min(60) };
        let spent = index.index(usize::try_from(limit).expect("64 bits").saturating_add(1).max(1));
        let balance = terms.opening.checked_sub(Amount::new(i64::try_from(spent).expect("63 bits")));
        (terms, balance.expect("a fast debit fits"))
    })
}

fn any_units() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..80_i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => Just(i64::MAX - 1)]
}

fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..60_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let policy = any_policy().prop_map(policy);
    let grant =
        (any_units(), any_time(), proptest::option::of(any_time()), any::<u8>(), proptest::option::of(any_units()));
    let id = prop_oneof![4 => 0..28_u64, 1 => 99..106_u64].prop_map(GrantId::new);
    let payment = (any::<bool>(), proptest::option::of(prop_oneof![0..20_u64, Just(u64::MAX)]))
        .prop_map(|(begins_when_paid, valid_for_ms)| Payment { begins_when_paid, valid_for_ms });
    let occurrence = (0..4_u64, prop_oneof![0..8_u64, Just(u64::MAX)])
        .prop_map(|(schedule, number)| Occurrence { schedule, number });
    let special = (
        proptest::option::weighted(0.3, any_rollover()),
        proptest::option::weighted(0.2, occurrence),
        proptest::option::weighted(0.2, payment),
    )
        .prop_map(|(rollover, occurrence, payment)| Special { rollover, occurrence, payment });
    let statuses = prop_oneof![Just(Status::Active), Just(Status::Frozen), Just(Status::Closed)];
    let arriving = (id.clone(), any_units(), 0..30_u64, proptest::option::of(any_time()), any::<u8>());
    let arriving = (arriving, proptest::option::of(any_units()), proptest::option::weighted(0.3, any_rollover()));
    let arriving = arriving.prop_map(|((id, units, begin, end, priority), limit, rollover)| NewGrant {
        id,
        amount: Amount::new(units),
        priority: priority / 2,
        category: Category::Promotional,
        effective_at: at(begin),
        expires_at: end.map(at),
        cost: None,
        max_balance: limit.map(Amount::new),
        special: Special { rollover, ..Special::NONE },
    });
    let parts = vec((id.clone(), any_units().prop_map(Amount::new)), 0..4);
    prop_oneof![
        2 => vec(arriving, 0..4).prop_map(|grants| Operation::TransferIn { grants: grants.into() }),
        1 => (any_units(), parts)
            .prop_map(|(units, parts)| Operation::TransferOut { amount: Amount::new(units), parts: parts.into() }),
        4 => (any_units(), policy).prop_map(|(units, policy)| Operation::Debit { amount: Amount::new(units), policy }),
        4 => (id.clone(), grant, proptest::option::of(any_units()), special).prop_map(|(id, grant, limit, special)| {
            Operation::Grant(NewGrant {
                id,
                amount: Amount::new(grant.0),
                priority: grant.3 / 2,
                category: Category::Paid,
                effective_at: at(grant.1),
                expires_at: grant.2.map(at),
                cost: grant.4,
                max_balance: limit.map(Amount::new),
                special,
            })
        }),
        1 => id.clone().prop_map(|grant| Operation::Void { grant }),
        2 => (id, proptest::option::of(any_time()))
            .prop_map(|(grant, time)| Operation::MoveExpiry { grant, expires_at: time.map(at) }),
        1 => statuses.prop_map(Operation::SetStatus),
        1 => any_units().prop_map(|units| Operation::SetAllowance(Amount::new(units))),
        1 => any_levels().prop_map(|levels| operation(&Command::SetLevels(levels))),
        1 => any_levels().prop_map(|levels| operation(&Command::Inherit(1, levels))),
        1 => any_commitments().prop_map(|commitments| operation(&Command::Commit(commitments))),
        1 => Just(Operation::Due),
        1 => Just(Operation::Reopen),
        1 => any_units().prop_map(|units| Operation::Charge { amount: Amount::new(units) }),
        4 => any_reversal().prop_map(|reversal| Operation::Reverse(Box::new(reversal))),
        3 => (0..9_u64, any_units(), any_time(), any_on_exceed()).prop_map(|(id, units, end, policy)| {
            let (id, amount, expires_at) = (HoldId::new(id + 3), Amount::new(units), at(end));
            Operation::Hold(NewHold { id, amount, expires_at, on_exceed: on_exceed(policy) })
        }),
        3 => (0..6_u64, any_units(), any::<bool>()).prop_map(|(hold, units, is_final)| {
            Operation::Capture { hold: HoldId::new(hold), amount: Amount::new(units), is_final }
        }),
        1 => (0..6_u64).prop_map(|hold| Operation::Release { hold: HoldId::new(hold) }),
        1 => (0..6_u64, any_time())
            .prop_map(|(hold, end)| Operation::ExtendHold { hold: HoldId::new(hold), expires_at: at(end) }),
        1 => (0..9_u64, any_units(), any_policy()).prop_map(|(hold, units, asked)| {
            let (hold, left) = (HoldId::new(hold), Amount::ZERO);
            Operation::LateCapture { hold, amount: Amount::new(units), policy: crate::subject::policy(asked), left }
        }),
        2 => prop_oneof![Just(100), Just(102), 0..40_u64].prop_map(|grant| Operation::Pay { grant: GrantId::new(grant) }),
        1 => (0..4_u64).prop_map(|schedule| Operation::EndSchedule { schedule }),
        2 => (0..12_u64, any_units(), any::<bool>()).prop_map(|(grant, units, is_written_off)| {
            let (grant, amount) = (GrantId::new(grant), Amount::new(units));
            Operation::ClawBack { grant, amount, total: amount, is_written_off }
        }),
        2 => (0..12_u64, any_units()).prop_map(|(grant, units)| {
            Operation::FreezeGrant { grant: GrantId::new(grant), most: Amount::new(units) }
        }),
        1 => (0..12_u64).prop_map(|grant| Operation::ThawGrant { grant: GrantId::new(grant) }),
    ]
}

/// Mostly of grants that there are, and of small amounts; whether the debit took as much is another matter.
fn any_reversal() -> impl Strategy<Value = Reversal> {
    let back = || {
        let what = (1..14_u64, any_lot(), any_units(), any::<bool>(), proptest::option::weighted(0.2, any_rollover()));
        what.prop_map(|(id, lot, amount, ended, rollover)| Return {
            lot: Lot { id: GrantId::new(id), ..lot },
            ended,
            amount: Amount::new(amount),
            rollover,
        })
    };
    let sums = (any_units(), any_units(), prop_oneof![3 => Just(i64::MAX), 1 => any_units()]);
    let regrant = proptest::option::weighted(0.3, any_units());
    (vec(back(), 0..4), vec(back(), 0..4), sums, regrant).prop_map(|(payers, returns, sums, regrant)| Reversal {
        debit: 1,
        taken: Amount::new(sums.2),
        before: Amount::new(sums.1 % 64),
        debt: Amount::new(sums.0),
        payers,
        returns,
        regrant: regrant.map(|amount| NewGrant {
            id: GrantId::new(40),
            amount: Amount::new(amount),
            priority: 50,
            category: Category::Promotional,
            effective_at: at(0),
            expires_at: None,
            cost: None,
            max_balance: None,
            special: Special::NONE,
        }),
    })
}

fn debit(units: i64, policy: Policy) -> Operation {
    Operation::Debit { amount: Amount::new(units), policy }
}

/// Before every date in the random terms.
const EARLY: u64 = 0;

/// Terms in which nothing is due at [`EARLY`], so that debits alone decide.
fn without_dates(terms: Terms) -> Terms {
    let endless = |lot: &Lot| Lot { expires_at: Expiry::NEVER, effective_at: at(EARLY), ..*lot };
    let mut lots: Vec<Lot> = terms.lots.iter().map(endless).collect();
    lots.sort_by(Lot::spend_order);
    let committed = terms.committed.iter().map(|one| one.amount).fold(0, |sum, amount| sum + amount.units());
    let until = Expiry::NEVER;
    let committed: Vec<_> =
        (committed > 0).then(|| Commitment { amount: Amount::new(committed), until }).into_iter().collect();
    let endless = |hold: &OpenHold| OpenHold { expires_at: at(u64::MAX), ..hold.clone() };
    let mut holds: Vec<OpenHold> = terms.holds.iter().map(endless).collect();
    holds.sort_by_key(|hold| hold.id);
    let (scheduled, riders) = (Box::default(), Riders::default());
    Terms { lots: lots.into(), scheduled, holds: holds.into(), riders, committed: committed.into(), ..terms }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_terms_satisfy_the_invariants(terms in any_terms()) {
        prop_assert_eq!(terms.validate(), Ok(()));
    }

    #[test]
    fn a_transition_is_total_pure_and_keeps_the_invariants(
        (terms, closing) in any_moment(), operation in any_operation(), now in any_time(),
    ) {
        prop_assert!(terms.admits(closing));
        let change = transition(&terms, closing, &operation, at(now));
        prop_assert_eq!(change.terms.validate(), Ok(()));
        prop_assert_eq!(&change, &transition(&terms, closing, &operation, at(now)));
        let moved: i128 = change.effects.movements.iter().map(Movement::delta).sum();
        prop_assert_eq!(units(closing) + moved, units(change.terms.opening));
        if change.result.is_err() {
            let due = transition(&terms, closing, &Operation::Due, at(now));
            prop_assert_eq!((change.terms, change.effects), (due.terms, due.effects), "a rejection leaves what was due");
        }
    }

    #[test]
    fn what_is_due_is_due_once((terms, closing) in any_moment(), now in any_time()) {
        let change = transition(&terms, closing, &Operation::Due, at(now));
        prop_assert!(change.terms.deadline().is_none_or(|deadline| deadline > at(now)));
        let again = transition(&change.terms, change.terms.opening, &Operation::Due, at(now));
        prop_assert_eq!(again.terms, change.terms);
        prop_assert_eq!(again.effects.movements, Vec::new());
    }

    /// However late due changes are carried out, they come to what they come to in time.
    #[test]
    fn what_is_due_comes_to_the_same_however_late(
        (terms, closing) in any_moment(), stops in vec(0..60_u64, 0..4), end in 0..60_u64,
    ) {
        let late = transition(&terms, closing, &Operation::Due, at(end)).terms;
        let mut stops: Vec<_> = stops.into_iter().filter(|stop| *stop <= end).collect();
        stops.sort_unstable();
        let (mut present, mut balance) = (terms, closing);
        for stop in stops.into_iter().chain([end]) {
            present = transition(&present, balance, &Operation::Due, at(stop)).terms;
            balance = present.opening;
        }
        // Levels are judged at each change, so they may have fired and recovered on the way, and are told when somebody looked.
        prop_assert_eq!(Terms { states: late.states, told: late.told.clone(), ..present }, late);
    }

    /// The fast path's claim: a debit within the headroom is not refused, takes exactly its amount, and crosses nothing.
    #[test]
    fn a_debit_within_the_headroom_changes_the_balance_and_nothing_else(
        (terms, balance) in any_moment(), share in 0.0..=1.0_f64, asked in any_policy(),
    ) {
        let terms = without_dates(terms);
        let headroom = balance.units() - terms.base().units();
        prop_assume!(headroom >= 0);
        #[expect(clippy::cast_precision_loss, reason = "any share of the headroom will do")]
        let amount = Amount::new(((headroom as f64 * share) as i64).clamp(0, headroom));
        let taken = Taken { amount, ..Taken::default() };
        prop_assert_eq!(decide_debit(&terms, balance, amount, policy(asked)), Ok(taken));
        let change = transition(&terms, balance, &debit(amount.units(), policy(asked)), at(EARLY));
        prop_assert_eq!(change.result, Ok(taken));
        prop_assert_eq!((change.effects.crossed, change.effects.recovered), (Lines::default(), Lines::default()));
        prop_assert_eq!(change.terms.states, terms.states);
        // One generation or two: the same terms.
        let after = balance.checked_sub(amount).expect("it fits");
        let reopened = transition(&terms, after, &Operation::Reopen, at(EARLY)).terms;
        prop_assert_eq!(&change.terms, &reopened);
        prop_assert_eq!(change.terms.base(), terms.base());
    }

    /// And the base is the highest balance of which that is true: one unit more is refused or crosses something.
    #[test]
    fn a_debit_one_unit_beyond_the_headroom_is_refused_or_crosses(terms in any_terms()) {
        let terms = without_dates(terms);
        let headroom = terms.headroom().units();
        let one_more = if headroom < 0 { 0 } else { headroom + 1 };
        let change = transition(&terms, terms.opening, &debit(one_more, Policy::Reject), at(EARLY));
        prop_assert!(change.result.is_err() || !change.effects.crossed.is_empty());
    }

    /// Debits of one generation commute: in any order, cut in any way, together or each by itself.
    #[test]
    fn debits_commute_within_a_generation(terms in any_terms(), sizes in vec(0..20_i64, 0..12), shuffle in any::<u64>()) {
        let terms = without_dates(terms);
        let mut room = terms.headroom().units();
        let mut debits = Vec::new();
        for size in sizes {
            if size <= room {
                room -= size;
                debits.push(size);
            }
        }
        let together = walk(&terms, &debits);
        if !debits.is_empty() {
            let middle = shuffle as usize % debits.len();
            debits.rotate_left(middle);
            debits.reverse();
        }
        prop_assert_eq!(&walk(&terms, &debits), &together);
        let one_by_one = debits.iter().fold(terms.clone(), |terms, size| {
            transition(&terms, terms.opening, &debit(*size, Policy::Reject), at(EARLY)).terms
        });
        prop_assert_eq!(&one_by_one, &together.0);
    }

    /// The attributions of debits in a row are the attribution of their sum, and what the lots have lost.
    #[test]
    fn attributions_add_up(terms in any_terms(), cuts in vec(0..100_i64, 1..8)) {
        let mut balance = terms.opening;
        let mut parts: BTreeMap<GrantId, i128> = BTreeMap::new();
        let mut debt = 0;
        for cut in cuts {
            let after = balance.checked_sub(Amount::new(cut)).expect("it fits");
            let allocation = terms.allocate(balance, after);
            let paid: i128 = allocation.parts.iter().map(|(_, part)| units(*part)).sum();
            prop_assert_eq!(paid + units(allocation.debt), i128::from(cut));
            allocation.parts.iter().for_each(|(id, part)| *parts.entry(*id).or_default() += units(*part));
            debt += units(allocation.debt);
            balance = after;
        }
        let holdings = terms.lots_at(balance);
        prop_assert_eq!(units(terms.debt()) + debt, units(holdings.debt));
        for lot in &terms.lots {
            let left = holdings.lots.iter().find(|left| left.id == lot.id).map_or(0, |left| units(left.remaining));
            prop_assert_eq!(units(lot.remaining) - left, parts.get(&lot.id).copied().unwrap_or(0));
        }
    }

    #[test]
    fn the_spend_order_is_an_order(a in any_lot(), b in any_lot(), c in any_lot()) {
        let (a, b, c) = (a, Lot { id: GrantId::new(1), ..b }, Lot { id: GrantId::new(2), ..c });
        prop_assert_eq!(a.spend_order(&b), b.spend_order(&a).reverse());
        prop_assert!(a.spend_order(&b).is_ne());
        if a.spend_order(&b).is_lt() && b.spend_order(&c).is_lt() {
            prop_assert!(a.spend_order(&c).is_lt());
        }
    }

    #[test]
    fn decimals_survive_a_round_trip(mantissa in any::<i64>(), scale in 0..=18_u8) {
        let decimal = Decimal::from_parts(mantissa, scale).expect("18 places at most");
        prop_assert_eq!(Decimal::parse(decimal.to_string().as_bytes()), Ok(decimal));
        let exponent = format!("{mantissa}e-{scale}");
        prop_assert_eq!(Decimal::parse(exponent.as_bytes()), Ok(decimal));
    }

    /// Random texts of a number's characters: read if and only if the grammar allows them, and then to the right value.
    #[test]
    fn texts_are_read_if_they_are_json_numbers(bytes in vec(proptest::sample::select(b"0012345.9e-E+".as_slice()), 0..24)) {
        let text = String::from_utf8(bytes).expect("ASCII");
        match Decimal::parse(text.as_bytes()) {
            Ok(decimal) => {
                prop_assert!(is_json_number(&text), "{text}");
                #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
                let value = decimal.mantissa() as f64 / 10_f64.powi(i32::from(decimal.scale()));
                let expected: f64 = text.parse().expect("a JSON number is a Rust number");
                prop_assert!((value - expected).abs() <= expected.abs() * 1e-15, "{text} read as {decimal}");
            }
            Err(drawdown::ledger::DecimalError::TooManyDigits) => prop_assert!(is_json_number(&text), "{text}"),
            Err(_) => prop_assert!(!is_json_number(&text), "{text}"),
        }
    }
}

/// Spends debits on the fast path; the terms of the next generation, and what each grant paid in all.
fn walk(terms: &Terms, debits: &[i64]) -> (Terms, BTreeMap<GrantId, i128>) {
    let mut balance = terms.opening;
    let mut paid = BTreeMap::new();
    for size in debits {
        let after = balance.checked_sub(Amount::new(*size)).expect("it fits");
        for (id, part) in terms.allocate(balance, after).parts {
            *paid.entry(id).or_default() += units(part);
        }
        balance = after;
    }
    (transition(terms, balance, &Operation::Reopen, at(EARLY)).terms, paid)
}

/// The grammar of RFC 8259, read by splitting.
fn is_json_number(text: &str) -> bool {
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (significand, exponent) = match text.find(['e', 'E']) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    };
    let significand = significand.strip_prefix('-').unwrap_or(significand);
    let (whole, fraction) = match significand.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (significand, None),
    };
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(all_digits)
}
