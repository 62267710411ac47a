//! Stories of money, each made of one seed: customers who buy, use and are paid back, rules that buy for them, a bank that cannot be relied on, a
//! clock that jumps from a minute to weeks, and a disk that is cut off at any sector, again and again.
//!
//! After each step the engine must have what the [`Model`] has. After a cut it must have what the model had after some step, none before
//! the last that was acknowledged; and nothing may be in the bank's books that the ledger has forgotten.
//!
//! Here are the story, its steps and its time. What is done in it: [`buying`], [`rules`]; what interrupts it, and how it ends: [`crash`], [`end`].

mod buying;
mod crash;
mod end;
mod rules;
mod tally;

pub(super) use tally::Tally;

use std::sync::Arc;

use drawdown::engine::billing::{TopUpView, Work};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Charge, Engine, EventStatus, ManualClock, Shortfall, Ticket, UsageEvent};
use drawdown::ledger::{Category, Decimal, Policy, Source};
use drawdown::verify::verify;
use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{Archive, Images, Pumped};

use super::bank::{Bank, Mail};
use super::model::{EUROS, Model, PATIENCE, WALLETS};
use super::{SEGMENT_BYTES, fresh_disk};
use crate::books::{BEGIN, at, config};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// More than a step takes of the log.
const ROOM_BYTES: u64 = 16 << 10;
const CUSTOMERS: [&str; 3] = ["ada", "bob", "cyd"];

struct Story {
    seed: u64,
    doing: String,
    /// One seed was asked for, so that each step is of interest.
    is_replayed: bool,
    random: Random,
    writes_off: bool,
    disk: Disk,
    clock: Arc<ManualClock>,
    engine: Engine,
    bank: Bank,
    model: Model,
    /// What the model had after each step since the last that is known to be durable, that one included.
    history: Vec<(u64, Model)>,
    /// The number of the last step.
    number: u64,
    acknowledged: u64,
    tickets: Vec<(u64, Ticket)>,
    /// What providers have to do.
    works: Vec<Work>,
    /// What the bank told, and with which step.
    delivered: Vec<(u64, Mail)>,
    /// Tells ids apart.
    serial: u64,
    tally: Tally,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while {}: replay with `make sim-money SEED={}`", self.doing, self.seed);
        }
    }
}

/// Tells the story of a seed.
pub(super) fn tell(seed: u64) -> Tally {
    let mut story = Story::begin(seed);
    let steps = 150 + story.random.below(250);
    for _ in 0..steps {
        story.step();
    }
    story.end();
    story.tally
}

fn open(disk: &Disk, clock: &Arc<ManualClock>, writes_off: bool) -> Engine {
    let mut config = config(SEGMENT_BYTES);
    config.refund_shortfall = if writes_off { Shortfall::WriteOff } else { Shortfall::Debt };
    let engine = Engine::open_on(disk.medium(), config, clock.clone()).expect("what is left can be opened").0;
    engine.follow_rules().expect("a healthy engine");
    drop(engine.connect_provider("simulated").expect("a healthy engine"));
    engine
}

/// Verifies what a disk holds. Answers how many purchases were looked at.
fn audit(disk: &Disk) -> u64 {
    let images = Images { segments: disk.images(), chain: None };
    let verdict = verify(&Archive::of_images(images), &|_| ()).expect("images can be read");
    assert_eq!(verdict.problems, []);
    verdict.audit.expect("it was made").top_ups
}

fn views(engine: &Engine) -> Vec<TopUpView> {
    engine.top_ups(None, None, 100_000)
}

impl Story {
    fn begin(seed: u64) -> Story {
        let mut random = Random::new(seed);
        let writes_off = random.below(3) == 0;
        let (disk, clock) = (fresh_disk(), Arc::new(ManualClock::new(at(BEGIN))));
        let engine = open(&disk, &clock, writes_off);
        let model = Model::new(engine.now().millis(), writes_off);
        let mut story = Story {
            seed,
            doing: "beginning".to_owned(),
            is_replayed: std::env::var_os("DRAWDOWN_SIM_SEED").is_some(),
            bank: Bank::new(random.draw()),
            random,
            writes_off,
            disk,
            clock,
            engine,
            history: vec![(0, model.clone())],
            model,
            number: 0,
            acknowledged: 0,
            tickets: Vec::new(),
            works: Vec::new(),
            delivered: Vec::new(),
            serial: 0,
            tally: Tally { stories: 1, ..Tally::default() },
        };
        // Rules are about wallets that there are.
        (0..WALLETS.len()).for_each(|wallet| story.gift(wallet));
        for customer in CUSTOMERS {
            story.add_card(customer);
        }
        for wallet in 0..WALLETS.len() {
            story.set_rule(wallet);
        }
        story.settle();
        story
    }

    fn below(&mut self, bound: u64) -> usize {
        self.random.below(bound) as usize
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{}", self.serial)
    }

    /// One thing after another.
    fn step(&mut self) {
        self.make_room();
        let wallet = self.below(WALLETS.len() as u64);
        match self.random.below(100) {
            0..22 => self.usage(wallet),
            22..27 => self.buy(wallet),
            27..32 => self.confirm(),
            32..36 => self.change_rule(wallet),
            36..40 => self.change_cards(),
            40..58 => self.work(),
            58..63 => self.bank.advance(false),
            63..73 => self.mail(),
            73..77 => self.page(),
            77..80 => self.refund(),
            80..82 => self.bank.dispute(),
            82 => self.cancel(),
            83..90 => self.time(),
            90..96 => self.settle(),
            96 => self.gift(wallet),
            97 => self.snapshot(),
            _ => self.crash(),
        }
    }

    /// Lets the disk do what it must so that a step is not refused for want of room.
    fn make_room(&self) {
        let log = self.engine.log();
        let is_short = || {
            let unsynced = log.tail().get() - log.durable().get();
            unsynced > SEGMENT_BYTES - ROOM_BYTES || log.stats().prepared_bytes < ROOM_BYTES
        };
        while is_short() && log.pump() != (Pumped { synced: false, prepared: false }) {}
    }

    /// A step is made, and the model has made it, too.
    fn made(&mut self, ticket: Ticket) {
        if self.is_replayed {
            println!("{}: {}", self.number + 1, self.doing);
        }
        let views = views(&self.engine);
        let outcome = self.model.adopt(&views).and_then(|()| self.model.differs(&self.engine, &views));
        outcome.unwrap_or_else(|why| panic!("after {}: {why}", self.doing));
        self.tally.steps += 1;
        self.note();
        self.tickets.push((self.number, ticket));
        self.take_works();
        match self.random.below(8) {
            0..2 => drop(self.engine.log().pump()),
            2 => {
                let (number, ticket) = self.tickets.swap_remove(self.random.below(self.tickets.len() as u64) as usize);
                ticket.wait().expect("a healthy log");
                self.acknowledged = self.acknowledged.max(number);
            }
            _ => {}
        }
        for (number, _) in self.tickets.extract_if(.., |(_, ticket)| ticket.is_durable()) {
            self.acknowledged = self.acknowledged.max(number);
        }
        self.history.retain(|(number, _)| *number >= self.acknowledged);
        self.delivered.retain(|(number, _)| *number > self.acknowledged);
    }

    /// What the model has now is something that a crash may lead to.
    fn note(&mut self) {
        self.number += 1;
        self.history.push((self.number, self.model.clone()));
    }

    fn take_works(&mut self) {
        for work in self.engine.take_work() {
            if !self.works.contains(&work) {
                self.works.push(work);
            }
        }
    }

    fn usage(&mut self, wallet: usize) {
        let units = if wallet == EUROS { 10_000 + self.random.below(70_000) } else { 50 + self.random.below(700) };
        let (units, overdraws, id) = (units.cast_signed(), self.is_one_in(2), self.fresh("e"));
        self.doing = format!("{units} are used of wallet {wallet}");
        let (customer, currency) = WALLETS[wallet];
        let amount = Ok(Decimal::from_parts(units, if wallet == EUROS { 2 } else { 0 }).expect("few decimals"));
        let charge = Charge::Amount { currency: Some(currency), amount };
        let policy = Some(if overdraws { Policy::Overdraft } else { Policy::Reject });
        let event = UsageEvent { id: &id, source: "", customer, charge, time: None, policy };
        let mut outcomes = Vec::new();
        let ticket = self.engine.submit(&[event], &mut outcomes).expect("a healthy engine");
        let is_taken = self.model.debit(wallet, units, overdraws);
        assert_eq!(outcomes[0].status == EventStatus::Applied, is_taken, "{}: {:?}", self.doing, outcomes[0]);
        self.made(ticket);
    }

    fn gift(&mut self, wallet: usize) {
        let units = if wallet == EUROS { 150_000 } else { 1_500 };
        self.doing = format!("wallet {wallet} is given {units}");
        let (customer, currency) = WALLETS[wallet];
        let request = GrantRequest {
            customer: customer.to_owned(),
            currency: Some(currency.to_owned()),
            amount: Decimal::from_parts(units, if wallet == EUROS { 2 } else { 0 }).expect("few decimals"),
            source: Source::Promotional,
            category: Category::Promotional,
            priority: None,
            effective_at: None,
            expires_at: None,
            cost_basis: None,
            key: None,
            metadata: Metadata::new(),
            options: GrantOptions::default(),
        };
        let (outcomes, ticket) = self.engine.grant(&[request]).expect("a healthy engine");
        for outcome in outcomes {
            outcome.result.expect("it is given");
        }
        self.model.gift(wallet, units);
        self.made(ticket);
    }

    /// Everything becomes durable, and the rules hear of it.
    fn settle(&mut self) {
        "what is durable is followed".clone_into(&mut self.doing);
        self.engine.barrier().wait().expect("a healthy log");
        self.acknowledged = self.number;
        while self.engine.follow_rules().expect("a healthy engine").more {}
        self.model.evaluate_all();
        self.made(self.engine.barrier());
    }

    fn time(&mut self) {
        let longer = match self.random.below(10) {
            0..3 => 1 + self.random.below(4 * MINUTE),
            3..5 => PATIENCE,
            5..8 => HOUR + self.random.below(3 * HOUR),
            8 => DAY - self.model.now % DAY,
            _ => self.random.below(9 * DAY),
        };
        self.pass(longer);
    }

    /// Time goes by, and what it brings happens.
    fn pass(&mut self, millis: u64) {
        self.settle();
        self.doing = format!("{millis} ms go by");
        // Only what was decided at the time that it was decided at is found again after a crash.
        self.engine.barrier().wait().expect("a healthy log");
        self.acknowledged = self.number;
        self.tally.ended += self.model.reach(self.model.now + millis).unsigned_abs();
        self.clock.set(at(self.model.now));
        drop(self.engine.expire_top_ups().expect("a healthy engine"));
        for number in self.model.due(|_| true) {
            self.model.expire(number);
            self.note();
        }
        drop(self.engine.evaluate_due().expect("a healthy engine"));
        // What has ended is seen to, and the rules hear of it.
        self.make_room();
        self.engine.tidy();
        self.engine.barrier().wait().expect("a healthy log");
        while self.engine.follow_rules().expect("a healthy engine").more {}
        let ticket = self.engine.barrier();
        self.model.evaluate_all();
        self.made(ticket);
    }
}
