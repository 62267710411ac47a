//! Stories of money, each made of one seed: customers who buy, use and are paid back, rules that buy for them, a bank that cannot be relied on, a
//! clock that jumps from a minute to weeks, and a disk that is cut off at any sector, again and again.
//!
//! After each step the engine must have what the [`Model`] has. After a cut it must have what the model had after some step, none before
//! the last that was acknowledged; and nothing may be in the bank's books that the ledger has forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::billing::PaymentMethod;
use drawdown::billing::top_up::{Collection, Command, Event, Kind, Outcome, RefundReport};
use drawdown::engine::billing::{Buyer, TopUpRequest, TopUpView, Work};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{Charge, CommandError, Engine, EventStatus, ManualClock, Shortfall, Ticket, UsageEvent};
use drawdown::ledger::{Category, Decimal, Policy, Source, Timestamp};
use drawdown::verify::verify;
use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{Archive, Images, Lsn, Pumped};

use super::bank::{Bank, Dispute, Mail, State};
use super::model::{
    Buy, EUROS, How, Model, PACKAGES, PATIENCE, Quarrel, Size, Spec, UNITS_PER_CENT, VALID_FOR, WALLETS, Window, euros,
};
use super::{SEGMENT_BYTES, fresh_disk};
use crate::books::{BEGIN, at, config};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// More than a step takes of the log.
const ROOM_BYTES: u64 = 16 << 10;
const CUSTOMERS: [&str; 3] = ["ada", "bob", "cyd"];

/// How often what happened: a simulation that never gets to the interesting places is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) stories: u64,
    pub(super) steps: u64,
    pub(super) crashes: u64,
    pub(super) lost_steps: u64,
    pub(super) snapshots: u64,
    pub(super) by_rules: u64,
    pub(super) paid: u64,
    pub(super) late: u64,
    pub(super) refunds: u64,
    pub(super) disputes: u64,
    pub(super) lost_disputes: u64,
    pub(super) parts: u64,
    pub(super) ended: u64,
    pub(super) suspended: u64,
    pub(super) skipped: u64,
    pub(super) asked_again: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.stories += other.stories;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.lost_steps += other.lost_steps;
        self.snapshots += other.snapshots;
        self.by_rules += other.by_rules;
        self.paid += other.paid;
        self.late += other.late;
        self.refunds += other.refunds;
        self.disputes += other.disputes;
        self.lost_disputes += other.lost_disputes;
        self.parts += other.parts;
        self.ended += other.ended;
        self.suspended += other.suspended;
        self.skipped += other.skipped;
        self.asked_again += other.asked_again;
    }
}

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

    fn buy(&mut self, wallet: usize) {
        let (customer, currency) = WALLETS[wallet];
        let card = self.model.usual_card(customer);
        let how = match self.random.below(4) {
            0 if card.is_some() => How::Card,
            0 | 1 => How::Page,
            2 => How::Invoice,
            _ => How::Outside,
        };
        let mut valid_for = None;
        let is_free = wallet == EUROS && how == How::Outside && self.is_one_in(2);
        let (package, amount, price) = if is_free {
            // As much as the payer likes.
            (None, None, (0, 0))
        } else if wallet == EUROS {
            let cents = 500 + self.random.below(5_000).cast_signed();
            let amount = Decimal::from_parts(cents, 2).expect("cents");
            (None, Some((amount, "EUR".to_owned())), (cents, cents * UNITS_PER_CENT))
        } else {
            let package = self.below(2);
            valid_for = VALID_FOR[package];
            let (id, credits, cents) = PACKAGES[package];
            (Some((id.to_owned(), 1)), None, (cents, credits))
        };
        let (collection, kind) = match how {
            How::Card => (Collection::Charge, Kind::Manual),
            How::Page => (Collection::Checkout, Kind::Manual),
            How::Invoice => (Collection::Invoice, Kind::Manual),
            How::Outside if is_free => (Collection::Outside, Kind::Deposit),
            How::Outside => (Collection::Outside, Kind::Offline),
        };
        let at_once = how == How::Invoice && self.is_one_in(2);
        let request = TopUpRequest {
            customer: customer.to_owned(),
            currency: Some(currency.to_owned()),
            kind,
            package,
            amount,
            credits: None,
            collection: Some(collection),
            provider: None,
            method: None,
            saves_method: false,
            credits_at_once: at_once,
            return_url: None,
            address: None,
            expiry_ms: None,
            key: Some(self.fresh("order-")),
            metadata: Metadata::new(),
            buyer: Buyer::Operator,
            form: None,
        };
        self.doing = format!("wallet {wallet} buys by {how:?} for {price:?}");
        let (view, is_known, ticket) = self.engine.create_top_up(&request).expect("a top-up");
        assert!(!is_known, "a key that was never used");
        let mut buy = Buy::new(wallet, false, how, price, self.model.now);
        (buy.id, buy.at_once) = (view.top_up.id.clone(), at_once);
        buy.card = card.filter(|_| how == How::Card);
        buy.valid_for = valid_for;
        self.model.buy(buy);
        self.made(ticket);
        if self.is_one_in(4) {
            let (again, is_known, _) = self.engine.create_top_up(&request).expect("the same again");
            assert_eq!((again.top_up.id, is_known), (view.top_up.id, true), "the same again is the same");
        }
        if self.is_one_in(4) {
            self.rush();
        }
    }

    /// What can be done is done at once, before anything more becomes durable, and now and then the power fails right behind it.
    fn rush(&mut self) {
        for _ in 0..self.works.len().min(4) {
            self.make_room();
            self.work();
        }
        if self.is_one_in(2) {
            self.crash();
        }
    }

    /// A purchase that `suits`.
    fn some_buy(&mut self, suits: impl Fn(&Buy) -> bool) -> Option<usize> {
        let all: Vec<_> = (0..self.model.buys.len()).filter(|number| suits(&self.model.buys[*number])).collect();
        // The newest are the most interesting.
        let newest = &all[all.len().saturating_sub(8)..];
        (!newest.is_empty()).then(|| newest[self.random.below(newest.len() as u64) as usize])
    }

    /// Tells a purchase what happens to it, and the model.
    fn tell(&mut self, number: usize, event: &Event) {
        let id = self.model.buys[number].id.clone();
        self.doing = format!("{id} is told {event:?}");
        let was_over = !self.model.buys[number].is_open() && !self.model.buys[number].is_paid;
        let outcome = self.engine.top_up_event(&id, event);
        let is_taken = self.model.event(number, event);
        self.tally.late += u64::from(was_over && self.model.buys[number].is_paid);
        match outcome {
            Ok((_, ticket)) => {
                assert!(is_taken, "{} should be refused", self.doing);
                self.made(ticket);
            }
            Err(CommandError::Conflict { .. } | CommandError::Invalid { .. }) => {
                assert!(!is_taken, "{} should be taken", self.doing);
                self.made(self.engine.barrier());
            }
            Err(error) => panic!("{}: {error:?}", self.doing),
        }
    }

    fn confirm(&mut self) {
        let Some(number) = self.some_buy(|buy| matches!(buy.how, How::Outside | How::Invoice)) else { return };
        let buy = &self.model.buys[number];
        let due = (buy.cents - buy.payments.values().sum::<i64>()).max(1);
        // All of it, or a part; too much now and then, or what was told before, or was told otherwise.
        let cents = match self.random.below(8) {
            _ if buy.cents == 0 => 1 + self.random.below(9_000).cast_signed(),
            0..4 => due,
            4 => due + 1 + self.random.below(500).cast_signed(),
            _ => 1 + self.random.below(due.unsigned_abs()).cast_signed(),
        };
        let key = format!("transfer {}", self.random.below(4));
        let cents = buy.payments.get(&key).copied().filter(|_| cents % 2 == 0).unwrap_or(cents);
        let is_last = self.is_one_in(8);
        self.tell(number, &Event::Confirm { key, money: euros(cents), is_last });
    }

    fn cancel(&mut self) {
        if let Some(number) = self.some_buy(|buy| !buy.is_paid) {
            self.tell(number, &Event::Cancel);
        }
    }

    fn refund(&mut self) {
        let Some(number) = self.some_buy(|buy| buy.is_paid) else { return };
        let (id, cents) = (self.model.buys[number].id.clone(), self.model.buys[number].captured);
        self.tally.refunds += 1;
        if self.is_one_in(4) {
            return self.bank.refund_by_hand(&id);
        }
        let part = 1 + self.random.below(cents.unsigned_abs()).cast_signed();
        let money = Some(euros(if self.is_one_in(3) { cents } else { part }));
        let key = if self.is_one_in(6) { "r1".to_owned() } else { self.fresh("r") };
        self.tell(number, &Event::AskRefund { key, money });
    }

    /// A customer looks at a page.
    fn page(&mut self) {
        let is_open = |(_, entry): &(&String, &super::bank::Entry)| entry.state == State::Open;
        let open: Vec<_> = self.bank.entries.iter().filter(is_open).map(|(key, _)| key.clone()).collect();
        if !open.is_empty() {
            let key = open[self.below(open.len() as u64)].clone();
            self.bank.pay(&key);
        }
    }

    fn mail(&mut self) {
        let Some(mail) = self.bank.next_mail() else { return };
        let Some(number) = self.model.find(&mail.top_up) else { panic!("{mail:?} is of a top-up that was forgotten") };
        self.tell(number, &mail.event);
        let is_paid = matches!(mail.event, Event::Outcome(Outcome::Succeeded { .. }));
        self.delivered.push((self.number, mail));
        if is_paid && self.is_one_in(20) {
            self.crash();
        }
    }

    /// Does what a provider has to do, as whoever speaks with it would.
    fn work(&mut self) {
        if self.works.is_empty() {
            return;
        }
        let place = self.below(self.works.len() as u64);
        let work = self.works.swap_remove(place);
        let id = work.top_up.clone();
        let number = self.model.find(&id).expect("a purchase that there is");
        let buy = self.model.buys[number].clone();
        match &work.command {
            // Asked after once more, a refund is asked for under the same key: the bank says how it stands, or hears of it now.
            Command::Refund { key, money } | Command::LookupRefund { key, money } => {
                if buy.refund(key) != Some(RefundReport::Pending) {
                    return;
                }
                match self.bank.refund(&id, key, *money) {
                    Ok(report) => self.tell(number, &Event::Refund { key: key.clone(), money: *money, report }),
                    Err(_) => self.works.push(work),
                }
            }
            Command::Withdraw => {
                if self.bank.close(&id) {
                    let paid = self.bank.stands(&id).expect("it was paid");
                    self.tell(number, &Event::Outcome(paid));
                }
            }
            _ if !buy.is_open() => {}
            Command::Charge { .. } | Command::Lookup if buy.how == How::Card => {
                let method = buy.card.as_deref().expect("a card that is charged");
                let outcome = self.bank.charge(&id, method, euros(buy.cents));
                self.tell(number, &Event::Outcome(outcome));
            }
            Command::Charge { .. } => panic!("{work:?} of {buy:?}"),
            Command::OpenCheckout { .. } | Command::Lookup => match self.bank.stands(&id) {
                Some(outcome) => self.tell(number, &Event::Outcome(outcome)),
                None => match self.bank.open(&id, euros(buy.cents)) {
                    Ok(()) => self.tell(number, &Event::CheckoutOpened { url: format!("https://bank.test/{id}") }),
                    Err(_) => self.works.push(work),
                },
            },
        }
    }

    fn spec(&mut self, wallet: usize) -> Spec {
        let (scale, package) = (if wallet == EUROS { UNITS_PER_CENT } else { 1 }, self.below(2));
        let threshold = (self.random.below(9).cast_signed() * 100 - 100) * scale;
        let at_or_below = self.is_one_in(2);
        let target = threshold + 1 + self.random.below(3_000).cast_signed() * scale;
        let size = match (wallet == EUROS, self.random.below(2)) {
            (true, 0) => Size::Cents(500 + self.random.below(2_000).cast_signed()),
            (true, _) => Size::Exactly(target),
            (false, 0) => Size::Package(package, 1 + self.random.below(2) as u32),
            (false, _) => Size::Target(package, target),
        };
        let cooldown = [0, 0, 10 * MINUTE, 2 * HOUR, DAY][self.below(5)];
        let cards: Vec<_> = self.model.cards_of(WALLETS[wallet].0).into_iter().map(|card| card.id.clone()).collect();
        let card = if cards.is_empty() || !self.is_one_in(4) { None } else { Some(cards[0].clone()) };
        let enabled = !self.is_one_in(12);
        let mut spec = Spec { enabled, threshold, at_or_below, size, cooldown, limits: Vec::new(), card };
        for window in [Window::Day, Window::Week, Window::Month] {
            let count = self.is_one_in(4).then(|| 1 + self.random.below(4) as u32);
            let most = spec.least_price() * (1 + self.random.below(4).cast_signed());
            let most = self.is_one_in(4).then(|| most + self.random.below(3).cast_signed());
            if count.is_some() || most.is_some() {
                spec.limits.push((window, count, most));
            }
        }
        spec
    }

    fn set_rule(&mut self, wallet: usize) {
        let spec = self.spec(wallet);
        self.doing = format!("the rule of wallet {wallet} is to be {spec:?}");
        let ticket = self.engine.put_rule(spec.rule(wallet)).expect("a rule that makes sense").1;
        self.model.set_rule(wallet, spec);
        self.made(ticket);
    }

    fn change_rule(&mut self, wallet: usize) {
        let (customer, currency) = WALLETS[wallet];
        let is_there = self.model.rule(wallet).is_some();
        let ticket = match self.random.below(8) {
            0 if is_there => {
                self.doing = format!("the rule of wallet {wallet} is taken away");
                let ticket = self.engine.delete_rule(customer, currency).expect("there is one");
                self.model.delete_rule(wallet);
                ticket
            }
            1..4 if is_there => {
                self.doing = format!("the rule of wallet {wallet} is to go on");
                let ticket = self.engine.resume_rule(customer, currency).expect("there is one").1;
                self.model.resume_rule(wallet);
                ticket
            }
            _ => return self.set_rule(wallet),
        };
        self.made(ticket);
    }

    fn add_card(&mut self, customer: &'static str) {
        let id = self.fresh("pm_");
        let known = self.model.cards.iter().find(|card| card.customer == customer).map(|card| card.fingerprint.clone());
        let fingerprint = known.filter(|_| self.is_one_in(3)).unwrap_or_else(|| format!("fp_{id}"));
        let is_default = self.is_one_in(2);
        self.doing = format!("{customer} adds {id} with {fingerprint}");
        let method = PaymentMethod {
            id: id.clone(),
            customer: customer.to_owned(),
            provider: "simulated".to_owned(),
            reference: format!("ref_{id}"),
            brand: None,
            last4: None,
            expiry: None,
            fingerprint: Some(fingerprint.clone()),
            is_default,
            detached: false,
            created_at: Timestamp::EPOCH,
        };
        let ticket = self.engine.add_payment_method(method).expect("a card").1;
        self.model.add_card(&id, customer, &fingerprint, is_default);
        self.made(ticket);
    }

    fn change_cards(&mut self) {
        let customer = CUSTOMERS[self.below(3)];
        let cards: Vec<_> = self.model.cards_of(customer).into_iter().map(|card| card.id.clone()).collect();
        if cards.is_empty() || cards.len() < 4 && self.is_one_in(2) {
            return self.add_card(customer);
        }
        let id = cards[self.below(cards.len() as u64)].clone();
        let ticket = if self.is_one_in(2) {
            self.doing = format!("{id} becomes the default");
            let ticket = self.engine.make_default(customer, &id).expect("a card").1;
            self.model.make_default(&id);
            ticket
        } else {
            self.doing = format!("{id} is taken away");
            let ticket = self.engine.detach_payment_method(customer, &id).expect("a card").1;
            self.model.detach(&id);
            ticket
        };
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

    fn snapshot(&mut self) {
        "making a snapshot".clone_into(&mut self.doing);
        let made = self.engine.snapshot_now().expect("a healthy disk");
        self.tally.snapshots += u64::from(made.is_some());
    }

    fn crash(&mut self) {
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

    /// Everybody does what is left to be done, and the books are closed.
    fn end(&mut self) {
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
