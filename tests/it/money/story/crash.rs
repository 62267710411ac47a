//! The power fails, and what is left is opened.

use drawdown_wal::sim::Disk;

use super::{Story, audit, open, views};
use crate::money::SEGMENT_BYTES;
use crate::money::model::How;

impl Story {
    pub(super) fn snapshot(&mut self) {
        "making a snapshot".clone_into(&mut self.doing);
        let made = self.engine.snapshot_now().expect("a healthy disk");
        self.tally.snapshots += u64::from(made.is_some());
    }

    pub(super) fn crash(&mut self) {
        self.tally.crashes += 1;
        let left = match self.random.below(5) {
            0 => self.disk.restart(),
            1 => {
                self.engine.close().expect("a healthy log");
                self.acknowledged = self.number;
                self.disk.restart()
            }
            2 | 3 => {
                let (durable, tail) = (self.engine.log().durable().get(), self.engine.log().tail().get());
                let place = durable + self.random.below(tail - durable + 512);
                self.disk.crash_keeping(place / SEGMENT_BYTES, place % SEGMENT_BYTES)
            }
            _ => self.disk.crash(self.random.draw()),
        };
        if self.is_one_in(4) {
            // Half done things are no contradictions.
            audit(&left);
        }
        self.reopen(left);
        self.pass(0);
    }

    /// Opens what is left, and finds out up to which step it goes.
    fn reopen(&mut self, left: Disk) {
        self.doing = format!("opening what a crash left after {}", self.doing);
        self.engine = open(&left, &self.clock, self.writes_off);
        self.disk = left;
        (self.tickets, self.works) = (Vec::new(), Vec::new());
        let (views, mut why) = (views(&self.engine), Vec::new());
        let mut found = None;
        let possible = self.history.iter().rev().filter(|(number, _)| *number >= self.acknowledged);
        for (number, before) in possible {
            let mut model = before.clone();
            model.reach(self.model.now);
            for due in model.due(|buy| buy.how == How::Outside) {
                model.expire(due);
            }
            model.evaluate_all();
            match model.adopt(&views).and_then(|()| model.differs(&self.engine, &views)) {
                Ok(()) => {
                    found = Some((*number, before.clone(), model));
                    break;
                }
                Err(difference) => why.push((*number, difference)),
            }
        }
        let Some((number, before, model)) = found else {
            panic!("what was opened is none of what may be left: {why:#?}");
        };
        self.tally.lost_steps += self.number - number;
        for (key, entry) in &self.bank.entries {
            assert!(model.find(key).is_some(), "the bank was asked for {entry:?} under {key}, which is forgotten");
        }
        for (key, refund) in self.bank.refunds.keys().filter(|(_, refund)| !refund.starts_with("re_")) {
            let known = model.find(key).and_then(|buy| model.buys[buy].refund(refund));
            assert!(known.is_some(), "{refund} of {key} was asked for and is forgotten");
        }
        let lost = self.delivered.extract_if(.., |(with, _)| *with > number);
        self.bank.mail.extend(lost.map(|(_, mail)| mail));
        self.delivered.clear();
        (self.history, self.acknowledged) = (vec![(number, before)], number);
        self.model = model;
        self.note();
        self.take_works();
        "what was opened".clone_into(&mut self.doing);
    }
}
