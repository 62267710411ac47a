//! What fell due in a wallet, each part of it at its own instant.
//!
//! The operation that carries out what has fallen due may come much later, and sums some of it up: what was free of a grant at its end, and what
//! holds gave back of it afterwards, expire in one movement; and what several holds gave back of a grant that had been voided goes in one. Reports
//! tell such a movement apart, so that each part counts when it fell due.

use crate::ledger::{Amount, GrantId, HoldId, Movement, Operation, Timestamp};
use std::collections::HashMap;

/// What fell due in a generation before some instant, after its last debit.
#[derive(Clone, Debug, Default)]
pub(super) struct Due {
    /// The operation that recorded it: a place among the openings. `None` if none has yet.
    pub(super) recorded: Option<usize>,
    /// The movements, each with its place among the operation's when they have been told apart, and its date; by date.
    pub(super) movements: Vec<(usize, Movement, Timestamp)>,
}

impl Due {
    /// Those of movements that were told apart that are of before an instant.
    pub(super) fn before(recorded: Option<usize>, apart: Vec<Dated>, before: Timestamp) -> Due {
        let places = apart.into_iter().enumerate();
        let mut movements: Vec<_> = places
            .filter_map(|(place, Dated { movement, date })| Some((place, movement, date?)))
            .filter(|(.., date)| *date < before)
            .collect();
        movements.sort_by_key(|(place, _, date)| (*date, *place));
        Due { recorded, movements }
    }

    /// What they add to the balance.
    pub(super) fn delta(&self) -> i128 {
        self.movements.iter().map(|(_, movement, _)| movement.delta()).sum()
    }

    /// What the holds among them set aside that ended.
    pub(super) fn freed(&self) -> i128 {
        let freed = |movement: &Movement| match movement {
            Movement::HoldExpired { amount, .. } => i128::from(amount.units()),
            _ => 0,
        };
        self.movements.iter().map(|(_, movement, _)| freed(movement)).sum()
    }

    /// Whether a movement of an operation is among them.
    pub(super) fn holds(&self, operation: Option<usize>, place: usize) -> bool {
        self.recorded == operation && self.movements.iter().any(|(at, ..)| *at == place)
    }
}

/// A movement that fell due, or a part of one, and when it did; `None` for those that are of no account by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) movement: Movement,
    pub(super) date: Option<Timestamp>,
}

/// When grants and holds that fell due began and ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Dates {
    pub(super) starts: HashMap<GrantId, Timestamp>,
    pub(super) ends: HashMap<GrantId, Timestamp>,
    pub(super) holds: HashMap<HoldId, Timestamp>,
}

/// How many of an operation's movements carry out what had fallen due: all that stand before what it does itself. `voids` says whether the last
/// taking back of a grant that it was to void is its own doing, where that cannot be seen from the movements.
pub(super) fn count(operation: &Operation, movements: &[Movement], voids: bool) -> usize {
    let own = match operation {
        Operation::Void { grant } => last_void(*grant, movements).filter(|_| voids),
        _ => None,
    };
    let is_own = |(place, movement): (usize, &Movement)| own == Some(place) || !may_fall_due(movement);
    movements.iter().enumerate().position(is_own).unwrap_or(movements.len())
}

/// The grant that an operation was to void, if movements do not tell whether the credits that were taken back are those that it took, or those
/// that a hold had of a grant that had been voided before.
pub(super) fn doubtful_void(operation: &Operation, movements: &[Movement]) -> Option<GrantId> {
    let Operation::Void { grant } = operation else { return None };
    let was_returned =
        movements.iter().any(|movement| matches!(movement, Movement::Returned { grant: of, .. } if of == grant));
    (was_returned && last_void(*grant, movements).is_some()).then_some(*grant)
}

fn last_void(grant: GrantId, movements: &[Movement]) -> Option<usize> {
    movements.iter().rposition(|movement| matches!(movement, Movement::Voided { grant: of, .. } if *of == grant))
}

/// Whether such a movement may happen because its time has come.
const fn may_fall_due(movement: &Movement) -> bool {
    match movement {
        Movement::Depleted { .. }
        | Movement::Activated { .. }
        | Movement::DebtPaid { .. }
        | Movement::HoldExpired { .. }
        | Movement::Returned { .. }
        | Movement::Voided { .. }
        | Movement::RolledOver { .. }
        | Movement::Expired { .. } => true,
        Movement::Granted { .. }
        | Movement::Scheduled { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::ScheduledVoided { .. }
        | Movement::ExpiryMoved { .. }
        | Movement::WrittenOff { .. }
        | Movement::DebtWrittenOff { .. }
        | Movement::GivenBack { .. }
        | Movement::Reopened { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. }
        | Movement::Held { .. }
        | Movement::Reserved { .. }
        | Movement::Captured { .. }
        | Movement::PartSpent { .. }
        | Movement::Released { .. }
        | Movement::HoldMoved { .. }
        | Movement::AwaitsPayment { .. }
        | Movement::Paid { .. }
        | Movement::TransferredOut { .. }
        | Movement::TransferredIn { .. } => false,
    }
}

/// Whether some of these sum up what fell due at several instants.
pub(super) fn are_summed_up(due: &[Movement]) -> bool {
    due.iter().any(|movement| matches!(movement, Movement::Returned { .. }))
        && due.iter().any(|movement| matches!(movement, Movement::Expired { .. } | Movement::Voided { .. }))
}

/// Tells movements that fell due apart, in their order. `None` if a date is missing.
pub(super) fn tell_apart(due: &[Movement], dates: &Dates) -> Option<Vec<Dated>> {
    let mut apart = Vec::with_capacity(due.len());
    // What happens because a grant takes effect or a hold ends stands behind that.
    let mut now = None;
    let mut returned: Vec<(GrantId, Amount, Timestamp)> = Vec::new();
    for movement in due {
        let mut push = |movement, date| apart.push(Dated { movement, date });
        match *movement {
            Movement::Activated { grant, .. } => {
                now = Some(*dates.starts.get(&grant)?);
                push(*movement, now);
            }
            Movement::HoldExpired { hold, .. } => {
                now = Some(*dates.holds.get(&hold)?);
                push(*movement, now);
            }
            Movement::Returned { grant, amount, .. } => {
                returned.push((grant, amount, now?));
                push(*movement, now);
            }
            Movement::DebtPaid { .. } => push(*movement, now),
            Movement::RolledOver { at, .. } => push(*movement, Some(at)),
            Movement::Voided { grant, .. } => {
                for (_, amount, at) in returned.iter().filter(|(of, ..)| *of == grant) {
                    push(Movement::Voided { grant, amount: *amount }, Some(*at));
                }
            }
            Movement::Expired { grant, amount } => {
                let end = *dates.ends.get(&grant)?;
                let mut free = amount.units();
                for (_, amount, at) in returned.iter().filter(|(of, _, at)| *of == grant && end <= *at) {
                    push(Movement::Expired { grant, amount: *amount }, Some(*at));
                    free -= amount.units();
                }
                if free > 0 {
                    push(Movement::Expired { grant, amount: Amount::new(free) }, Some(end));
                }
            }
            other => push(other, None),
        }
    }
    Some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: GrantId = GrantId::new(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn dates() -> Dates {
        Dates {
            starts: HashMap::from([(GrantId::new(2), at(5))]),
            ends: HashMap::from([(GRANT, at(20))]),
            holds: HashMap::from([(HoldId::new(7), at(10)), (HoldId::new(8), at(30)), (HoldId::new(9), at(40))]),
        }
    }

    fn returned(hold: u64, amount: i64) -> [Movement; 2] {
        let (hold, amount) = (HoldId::new(hold), Amount::new(amount));
        [Movement::HoldExpired { hold, amount }, Movement::Returned { hold, grant: GRANT, amount }]
    }

    /// Amounts of those that move the balance, with their dates.
    fn moved(due: &[Movement]) -> Vec<(i128, u64)> {
        let apart = tell_apart(due, &dates()).expect("all dates are there");
        let moves = apart.iter().filter(|dated| dated.movement.delta() != 0);
        moves.map(|dated| (dated.movement.delta(), dated.date.expect("a date").millis())).collect()
    }

    #[test]
    fn what_a_hold_gives_back_after_the_end_of_its_grant_expires_with_the_hold() {
        let expired = Movement::Expired { grant: GRANT, amount: Amount::new(18) };
        let due = [returned(7, 1), returned(8, 2), returned(9, 4)].concat();
        let due = [&due[..], &[expired]].concat();
        assert_eq!(moved(&due), [(-2, 30), (-4, 40), (-12, 20)]);
        assert!(are_summed_up(&due));
        // With nothing free at the end.
        let due = [&returned(8, 18)[..], &[expired]].concat();
        assert_eq!(moved(&due), [(-18, 30)]);
    }

    #[test]
    fn what_holds_give_back_of_a_voided_grant_goes_with_each() {
        let voided = Movement::Voided { grant: GRANT, amount: Amount::new(3) };
        let due = [&returned(7, 1)[..], &returned(8, 2), &[voided]].concat();
        assert_eq!(moved(&due), [(-1, 10), (-2, 30)]);
    }

    #[test]
    fn debt_is_paid_with_what_pays_it() {
        let later = GrantId::new(2);
        let amount = Amount::new(5);
        let of_later = [Movement::Activated { grant: later, amount }, Movement::DebtPaid { grant: later, amount }];
        let due = [&of_later[..], &returned(7, 5), &[Movement::DebtPaid { grant: GRANT, amount }]].concat();
        let apart = tell_apart(&due, &dates()).expect("all dates are there");
        let paid = apart.iter().filter(|dated| matches!(dated.movement, Movement::DebtPaid { .. }));
        assert_eq!(paid.map(|dated| dated.date).collect::<Vec<_>>(), [Some(at(5)), Some(at(10))]);
        assert_eq!(tell_apart(&due, &Dates::default()), None);
    }

    #[test]
    fn what_an_operation_does_itself_is_not_due() {
        let amount = Amount::new(5);
        let expired = Movement::Expired { grant: GRANT, amount };
        let voided = Movement::Voided { grant: GRANT, amount };
        let void = Operation::Void { grant: GRANT };
        assert_eq!(count(&Operation::Due, &[expired, voided], true), 2);
        assert_eq!(count(&void, &[expired, voided], true), 1);
        assert_eq!(count(&void, &[expired, voided], false), 2);
        assert_eq!(doubtful_void(&void, &[expired, voided]), None);
        let due = [&returned(7, 5)[..], &[voided]].concat();
        assert_eq!(doubtful_void(&void, &due), Some(GRANT));
        assert_eq!(doubtful_void(&Operation::Void { grant: GrantId::new(2) }, &due), None);
        // An occurrence that was missed is granted when it is made.
        assert_eq!(count(&Operation::Due, &[expired, Movement::Granted { grant: GRANT, amount }, expired], true), 1);
        let release = Operation::Release { hold: HoldId::new(7) };
        let released = Movement::Released { hold: HoldId::new(7), amount };
        assert_eq!(count(&release, &[voided, released, voided], true), 1);
    }

    #[test]
    fn an_instant_cuts_what_fell_due() {
        let due = [&returned(7, 1)[..], &returned(8, 2), &[Movement::Expired { grant: GRANT, amount: Amount::new(9) }]];
        let apart = tell_apart(&due.concat(), &dates()).expect("all dates are there");
        let cut = |before| {
            let due = Due::before(Some(3), apart.clone(), at(before));
            (due.delta(), due.freed())
        };
        assert_eq!([10, 11, 20, 21, 30, 31].map(cut), [(0, 0), (0, 1), (0, 1), (-7, 1), (-7, 1), (-9, 3)]);
        let all = Due::before(Some(3), apart.clone(), at(99));
        assert!(all.holds(Some(3), 0) && !all.holds(Some(2), 0) && !all.holds(Some(3), 6));
    }
}
