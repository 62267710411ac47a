//! Money in, audited: whether what the log says of top-ups, invoices and rules fits together, and fits what the wallets were given.
//!
//! Nothing of `billing` that decides is asked. From the records alone it is checked that
//! 1. each top-up's records follow from one another: what identifies it stays, payments and refunds are added and never changed, its status goes
//!    along [`Status::may_become`], what was captured and what was credited does not change any more;
//! 2. a top-up that was paid is credited with what its money buys, in one grant of its wallet; one that was not is credited with nothing, unless
//!    its credits come before the money. One that is still owed its credits (a crash came between) may have the grant that was declared last;
//! 3. credits are taken back of such grants only, each claw-back goes on where the last one ended, and all together come to what the top-up says, and
//!    never to more than it was credited with;
//! 4. numbers of invoices and of refund notes leave no gap and are given once; an invoice is paid and noted with no more than its total, and each
//!    purchase has one that is valid;
//! 5. a rule has one top-up in flight at most, each automatic top-up was set off by its rule, and together with it those of the same day, week and month
//!    that had not failed by then keep within the rule's limits;
//! 6. a charge that names an intent to collect what the wallet leaves to pay has a top-up that collects it, unless the intent has not ended; what is
//!    entered on an invoice as paid by others than the wallet is no more than what was captured for it;
//! 7. what the engine has is what the newest records say.
//!
//! Where the log's beginning has been retired, records of what began before are taken as they come: of 1 and 5 what is behind the log's
//! first record is checked, of 2 and 3 the grants that were declared behind it, and claw-backs from the first that is there.

use super::Found;
use crate::billing::auto::Limit;
use crate::billing::invoice::{Invoice, Line, Payer, Subject};
use crate::billing::top_up::{Collection, Credit, Goods, Kind, Refund, RefundStatus, Status, TopUp};
use crate::billing::{Money, Per};
use crate::catalog::CurrencyNumber;
use crate::engine::Inner;
use crate::engine::snapshot::is_whole;
use crate::journal::billing::{BillingRecord, Declaration, RuleRecord, TopUpRecord};
use crate::journal::operation::OperationRecord;
use crate::ledger::{self, Amount, Movement, Operation};
use crate::store::pin;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

type WalletKey = (String, CurrencyNumber);

/// A contradiction: the record, the wallet and what is wrong.
pub(super) type MoneyFinding = (u64, Option<WalletKey>, Found);

/// What wallets' operations have to do with top-ups. Each auditor keeps that of its own wallets.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Grants that were declared for a payment and have not been made.
    declared: HashSet<u64>,
    /// Those that were made, with wallet and amount.
    made: BTreeMap<u64, (u32, Amount)>,
    /// Claw-backs, in the order of each wallet.
    taken: Vec<ClawBack>,
    /// Charges that left something to pay: the record, its copy that counts, and the intent that it names.
    short: Vec<(u64, u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct ClawBack {
    lsn: u64,
    grant: u64,
    amount: Amount,
    total: Amount,
}

impl Trail {
    pub(super) fn declare(&mut self, grant: u64) {
        self.declared.insert(grant);
    }

    /// Notes the grants that an operation makes. Copies of it change nothing.
    pub(super) fn note_grants(&mut self, record: &OperationRecord<'_>) {
        if !matches!(record.body.operation, Operation::Grant(_)) || record.body.rejected {
            return;
        }
        for movement in &record.body.movements {
            if let Movement::Granted { grant, amount } | Movement::Scheduled { grant, amount } = *movement
                && self.declared.remove(&grant.get())
            {
                self.made.insert(grant.get(), (record.slot, amount));
            }
        }
    }

    /// Notes what an operation takes back. Copies of it are to be left out.
    pub(super) fn note_claw_back(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        if let Operation::ClawBack { grant, amount, total, .. } = record.body.operation
            && !record.body.rejected
        {
            self.taken.push(ClawBack { lsn, grant: grant.get(), amount, total });
        }
    }

    /// Notes what an operation leaves to pay that is to be collected. Copies of it are to be left out.
    pub(super) fn note_charge(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        let rest = record.body.note.as_ref().and_then(|note| note.asked.rest);
        if let Some(rest) = rest.filter(|_| !record.body.rejected && record.body.taken.shortfall > Amount::ZERO) {
            self.short.push((lsn, record.counts, rest));
        }
    }

    pub(super) fn add(&mut self, other: Trail) {
        self.short.extend(other.short);
        self.made.extend(other.made);
        self.taken.extend(other.taken);
    }
}

/// What the records of money in said so far.
pub(super) struct MoneyBooks {
    is_whole: bool,
    first: u64,
    top_ups: BTreeMap<String, (u64, TopUpRecord)>,
    /// Automatic top-ups in the order in which they were set off.
    autos: BTreeMap<WalletKey, Vec<String>>,
    /// One whose rule has not said yet that it set it off.
    fired: Option<(u64, String)>,
    /// Which top-up a grant was declared for.
    declared: HashMap<u64, String>,
    rules: BTreeMap<WalletKey, RuleRecord>,
    invoices: BTreeMap<u64, (u64, Invoice)>,
    last_note: u64,
    findings: Vec<MoneyFinding>,
}

impl MoneyBooks {
    pub(super) fn new(inner: &Inner) -> Self {
        MoneyBooks {
            is_whole: is_whole(&inner.log),
            first: inner.log.first().get(),
            top_ups: BTreeMap::new(),
            autos: BTreeMap::new(),
            fired: None,
            declared: HashMap::new(),
            rules: BTreeMap::new(),
            invoices: BTreeMap::new(),
            last_note: 0,
            findings: Vec::new(),
        }
    }

    fn find(&mut self, lsn: u64, of: &WalletKey, what: Found) {
        self.findings.push((lsn, Some(of.clone()), what));
    }

    /// Enters a record, which stands at `lsn`.
    pub(super) fn enter(&mut self, lsn: u64, record: &BillingRecord) {
        match record {
            BillingRecord::TopUp(record) => self.top_up(lsn, record),
            BillingRecord::Invoice(record) => self.invoice(lsn, &record.invoice),
            BillingRecord::Rule(record) => self.rule(lsn, record),
            BillingRecord::Package(_)
            | BillingRecord::Recharge(_)
            | BillingRecord::Method(_)
            | BillingRecord::Limits(_)
            | BillingRecord::Rest(_)
            | BillingRecord::Reference(_)
            | BillingRecord::Form(_) => {}
        }
    }

    fn top_up(&mut self, lsn: u64, record: &TopUpRecord) {
        self.check_fired();
        let (top_up, declaration) = (&record.top_up, record.declaration.resolved(lsn));
        let of = wallet_of(top_up);
        if let Declaration::At(grant) = declaration {
            self.declared.insert(grant, top_up.id.clone());
        }
        let found = match self.top_ups.get(&top_up.id) {
            Some((_, before)) => follows(&before.top_up, top_up),
            None if is_fresh(top_up) => self.begins(lsn, top_up),
            None if self.is_whole => Err("a top-up's first record is not of its beginning"),
            None => Ok(()),
        };
        if let Err(what) = found.and_then(|()| is_sound(top_up)) {
            self.find(lsn, &of, what);
        }
        let record = TopUpRecord { top_up: top_up.clone(), declaration, news: Vec::new() };
        self.top_ups.insert(top_up.id.clone(), (lsn, record));
    }

    /// A top-up is made: an automatic one when no other of its rule is in flight.
    fn begins(&mut self, lsn: u64, top_up: &TopUp) -> Result<(), Found> {
        if top_up.kind != Kind::Auto {
            return Ok(());
        }
        self.fired = Some((lsn, top_up.id.clone()));
        let before = self.autos.entry(wallet_of(top_up)).or_default();
        let is_open = |id: &String| self.top_ups.get(id).is_some_and(|(_, known)| known.top_up.status().is_open());
        let is_alone = !before.iter().any(is_open);
        before.push(top_up.id.clone());
        if is_alone { Ok(()) } else { Err("an automatic top-up was set off while another one was in flight") }
    }

    fn check_fired(&mut self) {
        if let Some((lsn, id)) = self.fired.take() {
            let of = self.top_ups.get(&id).map(|(_, record)| wallet_of(&record.top_up));
            self.findings.push((lsn, of, "an automatic top-up that no rule has set off"));
        }
    }

    fn rule(&mut self, lsn: u64, record: &RuleRecord) {
        let of = (record.rule.customer.clone(), record.rule.currency);
        let in_flight = record.state.in_flight.as_ref();
        if let Some((_, id)) = self.fired.take_if(|(_, id)| in_flight.is_some_and(|known| known.top_up == *id))
            && let Some((_, fired)) = self.top_ups.get(&id)
            && !record.rule.limits.iter().all(|limit| self.keeps(limit, &of, &fired.top_up))
        {
            self.find(lsn, &of, "an automatic top-up exceeds a limit of its rule");
        }
        self.rules.insert(of, RuleRecord { news: Vec::new(), skip: None, ..record.clone() });
    }

    /// Whether the automatic top-ups of a limit's window that have not failed keep it, `newest` included. Amounts count from the last change of
    /// the money that the rule is paid in.
    fn keeps(&self, limit: &Limit, of: &WalletKey, newest: &TopUp) -> bool {
        let Some(newest_price) = newest.purchase.price else { return false };
        let (mut count, mut units, mut same_money) = (0_u64, 0_i128, true);
        for id in self.autos.get(of).into_iter().flatten().rev() {
            let Some((_, TopUpRecord { top_up, .. })) = self.top_ups.get(id) else { continue };
            let price = top_up.purchase.price.unwrap_or(Money::new(0, newest_price.code));
            same_money &= price.code == newest_price.code;
            let counts = top_up.status().is_paid() || top_up.status().is_open();
            if counts && is_within(limit.per, top_up, newest) {
                count += 1;
                units += if same_money { i128::from(price.units) } else { 0 };
            }
        }
        limit.count.is_none_or(|max| count <= max.into())
            && limit.amount.is_none_or(|max| max.code == newest_price.code && units <= max.units.into())
    }

    fn invoice(&mut self, lsn: u64, invoice: &Invoice) {
        let number = invoice.number.0;
        let last = self.invoices.last_key_value().map_or(0, |(number, _)| *number);
        let knows_last = self.is_whole || last > 0;
        let mut outcome = match self.invoices.get(&number) {
            Some((_, before)) => invoice_follows(before, invoice),
            None if number == last + 1 || !knows_last => Ok(()),
            // One that was issued before the log's first record.
            None if !self.is_whole && number <= last => Ok(()),
            None => Err("an invoice's number does not follow the one before it"),
        };
        let known = self.invoices.get(&number).map_or(0, |(_, before)| before.notes.len());
        for note in invoice.notes.get(known..).unwrap_or_default() {
            let is_next = note.number.0 == self.last_note + 1;
            if !is_next && self.is_whole {
                outcome = outcome.and(Err("a refund note's number does not follow the one before it"));
            }
            self.last_note = self.last_note.max(note.number.0);
        }
        if let Err(what) = outcome.and_then(|()| invoice_is_sound(invoice)) {
            self.findings.push((lsn, None, what));
        }
        self.invoices.insert(number, (lsn, invoice.clone()));
    }

    /// Top-ups and invoices that were looked at.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.top_ups.len() as u64, self.invoices.len() as u64)
    }

    /// Compares with what the engine has, and with what the wallets' operations did.
    pub(super) fn close(mut self, inner: &Inner, mut trail: Trail) -> Vec<MoneyFinding> {
        self.check_fired();
        trail.taken.sort_by_key(|taken| taken.lsn);
        let (mut top_ups, mut rules, mut invoices) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for record in inner.billing.records() {
            match record {
                BillingRecord::TopUp(record) => drop(top_ups.insert(record.top_up.id.clone(), *record)),
                BillingRecord::Rule(record) => {
                    drop(rules.insert((record.rule.customer.clone(), record.rule.currency), *record));
                }
                BillingRecord::Invoice(record) => drop(invoices.insert(record.invoice.number.0, record.invoice)),
                _ => {}
            }
        }
        self.compare(&top_ups, &rules, &invoices);
        self.check_invoices(&top_ups, &invoices);
        self.check_charges(inner, &top_ups, &invoices, &trail.short);
        self.check_in_flight(&top_ups, &rules);
        let mut made: BTreeMap<String, Vec<(u64, u32, Amount)>> = BTreeMap::new();
        for (grant, (slot, amount)) in &trail.made {
            // Others may have written the id of a top-up as the payment of a grant of theirs.
            if let Some(id) = self.declared.get(grant) {
                made.entry(id.clone()).or_default().push((*grant, *slot, *amount));
            }
        }
        let mut taken: HashMap<u64, Vec<ClawBack>> = HashMap::new();
        for one in trail.taken {
            taken.entry(one.grant).or_default().push(one);
        }
        for (id, record) in &top_ups {
            let lsn = self.top_ups.get(id).map_or(0, |(lsn, _)| *lsn);
            let made = made.remove(id).unwrap_or_default();
            if let Err(what) = self.check_credit(inner, record, &made) {
                self.find(lsn, &wallet_of(&record.top_up), what);
            }
            if let Credit::Granted { grant, .. } = record.top_up.credit {
                let taken = taken.remove(&grant.get()).unwrap_or_default();
                if let Err((at, what)) = self.check_taken(inner, &record.top_up, &taken) {
                    self.find(at.unwrap_or(lsn), &wallet_of(&record.top_up), what);
                }
            }
        }
        for (lsn, _, _) in made.into_values().flatten() {
            self.findings.push((lsn, None, "a grant was made for a top-up that there is not"));
        }
        for alone in taken.into_values().flatten() {
            self.findings.push((alone.lsn, None, "credits are taken back of a grant that is no top-up's"));
        }
        self.findings
    }

    /// That the engine has what the newest records say, and nothing else.
    fn compare(
        &mut self,
        top_ups: &BTreeMap<String, TopUpRecord>,
        rules: &BTreeMap<WalletKey, RuleRecord>,
        invoices: &BTreeMap<u64, Invoice>,
    ) {
        let mut differs = self.is_whole && self.top_ups.len() != top_ups.len();
        differs |= self.top_ups.iter().any(|(id, (_, record))| top_ups.get(id) != Some(record));
        differs |= self.is_whole && self.rules.len() != rules.len();
        differs |= self.rules.iter().any(|(key, record)| rules.get(key) != Some(record));
        differs |= self.is_whole && self.invoices.len() != invoices.len();
        differs |= self.invoices.iter().any(|(number, (_, invoice))| invoices.get(number) != Some(invoice));
        if differs {
            self.findings.push((0, None, "what the engine has of money in is not what its newest records say"));
        }
    }

    fn check_invoices(&mut self, top_ups: &BTreeMap<String, TopUpRecord>, invoices: &BTreeMap<u64, Invoice>) {
        let follow = |numbers: &mut dyn Iterator<Item = u64>| (1..).zip(numbers).all(|(place, number)| place == number);
        let notes: BTreeSet<u64> =
            invoices.values().flat_map(|invoice| invoice.notes.iter().map(|note| note.number.0)).collect();
        let count: usize = invoices.values().map(|invoice| invoice.notes.len()).sum();
        if !follow(&mut invoices.keys().copied()) {
            self.findings.push((0, None, "the numbers of the invoices leave a gap"));
        }
        if notes.len() != count || !follow(&mut notes.iter().copied()) {
            self.findings.push((0, None, "the numbers of the refund notes leave a gap, or one was given twice"));
        }
        let (mut valid, mut of_charges): (HashMap<&str, u32>, HashMap<u64, u32>) = Default::default();
        for invoice in invoices.values() {
            let id = match &invoice.subject {
                Subject::TopUp(id) => id,
                Subject::Charge { entry, .. } => {
                    *of_charges.entry(*entry).or_default() += u32::from(!invoice.is_void);
                    continue;
                }
            };
            *valid.entry(id).or_default() += u32::from(!invoice.is_void);
            let (lsn, known) =
                (self.invoices.get(&invoice.number.0).map_or(0, |(lsn, _)| *lsn), top_ups.get(id.as_str()));
            match known.map(|record| &record.top_up) {
                Some(top_up) if top_up.customer == invoice.customer && top_up.code() == invoice.total.code => {}
                _ => self.findings.push((lsn, None, "an invoice is not of the top-up that it names")),
            }
        }
        for (id, record) in top_ups {
            // What pays the rest of a charge pays it on the charge's invoice.
            let of_top_up = match record.top_up.kind {
                Kind::Charge { entry } => of_charges.get(&entry),
                _ => valid.get(id.as_str()),
            };
            let of_top_up = of_top_up.copied().unwrap_or(0);
            let is_right = if record.top_up.captured.is_some() { of_top_up == 1 } else { of_top_up <= 1 };
            if !is_right {
                let lsn = self.top_ups.get(id).map_or(0, |(lsn, _)| *lsn);
                self.find(lsn, &wallet_of(&record.top_up), "a purchase has no valid invoice, or more than one");
            }
        }
    }

    /// That the rests of charges are collected, and that invoices have as paid what came.
    fn check_charges(
        &mut self,
        inner: &Inner,
        top_ups: &BTreeMap<String, TopUpRecord>,
        invoices: &BTreeMap<u64, Invoice>,
        short: &[(u64, u64, u64)],
    ) {
        let mut captured: HashMap<Subject, i128> = HashMap::new();
        for TopUpRecord { top_up, .. } in top_ups.values() {
            let of = match top_up.kind {
                Kind::Charge { entry } => Subject::Charge { entry, invoice: None },
                _ => Subject::TopUp(top_up.id.clone()),
            };
            *captured.entry(of).or_default() += top_up.captured.map_or(0, |captured| captured.units.into());
        }
        for invoice in invoices.values() {
            let of = match &invoice.subject {
                Subject::Charge { entry, .. } => Subject::Charge { entry: *entry, invoice: None },
                of @ Subject::TopUp(_) => of.clone(),
            };
            let by_others = invoice.paid.iter().filter(|paid| !matches!(paid.by, Payer::Wallet(_)));
            let paid: i128 = by_others.map(|paid| i128::from(paid.money.units)).sum();
            if paid > captured.get(&of).copied().unwrap_or(0) {
                let lsn = self.invoices.get(&invoice.number.0).map_or(0, |(lsn, _)| *lsn);
                self.findings.push((lsn, None, "more is entered on an invoice than was captured for it"));
            }
        }
        let open = inner.billing.open_rests();
        for (lsn, counts, rest) in short {
            let is_of = |entry: u64| captured.contains_key(&Subject::Charge { entry, invoice: None });
            let is_collected = is_of(*lsn) || is_of(*counts);
            if !is_collected && !open.contains(rest) {
                self.findings.push((*lsn, None, "nothing collects what a charge left to pay"));
            }
        }
    }

    /// That rules and top-ups agree on what is in flight.
    fn check_in_flight(&mut self, top_ups: &BTreeMap<String, TopUpRecord>, rules: &BTreeMap<WalletKey, RuleRecord>) {
        let mut open: BTreeMap<WalletKey, Vec<&str>> = BTreeMap::new();
        for (id, TopUpRecord { top_up, .. }) in top_ups {
            if top_up.kind == Kind::Auto && top_up.status().is_open() {
                open.entry(wallet_of(top_up)).or_default().push(id);
            }
        }
        let mut wrong: Vec<WalletKey> = Vec::new();
        for (of, record) in rules {
            let in_flight: Vec<_> = record.state.in_flight.iter().map(|attempt| attempt.top_up.as_str()).collect();
            if open.remove(of).unwrap_or_default() != in_flight {
                wrong.push(of.clone());
            }
        }
        wrong.extend(open.into_keys());
        for of in wrong {
            self.find(0, &of, "a rule's top-up in flight is not the one that is open");
        }
    }

    /// That a top-up was credited with one grant, or with none.
    fn check_credit(&self, inner: &Inner, record: &TopUpRecord, made: &[(u64, u32, Amount)]) -> Result<(), Found> {
        let top_up = &record.top_up;
        let expected = match (top_up.credit, record.declaration) {
            (Credit::None | Credit::Refused(_), _) if !made.is_empty() => {
                return Err("credits were granted for a top-up that is owed none");
            }
            (Credit::None | Credit::Refused(_), _) => return Ok(()),
            (Credit::Granted { grant, .. }, _) if grant.get() < self.first && made.is_empty() => return Ok(()),
            (Credit::Granted { grant, .. }, _) => grant.get(),
            // Whether the one that was declared last was made before the crash is found out when the ledger is opened.
            (Credit::Due(_), _) if made.is_empty() => return Ok(()),
            (Credit::Due(_), Declaration::At(last)) => last,
            (Credit::Due(_), _) => return Err("credits were granted that were not declared"),
        };
        let slot = inner.find(inner.seed.wallet_hash(top_up.customer.as_bytes(), top_up.currency.0), &pin());
        match made {
            [] => Err("a top-up says that it was credited, and its grant was never made"),
            [(grant, of, amount)] if (*grant, Some(*of)) == (expected, slot) && *amount == top_up.credit.amount() => {
                Ok(())
            }
            [_] => Err("a top-up was credited in another wallet, with another grant or amount than it says"),
            _ => Err("a top-up was credited more than once"),
        }
    }

    /// That what was taken back of a top-up's grant comes to what it says.
    fn check_taken(&self, inner: &Inner, top_up: &TopUp, taken: &[ClawBack]) -> Result<(), (Option<u64>, Found)> {
        let mut total = self.is_whole.then_some(Amount::ZERO);
        for one in taken {
            let before = total.unwrap_or(one.total.checked_sub(one.amount).unwrap_or(Amount::ZERO));
            if one.amount <= Amount::ZERO || before.checked_add(one.amount) != Some(one.total) {
                return Err((Some(one.lsn), "a claw-back does not go on where the one before it ended"));
            }
            total = Some(one.total);
        }
        let total = total.unwrap_or(Amount::ZERO);
        if total > top_up.credit.amount() || total > top_up.to_claw_back {
            return Err((None, "more credits were taken back than went back in money"));
        }
        let is_noted = total == top_up.clawed_back || total == top_up.to_claw_back;
        if is_noted || !self.is_whole && taken.is_empty() || is_closed(inner, top_up) {
            return Ok(());
        }
        Err((None, "what was taken back of a top-up's credits is not what it says"))
    }
}

/// Of a closed wallet nothing is taken back: it has nothing left.
fn is_closed(inner: &Inner, top_up: &TopUp) -> bool {
    let guard = pin();
    let slot = inner.find(inner.seed.wallet_hash(top_up.customer.as_bytes(), top_up.currency.0), &guard);
    let reading = slot.and_then(|slot| inner.read_at(slot, inner.now(), &guard));
    reading.is_some_and(|(terms, _)| terms.status == ledger::Status::Closed)
}

fn wallet_of(top_up: &TopUp) -> WalletKey {
    (top_up.customer.clone(), top_up.currency)
}

fn is_within(per: Per, one: &TopUp, other: &TopUp) -> bool {
    per.start(one.created_at) == per.start(other.created_at)
}

/// As a top-up is when it is made.
fn is_fresh(top_up: &TopUp) -> bool {
    top_up.status() == Status::Created
        && top_up.created_at == top_up.updated_at
        && top_up.payments.is_empty()
        && top_up.declines == 0
        && !top_up.in_doubt
}

/// Whether a status can come to another one.
fn leads(from: Status, to: Status) -> bool {
    let mut reached = BTreeSet::from([from.as_str()]);
    loop {
        let known = reached.len();
        for next in Status::ALL {
            let is_next = |status: Status| reached.contains(status.as_str()) && status.may_become(next);
            if Status::ALL.into_iter().any(is_next) {
                reached.insert(next.as_str());
            }
        }
        if reached.len() == known {
            return reached.contains(to.as_str());
        }
    }
}

/// Whether a top-up's record may follow another one.
fn follows(before: &TopUp, top_up: &TopUp) -> Result<(), Found> {
    let identity = |top_up: &TopUp| (top_up.kind, top_up.collection, top_up.created_at, top_up.currency);
    if identity(before) != identity(top_up)
        || (&before.customer, &before.provider, &before.key) != (&top_up.customer, &top_up.provider, &top_up.key)
        || before.purchase != top_up.purchase
    {
        return Err("a top-up has become another one");
    }
    if !leads(before.status(), top_up.status()) {
        return Err("a top-up's status has gone where it cannot");
    }
    if !top_up.payments.starts_with(&before.payments) {
        return Err("a payment of a top-up has changed, or is gone");
    }
    let keeps = |(one, other): (&Refund, &Refund)| {
        let is_final = one.status == RefundStatus::Succeeded && other.status != RefundStatus::Succeeded;
        (&one.key, one.money) == (&other.key, other.money) && !is_final
    };
    let is_longer = top_up.refunds.len() >= before.refunds.len();
    if !is_longer || !before.refunds.iter().zip(&top_up.refunds).all(keeps) {
        return Err("a refund of a top-up has changed, or is gone");
    }
    if before.captured.is_some() && before.captured != top_up.captured {
        return Err("what was captured of a top-up has changed");
    }
    let credit_follows = match (before.credit, top_up.credit) {
        (Credit::None, _) => true,
        (Credit::Due(one), Credit::Due(other) | Credit::Granted { amount: other, .. } | Credit::Refused(other))
        | (Credit::Refused(one), Credit::Refused(other) | Credit::Granted { amount: other, .. }) => one == other,
        (one @ Credit::Granted { .. }, other) => one == other,
        (Credit::Due(_) | Credit::Refused(_), _) => false,
    };
    if !credit_follows {
        return Err("what a top-up was credited with has changed");
    }
    if before.to_claw_back > top_up.to_claw_back || before.clawed_back > top_up.clawed_back {
        return Err("what was taken back of a top-up's credits has become less");
    }
    Ok(())
}

/// Whether a top-up makes sense by itself.
fn is_sound(top_up: &TopUp) -> Result<(), Found> {
    let received: i128 = top_up.payments.iter().map(|payment| i128::from(payment.money.units)).sum();
    let keys: BTreeSet<_> = top_up.payments.iter().map(|payment| &payment.key).collect();
    if keys.len() != top_up.payments.len() {
        return Err("a payment stands twice in a top-up");
    }
    if top_up.captured.is_some_and(|captured| captured.units <= 0 || i128::from(captured.units) > received) {
        return Err("more was captured of a top-up than was paid");
    }
    let owed = match top_up.captured {
        Some(captured) => credits_of(top_up, captured),
        None => None,
    };
    let in_advance = || top_up.purchase.price.and_then(|price| credits_of(top_up, price));
    let is_owed = match top_up.credit {
        Credit::None => owed.is_none_or(|owed| owed <= 0),
        credit if top_up.credits_at_once => Some(credit.amount().units().into()) == in_advance(),
        credit => Some(credit.amount().units().into()) == owed,
    };
    if !is_owed {
        return Err("a top-up is not credited with what its money buys");
    }
    if top_up.clawed_back > top_up.to_claw_back || top_up.to_claw_back > top_up.credit.amount() {
        return Err("more credits are taken back of a top-up than it was credited with");
    }
    // Where nobody but us pays back, no more than there was can be asked for.
    let asked: i128 = top_up
        .refunds
        .iter()
        .filter(|refund| refund.status != RefundStatus::Failed)
        .map(|refund| i128::from(refund.money.units))
        .sum();
    let is_ours = matches!(top_up.collection, Collection::Invoice | Collection::Outside);
    if is_ours && asked > top_up.captured.map_or(0, |captured| captured.units.into()) {
        return Err("more is paid back of a top-up than was captured");
    }
    Ok(())
}

/// The credits that so much money buys; rounded down, and no more than the whole.
fn credits_of(top_up: &TopUp, money: Money) -> Option<i128> {
    match (top_up.purchase.goods, top_up.purchase.price) {
        (Goods::Worth(worth), _) => worth.credits(money).map(|credits| credits.units().into()),
        (Goods::Fixed(credits), Some(price)) if money.units < price.units => {
            Some(i128::from(credits.units()) * i128::from(money.units) / i128::from(price.units))
        }
        (Goods::Fixed(credits), _) => Some(credits.units().into()),
    }
}

fn invoice_follows(before: &Invoice, invoice: &Invoice) -> Result<(), Found> {
    let is_same = (&before.customer, &before.subject, &before.lines)
        == (&invoice.customer, &invoice.subject, &invoice.lines)
        && (before.total, before.issued_at) == (invoice.total, invoice.issued_at);
    if !is_same || !invoice.paid.starts_with(&before.paid) || !invoice.notes.starts_with(&before.notes) {
        return Err("an invoice was changed after it had been issued");
    }
    if before.is_void && !invoice.is_void {
        return Err("an invoice that was void is valid again");
    }
    Ok(())
}

fn invoice_is_sound(invoice: &Invoice) -> Result<(), Found> {
    let sum = |parts: &mut dyn Iterator<Item = Money>| parts.map(|money| i128::from(money.units)).sum::<i128>();
    let total = i128::from(invoice.total.units);
    let lines = sum(&mut invoice.lines.iter().filter_map(Line::amount));
    let paid = sum(&mut invoice.paid.iter().map(|paid| paid.money));
    let noted = sum(&mut invoice.notes.iter().map(|note| note.money));
    if lines != total || total <= 0 {
        return Err("an invoice's lines do not come to its total");
    }
    if paid > total || noted > paid || invoice.is_void && paid > 0 {
        return Err("more was paid or paid back of an invoice than it is for");
    }
    if invoice.paid_at.is_some() != (paid == total) {
        return Err("an invoice is paid and says otherwise, or the other way round");
    }
    Ok(())
}
