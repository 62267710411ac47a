//! Holds: credits set aside for something whose cost is not known yet, to be captured (in parts, if need be), released, or given back when
//! their time has passed.
//!
//! A hold *reserves concrete credits*: when it is made it takes its amount out of the wallet's grants, in spend order, into its [`Part`]s.
//! What the grants cannot back is covered by the overdraft allowance and has no part. From then on its parts share no fate with their
//! grants: a grant that ends takes what is free of it (that much rolls over, if it does), and what is held of it can be captured until the hold
//! ends, and expires then. The balance
//! counts parts like all other credits; what is available does not.
//!
//! What is frozen of a grant because its payment is disputed is a hold, too, but for its end, which it has not
//! ([`OpenHold::is_freeze`]): nobody captures, releases or moves it but the operations that freeze, thaw and claw back.

use super::amount::Amount;
use super::grant::{GrantId, Lot};
use super::rejection::Rejection;
use super::terms::{Status, Terms};
use super::time::Timestamp;
use std::ops::{Deref, DerefMut};

/// The most open holds of a wallet.
pub const MAX_HOLDS: usize = 1000;

/// The most parts of all open holds of a wallet together.
pub const MAX_PARTS: usize = 4000;

/// A hold's number. Given by the caller, unique in the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(u64);

impl HoldId {
    /// Hold number `number`.
    pub const fn new(number: u64) -> HoldId {
        HoldId(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the hold that has what is frozen of a grant: the grant's own. Whoever gives numbers gives no grant and no hold the same;
    /// where they are positions of records in a log, none have.
    pub const fn freezing(grant: GrantId) -> HoldId {
        HoldId(grant.get())
    }
}

/// What becomes of a capture that asks for more than the hold has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnExceed {
    /// It is refused; nothing changes.
    #[default]
    Reject,
    /// It takes what the hold has left.
    Cap,
    /// It takes all of it: the usage has already happened. What exceeds the hold is debited like any other usage with the policy
    /// `overdraft`.
    Overdraw,
}

impl OnExceed {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnExceed::Reject => "reject",
            OnExceed::Cap => "cap",
            OnExceed::Overdraw => "overdraw",
        }
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<OnExceed> {
        match name {
            "reject" => Some(OnExceed::Reject),
            "cap" => Some(OnExceed::Cap),
            "overdraw" => Some(OnExceed::Overdraw),
            _ => None,
        }
    }
}

/// A hold to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// Its number.
    pub id: HoldId,
    /// How many credits; above zero.
    pub amount: Amount,
    /// The first instant at which it is over; in the future.
    pub expires_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
}

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// Its number.
    pub id: HoldId,
    /// What it was made with.
    pub amount: Amount,
    /// What has not been captured: above zero, `amount` at most.
    pub remaining: Amount,
    /// The first instant at which it is over.
    pub expires_at: Timestamp,
    /// What becomes of a capture that exceeds it.
    pub on_exceed: OnExceed,
    /// The credits that back it, in spend order; `remaining` at most. What is missing was covered by the overdraft allowance.
    pub parts: Parts,
}

/// Credits of one grant under a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The grant; its remainder is the part.
    pub lot: Lot,
    /// The grant was voided meanwhile. The part can be captured still; what is left of it goes when the hold ends.
    pub is_voided: bool,
}

/// The credits that back a hold: a slice of parts. Most holds are backed by one grant, whose part then lies in the hold itself.
#[derive(Clone, Debug)]
pub struct Parts(Few);

#[derive(Clone, Debug)]
enum Few {
    One(Part),
    Any(Box<[Part]>),
}

// A wallet's holds are copied at every change of generation.
const _: () = assert!(size_of::<Part>() <= 64);
const _: () = assert!(size_of::<OpenHold>() <= 104);

impl Deref for Parts {
    type Target = [Part];

    fn deref(&self) -> &[Part] {
        match &self.0 {
            Few::One(part) => std::slice::from_ref(part),
            Few::Any(parts) => parts,
        }
    }
}

impl DerefMut for Parts {
    fn deref_mut(&mut self) -> &mut [Part] {
        match &mut self.0 {
            Few::One(part) => std::slice::from_mut(part),
            Few::Any(parts) => parts,
        }
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut parts = parts.into_iter();
        Parts(match (parts.next(), parts.next()) {
            (None, _) => Few::Any(Box::default()),
            (Some(one), None) => Few::One(one),
            (Some(first), Some(second)) => Few::Any([first, second].into_iter().chain(parts).collect()),
        })
    }
}

impl<'a> IntoIterator for &'a Parts {
    type Item = &'a Part;
    type IntoIter = std::slice::Iter<'a, Part>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Parts {
    type Item = &'a mut Part;
    type IntoIter = std::slice::IterMut<'a, Part>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl Default for Parts {
    /// None.
    fn default() -> Self {
        Parts(Few::Any(Box::default()))
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Parts {}

impl OpenHold {
    /// The end of what has none: the last instant that exists.
    pub(super) const WITHOUT_END: Timestamp = Timestamp::from_millis(u64::MAX);

    /// Whether it is what is frozen of a grant, because the payment for it is disputed: it has no end, and all of it is of one grant, whose
    /// number it has.
    pub fn is_freeze(&self) -> bool {
        let is_of = |part: &Part| HoldId::freezing(part.lot.id) == self.id && part.lot.remaining == self.remaining;
        self.expires_at == OpenHold::WITHOUT_END && matches!(&*self.parts, [part] if is_of(part))
    }

    /// What its parts add up to.
    pub fn backed(&self) -> Amount {
        self.parts.iter().fold(Amount::ZERO, |sum, part| sum.plus(part.lot.remaining))
    }
}

/// How a capture is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// What is taken from the hold.
    pub within: Amount,
    /// What is taken beyond it.
    pub beyond: Amount,
    /// What was asked for and is not taken.
    pub shortfall: Amount,
}

/// Decides whether a hold can be made in a wallet that has so many open ones and so much available: what is wrong with the hold by itself, then
/// the wallet's status, then its room, then credit. Whether its parts fit is seen only when it is made.
pub fn decide_hold(
    status: Status,
    open: usize,
    available: Amount,
    new: &NewHold,
    now: Timestamp,
) -> Result<(), Rejection> {
    if new.amount <= Amount::ZERO {
        return Err(Rejection::InvalidAmount);
    }
    if new.expires_at <= now {
        return Err(Rejection::ExpiryInPast);
    }
    match status {
        Status::Active => {}
        Status::Frozen => return Err(Rejection::WalletFrozen),
        Status::Closed => return Err(Rejection::WalletClosed),
    }
    if open >= MAX_HOLDS {
        return Err(Rejection::TooManyHolds);
    }
    if new.amount > available { Err(Rejection::InsufficientCredit { available, required: new.amount }) } else { Ok(()) }
}

/// Decides a capture of `amount` from a hold that has `remaining` left. Nothing may be captured only if that ends the hold.
pub fn decide_capture(
    remaining: Amount,
    on_exceed: OnExceed,
    amount: Amount,
    is_final: bool,
) -> Result<Capture, Rejection> {
    if amount < Amount::ZERO || amount == Amount::ZERO && !is_final {
        return Err(Rejection::InvalidAmount);
    }
    if amount <= remaining {
        return Ok(Capture { within: amount, beyond: Amount::ZERO, shortfall: Amount::ZERO });
    }
    let excess = amount.minus(remaining);
    match on_exceed {
        OnExceed::Reject => Err(Rejection::CaptureExceedsHold { remaining, required: amount }),
        OnExceed::Cap => Ok(Capture { within: remaining, beyond: Amount::ZERO, shortfall: excess }),
        OnExceed::Overdraw => Ok(Capture { within: remaining, beyond: excess, shortfall: Amount::ZERO }),
    }
}

impl Terms {
    /// The open hold of that number.
    pub fn open_hold(&self, id: HoldId) -> Option<&OpenHold> {
        find_hold(&self.holds, id)
    }

    /// What open holds have of a grant, and whether the grant was voided.
    pub fn held_of(&self, grant: GrantId) -> Option<Part> {
        held_of(&self.holds, grant)
    }

    /// Credits that are frozen because the payments for them are disputed. They are among those held.
    pub fn frozen(&self) -> Amount {
        let freezes = self.holds.iter().filter(|hold| hold.is_freeze());
        freezes.fold(Amount::ZERO, |sum, hold| sum.plus(hold.remaining))
    }

    /// What is frozen of a grant.
    pub fn frozen_of(&self, grant: GrantId) -> Amount {
        let freeze = find_hold(&self.holds, HoldId::freezing(grant)).filter(|hold| hold.is_freeze());
        freeze.map_or(Amount::ZERO, |hold| hold.remaining)
    }

    /// Credits under open holds that belong to grants.
    pub fn reserved(&self) -> Amount {
        reserved(&self.holds)
    }
}

/// The hold of that number.
pub fn find_hold(holds: &[OpenHold], id: HoldId) -> Option<&OpenHold> {
    holds.iter().find(|hold| hold.id == id)
}

/// What some holds have of a grant, as one part.
pub(super) fn held_of(holds: &[OpenHold], grant: GrantId) -> Option<Part> {
    let mut parts = holds.iter().flat_map(|hold| &hold.parts).filter(|part| part.lot.id == grant);
    let mut sum = *parts.next()?;
    for part in parts {
        sum.lot.remaining = sum.lot.remaining.plus(part.lot.remaining);
    }
    Some(sum)
}

/// What the parts of some holds add up to.
pub(super) fn reserved(holds: &[OpenHold]) -> Amount {
    holds.iter().fold(Amount::ZERO, |sum, hold| sum.plus(hold.backed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        remaining: i64,
        on_exceed: OnExceed,
        amount: i64,
        is_final: bool,
        expected: Result<(i64, i64, i64), Rejection>,
    ) {
        let expected = expected.map(|(within, beyond, shortfall)| Capture {
            within: Amount::new(within),
            beyond: Amount::new(beyond),
            shortfall: Amount::new(shortfall),
        });
        assert_eq!(decide_capture(Amount::new(remaining), on_exceed, Amount::new(amount), is_final), expected);
    }

    #[test]
    fn captures_within_the_hold_take_what_they_ask_for() {
        for policy in [OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw] {
            check(10, policy, 1, false, Ok((1, 0, 0)));
            check(10, policy, 10, true, Ok((10, 0, 0)));
            check(10, policy, 0, true, Ok((0, 0, 0)));
            check(10, policy, 0, false, Err(Rejection::InvalidAmount));
            check(10, policy, -1, true, Err(Rejection::InvalidAmount));
        }
    }

    #[test]
    fn what_exceeds_the_hold_goes_by_its_policy() {
        let exceeds = Rejection::CaptureExceedsHold { remaining: Amount::new(10), required: Amount::new(11) };
        check(10, OnExceed::Reject, 11, true, Err(exceeds));
        check(10, OnExceed::Cap, 11, false, Ok((10, 0, 1)));
        check(10, OnExceed::Overdraw, 11, false, Ok((10, 1, 0)));
        check(1, OnExceed::Overdraw, i64::MAX, false, Ok((1, i64::MAX - 1, 0)));
    }

    #[test]
    fn parts_are_the_slice_that_they_were_made_of() {
        let part = |id| Part {
            lot: Lot {
                id: GrantId::new(id),
                remaining: Amount::ONE,
                granted: Amount::ONE,
                effective_at: Timestamp::EPOCH,
                expires_at: super::super::time::Expiry::NEVER,
                cost: 0,
                priority: 0,
                category: super::super::grant::Category::Paid,
            },
            is_voided: false,
        };
        for count in 0..4 {
            let all: Vec<Part> = (0..count).map(part).collect();
            let mut parts: Parts = all.iter().copied().collect();
            assert_eq!(*parts, *all);
            assert_eq!(parts, Parts(Few::Any(all.clone().into())), "however it is kept");
            for part in &mut parts {
                part.is_voided = true;
            }
            assert!(parts.iter().all(|part| part.is_voided));
        }
        assert_eq!(Parts::default(), Parts::from_iter([]));
    }

    #[test]
    fn names_are_read_back() {
        for policy in [OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw] {
            assert_eq!(OnExceed::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(OnExceed::parse("overdraft"), None);
    }
}
