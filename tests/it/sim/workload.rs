//! Steps made of a seed: mostly debits, and of everything else enough to change the terms often.

use drawdown_wal::sim::Random;

use crate::books::{Ask, Correction, GrantSpec, HoldSpec, RolloverSpecs, Step, Usage, WalletNumber, When};
use crate::model::{Level, OnExceed, Policy, Status, Watches};

/// The steps of a seed. The first ones give credit.
pub(super) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut maker = Maker { random: Random::new(seed), events: 0 };
    let opening = (0..3).map(|wallet| GrantSpec {
        wallet: WalletNumber(wallet),
        units: 120,
        lasts: None,
        waits: None,
        ..maker.grant()
    });
    let mut steps: Vec<_> = opening.collect::<Vec<_>>().into_iter().map(Step::Grant).collect();
    steps.extend((0..count).map(|_| maker.step()));
    steps
}

/// As [`steps`], with what happens to holds, and corrections, among them: half as many steps more.
pub(super) fn steps_with_holds(seed: u64, count: usize) -> Vec<Step> {
    let mut maker = Maker { random: Random::new(seed ^ 0x401d), events: 0 };
    let mut all = Vec::with_capacity(count * 3 / 2);
    for step in steps(seed, count) {
        all.push(step);
        if maker.below(2) == 0 {
            all.push(maker.hold_step());
        }
    }
    all
}

/// An event that no workload has.
pub(super) fn usage(id: u32) -> Usage {
    Usage { id, source: 0, wallet: WalletNumber(0), ask: Ask::Units(1), time: When::Unsaid, policy: None }
}

struct Maker {
    random: Random,
    events: u32,
}

impl Maker {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        (self.below(2) == 0).then_some(value)
    }

    fn small(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).expect("a small number")
    }

    fn wallet(&mut self) -> WalletNumber {
        let among = if self.below(4) == 0 { WalletNumber::COUNT as u64 } else { 3 };
        WalletNumber(self.below(among) as usize)
    }

    fn step(&mut self) -> Step {
        match self.below(100) {
            0..48 => Step::Batch((0..=self.below(5)).map(|_| self.usage()).collect()),
            48..62 => Step::Grant(self.grant()),
            62..65 => Step::GrantAgain(self.below(6) as usize),
            65..69 => Step::Void(self.below(4) as usize),
            69 => Step::Pay(self.below(3) as usize),
            70..74 => {
                let lasts = self.below(30) + 1;
                Step::MoveExpiry(self.below(4) as usize, self.maybe(lasts))
            }
            74..77 => {
                let status = [Status::Active, Status::Active, Status::Frozen][self.below(3) as usize];
                Step::Patch { wallet: self.wallet(), status: Some(status), allowance: None }
            }
            77..80 => Step::Patch { wallet: self.wallet(), status: None, allowance: Some(self.small(60)) },
            80..88 => Step::Alerts(self.wallet(), (0..self.below(4)).map(|number| self.level(number)).collect()),
            88..93 => Step::Pause(self.below(12)),
            93..98 => Step::UpToADate { before: self.below(3) == 0 },
            98 => {
                let (lasts, wallet) = (self.below(30) + 1, self.wallet());
                Step::Commit(wallet, vec![(1 + self.small(30), self.maybe(lasts)), (1 + self.small(9), None)])
            }
            _ => Step::Tidy,
        }
    }

    fn hold_step(&mut self) -> Step {
        match self.below(46) {
            0..10 => Step::Hold(self.hold()),
            10..12 => Step::HoldAgain(self.below(6) as usize),
            12..22 => {
                let (units, is_final) = (self.small(25), self.below(3) == 0);
                Step::Capture { hold: self.below(6) as usize, units, is_final }
            }
            22..24 => Step::Release(self.below(6) as usize),
            24 => Step::Alerts(self.wallet(), vec![Level { watches: Watches::Available, ..self.level(0) }]),
            25..28 => Step::Extend(self.below(6) as usize, self.below(60)),
            28..33 => {
                let (from, further, units) = (self.wallet(), 1 + self.below(2) as usize, 1 + self.small(40));
                let key = self.below(4) as u8;
                Step::Transfer { from, further, units, key: self.maybe(key) }
            }
            33..38 => self.group(),
            _ => {
                let (correction, key) = (self.correction(), self.below(5) as u8);
                Step::Correct(correction, self.maybe(key))
            }
        }
    }

    /// Events that no other step has, and now and then one that an earlier group had.
    fn group(&mut self) -> Step {
        let count = 1 + self.below(4);
        let event = |maker: &mut Maker| {
            let usage = maker.usage();
            let again = if maker.below(8) == 0 { maker.below(6) as u32 } else { 0 };
            let id = (1 << 19) + maker.events - again;
            Usage { id, source: id as usize % 3, ..usage }
        };
        Step::Group((0..count).map(|_| event(self)).collect())
    }

    fn hold(&mut self) -> HoldSpec {
        let (ttl_ms, id) = (1 + self.below(60), self.below(8) as u8);
        let on_exceed = [OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw][self.below(3) as usize];
        let units = 1 + self.small(40);
        HoldSpec { wallet: self.wallet(), units, ttl_ms: self.maybe(ttl_ms), on_exceed, id: self.maybe(id) }
    }

    fn correction(&mut self) -> Correction {
        let (wallet, units) = (self.wallet(), self.small(30));
        match self.below(6) {
            0 => {
                let policy = [Policy::Reject, Policy::Partial, Policy::Overdraft][self.below(3) as usize];
                Correction::Adjust { wallet, units: units - 10, policy }
            }
            1 => Correction::Charge { wallet, units: units + 1 },
            _ => {
                let debit = self.below(8) as usize;
                Correction::Reverse { debit, units: self.maybe(units / 4 + 1), regrant: self.below(2) == 0 }
            }
        }
    }

    fn usage(&mut self) -> Usage {
        self.events += 1;
        let earlier = self.below(8) == 0;
        let id = if earlier { self.below(self.events.into()) as u32 } else { self.events };
        let policy = [Policy::Reject, Policy::Partial, Policy::Overdraft][self.below(3) as usize];
        let (units, tenths) = (1 + self.small(25), 10 * (1 + self.small(20)));
        let ask = if self.below(6) == 0 { Ask::Metered(tenths) } else { Ask::Units(units) };
        Usage {
            id,
            source: id as usize % 3,
            wallet: self.wallet(),
            ask,
            time: When::Unsaid,
            policy: self.maybe(policy),
        }
    }

    fn grant(&mut self) -> GrantSpec {
        let (priority, effective, lasts) = (self.below(3) as u8, self.small(20), 1 + self.below(50));
        let (cost, key) = (self.small(40), self.below(5) as u8);
        let (tenths, max) = (1 + self.below(10) as u8, 1 + self.small(30));
        let rollover = RolloverSpecs { tenths, max: self.maybe(max), lasts: self.maybe(25) };
        GrantSpec {
            wallet: self.wallet(),
            units: 1 + self.small(90),
            source: self.below(5) as usize,
            promotional: self.below(2) == 0,
            priority: self.maybe(priority),
            effective: self.maybe(effective),
            lasts: self.maybe(lasts),
            cost: self.maybe(cost),
            key: self.maybe(key),
            note: self.below(2) == 0,
            waits: if self.below(8) == 0 { Some(self.maybe(12)) } else { None },
            rollover: if self.below(4) == 0 { Some(rollover) } else { None },
        }
    }

    fn level(&mut self, number: u64) -> Level {
        let amount = i128::from(self.below(80)) - 10;
        let (at_or_below, margin) = (self.below(2) == 0, i128::from(self.below(6)));
        let plain = Level::plain(format!("level-{number}"), amount, at_or_below, margin);
        match self.below(4) {
            0 => Level { interval: 1 + self.below(30), ..plain },
            1 => Level { watches: Watches::Projected, ..plain },
            2 => Level { percent: Some(20_000_000), amount: 0, ..plain },
            _ => plain,
        }
    }
}
