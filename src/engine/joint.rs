//! Operations on several wallets at once, as the engine's kind of [`group`]: each wallet gets a row of operations, and all of them take
//! place or none does.
//!
//! Whether they do is decided when every wallet is sealed, by the rules, one operation after the other. If they refuse one, every wallet of
//! the group opens its next generation with what has fallen due and nothing else, and its record is that of [`Operation::Due`]: nobody can
//! tell from the log that there was a group, and nothing has to be known of the other wallets to replay it. What can be refused before is
//! (callers ask the rules about a reading first), so this happens only where something was quicker.
//!
//! What takes place is recorded as the same operations would be one by one, a record and a generation number each, all in one frame. So no
//! reader of the log sees a part of a group, and none has to know what a group is. The generations between a wallet's first and its last one
//! are never in memory.
//!
//! Copies of the frame differ in their places, and in the links that say what precedes a record. All records of a copy count, or none does:
//! which copy counts is one word ([`group::JointOpening::claim`]).

use super::Inner;
use super::budget::Budget;
use super::history::line_names;
use super::view::CommandError;
use super::wallet::{
    WalletDriver, WalletEffects, WalletGeneration, WalletOperation, WalletRules, adjustment, close, encode,
};
use crate::journal::frame::{Prelude, kind};
use crate::journal::operation::{self as record, Names};
use crate::ledger::{Amount, Effects, Lines, Operation, Taken, Terms, Timestamp};
use crate::store::Guard;
use crate::store::slot::group::{self, Closed, Ended, Joined, JointOpening};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a group asks of its wallets, in the order of their handles.
#[derive(Debug)]
pub(super) struct WalletGroup {
    /// Tells groups apart.
    id: u64,
    at: Timestamp,
    members: Vec<Vec<WalletOperation>>,
}

/// What a group did.
#[derive(Debug)]
pub(super) struct WalletGroupEffects {
    id: u64,
    /// The rules refused it: what had fallen due took place, and nothing else.
    pub(super) is_refused: bool,
    /// One for each operation, wallet by wallet.
    pub(super) steps: Vec<Step>,
    /// The frame's payload, but for what depends on its place.
    payload: Vec<u8>,
}

/// What one operation of a group did.
#[derive(Debug)]
pub(super) struct Step {
    /// The wallet.
    pub(super) handle: u32,
    /// Where its record stands in the frame's payload.
    pub(super) distance: u32,
    pub(super) taken: Taken,
    pub(super) effects: Effects,
    /// The balance after it.
    pub(super) balance: Amount,
    /// What was available after it.
    pub(super) available: Amount,
    /// Lines crossed, highest first.
    pub(super) crossed: Vec<Arc<str>>,
    /// Its generation follows on that of the step before.
    is_chained: bool,
}

/// A group that took place, or was refused.
pub(super) type JoinedWallets = Joined<WalletRules>;

/// A wallet of a group: its handle, the generation that a reading has found, and what is to be done from there.
pub(super) type Member<'g> = (u32, &'g WalletGeneration, Vec<WalletOperation>);

/// The log space that a thread keeps for a group of its own, whatever else it helps along on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    id: u64,
    bytes: u64,
}

/// Log space beside a group's own frame, for what it helps along on the way.
const SPARE_BYTES: u64 = 16 << 10;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Inner {
    /// Carries out a group. `None` if another operation came between the readings and it: nothing has happened, and the caller reads again.
    /// Looks at nothing but the size of the group: whether the rules allow it is for the caller to ask, and for
    /// [`WalletGroupEffects::is_refused`] to tell if something else was quicker.
    pub(super) fn join(
        &self,
        mut members: Vec<Member<'_>>,
        at: Timestamp,
        guard: &Guard,
    ) -> Result<Option<JoinedWallets>, CommandError> {
        members.sort_by_key(|(handle, ..)| *handle);
        let bound = |(_, generation, operations): &Member<'_>| {
            let terms = generation.terms().get();
            operations.iter().map(|operation| operation.record_bound(&terms)).sum::<usize>()
        };
        let bytes = Budget::frame_bytes(Prelude::length("") + members.iter().map(bound).sum::<usize>());
        if bytes > self.log.max_frame_bytes() || bytes + SPARE_BYTES > self.log.max_admission_bytes() {
            return Err(CommandError::Conflict {
                slug: "group_too_large",
                detail: "the group's records do not fit into one frame of the log".to_owned(),
            });
        }
        let budget = Budget(self.admit_wait(bytes + SPARE_BYTES)?);
        // A number that is nobody else's; it orders nothing.
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let driver = WalletDriver { handle: 0, budget: &budget, slab: &self.slab, own: Some(Own { id, bytes }) };
        let (generations, operations): (Vec<_>, Vec<_>) =
            members.into_iter().map(|(handle, generation, operations)| ((handle, generation), operations)).unzip();
        let joined = group::change(&driver, &generations, WalletGroup { id, at, members: operations }, guard);
        if let Some(joined) = &joined {
            joined.effects().steps.iter().for_each(|_| self.counters.operation());
        }
        Ok(joined)
    }
}

/// What a group makes of its wallets.
pub(super) fn close_group(
    group: &WalletGroup,
    ended: &[Ended<'_, WalletRules>],
) -> (Vec<Closed<WalletRules>>, WalletGroupEffects) {
    let asked = group.members.iter().map(Vec::as_slice);
    carry_out(group, ended, asked).unwrap_or_else(|| {
        let due = [WalletOperation::new(Operation::Due, group.at)];
        let all_due = std::iter::repeat_n(due.as_slice(), ended.len());
        let (closed, effects) = carry_out(group, ended, all_due).expect("what has fallen due is never refused");
        (closed, WalletGroupEffects { is_refused: true, ..effects })
    })
}

/// The operations, wallet by wallet; `None` if the rules refuse one.
fn carry_out<'o>(
    group: &WalletGroup,
    ended: &[Ended<'_, WalletRules>],
    asked: impl Iterator<Item = &'o [WalletOperation]>,
) -> Option<(Vec<Closed<WalletRules>>, WalletGroupEffects)> {
    let mut payload = vec![0; Prelude::length("")];
    Prelude { time: group.at, source: "" }.write(&mut payload);
    let (mut closed, mut steps) = (Vec::with_capacity(ended.len()), Vec::new());
    for (member, operations) in ended.iter().zip(asked) {
        let mut terms = member.generation.terms().get().into_owned();
        let mut closing = Amount::new(member.closing);
        let mut distance = 0;
        for (place, operation) in (0..).zip(operations) {
            let (new, WalletEffects { result, effects }) = close(Cow::Owned(terms), closing.units(), operation);
            let taken = result.ok()?;
            distance = payload.len();
            let head = record::Head {
                slot: member.handle,
                generation: (member.generation.number() + 1 + place) as u32,
                closing,
                opening: new.opening,
                // Of those that follow on another one of the frame it is that one's place.
                previous_opening: member.generation.opened_at(),
                time: operation.at,
                adjustment: adjustment(&new),
            };
            let done = WalletEffects { result: Ok(taken), effects };
            payload.extend_from_slice(&encode(&head, operation, &done, &new));
            steps.push(Step {
                handle: member.handle,
                distance: distance as u32,
                taken,
                balance: new.opening,
                available: new.available(new.opening),
                crossed: crossed(&new, &done.effects.crossed),
                effects: done.effects,
                is_chained: place > 0,
            });
            closing = new.opening;
            terms = new;
        }
        let (generations, distance) = (operations.len() as u64, distance as u64);
        closed.push(Closed { terms: terms.into(), generations, distance });
    }
    Some((closed, WalletGroupEffects { id: group.id, is_refused: false, steps, payload }))
}

/// Names of crossed lines, highest first.
pub(super) fn crossed(terms: &Terms, lines: &Lines) -> Vec<Arc<str>> {
    let levels = terms.levels.iter().flat_map(|levels| levels.of_mask(lines.levels));
    let levels = levels.map(|level| &*level.name).collect();
    line_names(&Names { levels, depleted: lines.depleted, negative: lines.negative, quiet: Vec::new() })
}

/// Appends a copy of a group's frame; see [`crate::store::slot::Driver::log_group`].
pub(super) fn log_group(driver: &WalletDriver<'_>, opening: &JointOpening<'_, WalletRules>) -> Option<u64> {
    let WalletGroupEffects { id, steps, payload, .. } = opening.effects;
    let keep = driver.own.filter(|own| own.id != *id).map_or(0, |own| own.bytes);
    let mut frame = driver.budget.reserve_beside(keep, kind::OPERATION, payload.len())?;
    let base = frame.payload_lsn().get();
    let mut bytes = payload.clone();
    // In this order: no debit of the new generations may be linked before their openings are.
    let links: Vec<u64> =
        steps.iter().map(|step| driver.slab.get(step.handle).link(base + u64::from(step.distance))).collect();
    let counts = opening.claim(base);
    let mut before = 0;
    for (step, previous) in steps.iter().zip(links) {
        let record = &mut bytes[step.distance as usize..];
        record::place(record, step.distance, previous, counts + u64::from(step.distance));
        if step.is_chained {
            // In this very copy: if it is the one that a crash leaves, the one that counted is not there to be linked to.
            record::place_behind(record, base + before);
        }
        before = u64::from(step.distance);
    }
    frame.payload_mut()[..bytes.len()].copy_from_slice(&bytes);
    frame.publish(bytes.len(), steps.len() as u32);
    Some(base)
}

impl Own {
    /// What is to be left of a budget when something else is helped along.
    pub(super) fn kept(own: Option<Own>) -> u64 {
        own.map_or(0, |own| own.bytes)
    }
}
