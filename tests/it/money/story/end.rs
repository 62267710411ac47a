//! How a story ends: everything comes to rest, and the books agree.

use std::collections::BTreeMap;

use drawdown::engine::Engine;
use drawdown_wal::Lsn;

use super::{Story, audit, open, views};
use crate::money::bank::{Dispute, State};
use crate::money::model::{Buy, How, PATIENCE, Quarrel, euros};

impl Story {
    /// Everybody does what is left to be done, and the books are closed.
    pub(super) fn end(&mut self) {
        for round in 0.. {
            self.bank.advance(true);
            while !self.bank.mail.is_empty() {
                self.make_room();
                self.mail();
            }
            self.settle();
            for _ in 0..self.works.len() {
                self.make_room();
                self.work();
            }
            let is_open = |buy: &Buy| buy.is_open() && matches!(buy.how, How::Card | How::Page);
            let is_done = self.works.is_empty() && self.bank.mail.is_empty() && self.bank.is_at_rest();
            if is_done && !self.model.buys.iter().any(is_open) {
                break;
            }
            // What the customers leave lying is given up, and what is not known is asked for.
            self.pass(PATIENCE);
            if round == 40 {
                self.crash();
            }
            assert!(round < 80, "it does not come to rest: {:?}", self.works);
        }
        self.settle();
        self.close_books();
    }

    /// One charge and one grant for each purchase that was paid, and none for any other.
    fn close_books(&mut self) {
        "closing the books".clone_into(&mut self.doing);
        for (key, entry) in &self.bank.entries {
            let buy = &self.model.buys[self.model.find(key).expect("what was asked for is known")];
            assert_eq!(entry.state == State::Paid, buy.is_paid, "{entry:?} of {buy:?}");
            assert_eq!(entry.money, euros(buy.cents), "{entry:?} of {buy:?}");
            let quarrel = match entry.dispute {
                Dispute::None => Quarrel::None,
                Dispute::Open(_) => Quarrel::Open,
                Dispute::Closed(true) => Quarrel::Won,
                Dispute::Closed(false) => Quarrel::Lost,
            };
            assert_eq!(quarrel, buy.quarrel, "{entry:?} of {buy:?}");
            self.tally.disputes += u64::from(quarrel != Quarrel::None);
            self.tally.lost_disputes += u64::from(quarrel == Quarrel::Lost);
            self.tally.asked_again += u64::from(entry.asked.saturating_sub(1));
        }
        for buy in &self.model.buys {
            // A cent may buy nothing of a large package.
            let is_worth_it = buy.is_paid && buy.worth(buy.captured) > 0;
            assert_eq!(buy.is_credited, is_worth_it || buy.at_once, "{buy:?}");
            self.tally.parts += u64::from(buy.came_short());
            let is_of_bank = matches!(buy.how, How::Card | How::Page);
            assert!(!(buy.is_paid && is_of_bank) || self.bank.entries.contains_key(&buy.id), "{buy:?} was not charged");
            self.tally.by_rules += u64::from(buy.auto);
            self.tally.paid += u64::from(buy.is_paid);
        }
        self.engine.close().expect("a healthy log");
        assert_eq!(audit(&self.disk), self.model.buys.len() as u64);
        let engine = open(&self.disk.restart(), &self.clock, self.writes_off);
        let views = views(&engine);
        self.model.differs(&engine, &views).unwrap_or_else(|why| panic!("opened again: {why}"));
        self.read_feed(&engine);
    }

    /// Each thing was told once.
    fn read_feed(&mut self, engine: &Engine) {
        engine.barrier().wait().expect("a healthy log");
        let (mut after, mut told) = (Lsn::ZERO, BTreeMap::<&str, u64>::new());
        loop {
            let page = engine.feed(after, 1_000, None).expect("a feed");
            page.events.iter().for_each(|event| *told.entry(event.kind).or_default() += 1);
            after = page.next;
            if page.at_end {
                break;
            }
        }
        let count = |is_it: fn(&Buy) -> bool| self.model.buys.iter().filter(|buy| is_it(buy)).count() as u64;
        let of = |kind| told.get(kind).copied().unwrap_or(0);
        assert_eq!(of("top_up.created"), count(|_| true));
        assert_eq!(of("top_up.completed"), count(|buy| buy.is_paid));
        assert_eq!(of("invoice.paid"), count(|buy| buy.is_paid));
        assert_eq!(of("auto_top_up.triggered"), count(|buy| buy.auto));
        self.tally.suspended += of("auto_top_up.suspended");
        self.tally.skipped += of("auto_top_up.skipped");
    }
}
