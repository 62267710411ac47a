//! Which of several events about one charge counts.

use super::Event;
use serde::{Deserialize, Serialize};

/// How a charge stands, as events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChargeState {
    /// The provider does not know yet.
    Processing,
    /// The customer must do something.
    RequiresAction,
    /// The last try failed; another may be made on the same charge.
    Failed,
    /// The money is on its way to us. Final: what is given back later is a refund or a dispute.
    Succeeded,
}

/// The newest that is known of a charge. Events may come twice and in any order: the end is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    state: ChargeState,
    at_s: u64,
}

impl Progress {
    /// What the first news says.
    pub fn new(state: ChargeState, at_s: u64) -> Self {
        Progress { state, at_s }
    }

    /// How the charge stands.
    pub fn state(&self) -> ChargeState {
        self.state
    }

    /// Takes news in; tells whether they change how the charge stands.
    ///
    /// Success is final. Otherwise the later instant counts, and of one and the same second the further state: providers' instants are whole
    /// seconds. So this is a maximum, which is why order and repetition do not matter.
    pub fn absorb(&mut self, news: Progress) -> bool {
        let before = self.state;
        let rank = |progress: &Progress| (progress.state == ChargeState::Succeeded, progress.at_s, progress.state);
        if rank(&news) > rank(self) {
            *self = news;
        }
        self.state != before
    }
}

impl Event {
    /// How a charge stands by this event; `None` if it is about something else.
    pub fn charge_state(&self) -> Option<ChargeState> {
        match self {
            Event::ChargeSucceeded(_) => Some(ChargeState::Succeeded),
            Event::ChargeFailed { .. } => Some(ChargeState::Failed),
            Event::ChargeRequiresAction { .. } => Some(ChargeState::RequiresAction),
            Event::ChargeProcessing(_) => Some(ChargeState::Processing),
            Event::CheckoutCompleted { .. }
            | Event::CheckoutExpired { .. }
            | Event::RefundedInAll { .. }
            | Event::RefundChanged { .. }
            | Event::DisputeOpened { .. }
            | Event::DisputeClosed { .. }
            | Event::SetupCompleted { .. }
            | Event::MethodAttached(_)
            | Event::MethodDetached(_)
            | Event::Other { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChargeState::{Failed, Processing, RequiresAction, Succeeded};
    use proptest::prelude::*;

    #[test]
    fn success_is_final_and_late_news_are_old() {
        let mut progress = Progress::new(RequiresAction, 10);
        assert!(progress.absorb(Progress::new(Succeeded, 20)));
        assert!(!progress.absorb(Progress::new(Failed, 30)));
        assert!(!progress.absorb(Progress::new(Succeeded, 20)));
        assert_eq!(progress.state(), Succeeded);

        let mut progress = Progress::new(Failed, 20);
        assert!(!progress.absorb(Progress::new(Processing, 10)), "came late");
        assert!(progress.absorb(Progress::new(RequiresAction, 21)), "a second try");
        assert!(progress.absorb(Progress::new(Succeeded, 5)), "success counts whenever it was");
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(
            news in proptest::collection::vec((prop::sample::select(vec![Processing, RequiresAction, Failed, Succeeded]), 0..6_u64), 1..8),
            swaps in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..16),
            again in any::<prop::sample::Index>(),
        ) {
            let fold = |news: &[(ChargeState, u64)]| {
                let mut progress = Progress::new(news[0].0, news[0].1);
                for (state, at_s) in news {
                    progress.absorb(Progress::new(*state, *at_s));
                }
                progress
            };
            let mut shuffled = news.clone();
            shuffled.push(news[again.index(news.len())]);
            for (a, b) in swaps {
                let length = shuffled.len();
                shuffled.swap(a.index(length), b.index(length));
            }
            prop_assert_eq!(fold(&news), fold(&shuffled));
        }
    }
}
