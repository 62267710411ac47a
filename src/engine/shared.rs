//! Lists of levels that many wallets have alike are kept once. Live, wallets that inherit a currency's levels share the list that the
//! catalogue holds; what is read back from a log or a snapshot stands in each record by itself.

use crate::ledger::Levels;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// Lists that a thread remembers: the versions that were in use lately, of a few currencies.
const REMEMBERED: usize = 16;

thread_local! {
    static LATELY: RefCell<Vec<Weak<Levels>>> = const { RefCell::new(Vec::new()) };
}

/// A list that is equal to `levels`: one that this thread has lately given out, if there is one.
pub(super) fn shared(levels: Arc<Levels>) -> Arc<Levels> {
    LATELY.with_borrow_mut(|lately| {
        let known = lately.iter().filter_map(Weak::upgrade).find(|known| *known == levels);
        if let Some(known) = known {
            return known;
        }
        lately.retain(|known| known.strong_count() > 0);
        if lately.len() == REMEMBERED {
            lately.remove(0);
        }
        lately.push(Arc::downgrade(&levels));
        levels
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Amount, Level};

    fn levels(amount: i64) -> Arc<Levels> {
        let level = Level { name: "low".into(), amount: Amount::new(amount), ..Level::default() };
        Arc::new(Levels::new(vec![level]).expect("a level"))
    }

    #[test]
    fn equal_lists_are_one_as_long_as_somebody_has_them() {
        let first = shared(levels(1));
        assert!(Arc::ptr_eq(&first, &shared(levels(1))));
        let others: Vec<_> = (2..).take(REMEMBERED).map(|amount| shared(levels(amount))).collect();
        let again = shared(levels(1));
        assert!(!Arc::ptr_eq(&first, &again), "it has been forgotten for later ones");
        assert_eq!(first, again);
        drop(others);
        assert!(Arc::ptr_eq(&again, &shared(levels(1))));
    }
}
