//! The tables: what the newest record of each object says, and where it is found by.

use super::lookups::Lookups;
use super::view::Work;
use crate::billing::auto::Rule;
use crate::billing::deposit::DepositForm;
use crate::billing::invoice::{Invoice, Number, Numbers, Subject};
use crate::billing::portal::PortalLimits;
use crate::billing::recharge::RechargeConfig;
use crate::billing::top_up::{Collection, Credit, Effect, Kind, TopUp};
use crate::billing::{CreditPackage, PaymentMethod};
use crate::catalog::CurrencyNumber;
use crate::journal::billing::{
    BillingRecord, Declaration, InvoiceRecord, LimitsRecord, ReferenceRecord, RestRecord, RuleRecord, TopUpRecord,
};
use crate::ledger::{Amount, Timestamp};
use drawdown_wal::Lsn;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// A top-up, and where its grant was declared last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) top_up: TopUp,
    pub(super) declaration: Declaration,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) packages: BTreeMap<String, Arc<CreditPackage>>,
    pub(super) recharge: BTreeMap<CurrencyNumber, RechargeConfig>,
    pub(super) limits: BTreeMap<CurrencyNumber, PortalLimits>,
    pub(super) forms: BTreeMap<String, Arc<DepositForm>>,
    pub(super) methods: BTreeMap<String, Arc<PaymentMethod>>,
    /// Ids of a customer's methods.
    methods_of: HashMap<String, BTreeSet<String>>,
    /// By id, which rises with their making.
    pub(super) top_ups: BTreeMap<String, Arc<Kept>>,
    /// Ids of a customer's top-ups.
    top_ups_of: HashMap<String, BTreeSet<String>>,
    /// By the caller's key.
    pub(super) by_key: HashMap<String, String>,
    /// Those that are waited for, by the end of that.
    pub(super) waiting: BTreeSet<(Timestamp, String)>,
    /// Those of which something is still to be done on the ledger.
    pub(super) undone: BTreeSet<String>,
    /// Those whose credits are frozen, because their payments are disputed.
    pub(super) disputed: BTreeSet<String>,
    /// The last of those at which it was looked whether something came back. Not logged.
    looked_at: Option<String>,
    pub(super) rules: BTreeMap<(String, CurrencyNumber), Arc<RuleRecord>>,
    pub(super) invoices: BTreeMap<Number, Arc<Invoice>>,
    /// By the top-up that they are for, or that pays them.
    pub(super) invoice_of: HashMap<String, Number>,
    /// Numbers of a customer's invoices.
    invoices_of: HashMap<String, BTreeSet<Number>>,
    pub(super) numbers: Numbers,
    /// Providers that somebody speaks with. Not of the log: each start says so anew.
    pub(super) connected: BTreeSet<String>,
    /// What providers have to do, each with the position up to which the log must be durable before it is done.
    pub(super) outbox: VecDeque<(Lsn, Work)>,
    /// What providers call things of ours: by provider and ours.
    pub(super) references: BTreeMap<(String, String), String>,
    /// The same the other way round.
    pub(super) referred: HashMap<(String, String), String>,
    /// Top-ups that a provider collects, by the provider's references of their payments.
    pub(super) by_payment: HashMap<String, String>,
    /// When rules are to be looked at again though nothing happens to their wallets. Not logged: a start looks at all of them.
    pub(super) look_again: BTreeSet<(Timestamp, String, CurrencyNumber)>,
    /// Top-ups that pay the rest of a charge, or were to, by the charge's entry.
    pub(super) by_charge: HashMap<u64, BTreeSet<String>>,
    /// Invoices of charges, by the charges' entries.
    pub(super) invoice_of_charge: HashMap<u64, Number>,
    /// Rests of charges that are to be collected and have not been seen to, by number.
    pub(super) rests: BTreeMap<u64, RestRecord>,
    /// The provider that is taken where nobody says which. Not of the log, like those that are connected.
    pub(super) usual: Option<String>,
    /// Credits that are on their way, by wallet and top-up.
    on_the_way: HashMap<(String, CurrencyNumber), BTreeMap<String, Amount>>,
    /// When providers are asked again. Not logged.
    pub(super) lookups: Lookups,
    /// Rules that were set, changed or taken away since the follower looked. Not logged: a start finds all of them here.
    pub(super) rules_news: BTreeSet<(String, CurrencyNumber)>,
}

impl Tables {
    /// Enters what a record says.
    pub(super) fn enter(&mut self, record: BillingRecord) {
        match record {
            BillingRecord::Package(package) => {
                self.packages.insert(package.id.clone(), Arc::new(package));
            }
            BillingRecord::Recharge(config) => {
                self.recharge.insert(config.currency, config);
            }
            BillingRecord::Limits(LimitsRecord { currency, limits }) => {
                self.limits.insert(currency, limits);
            }
            BillingRecord::Method(method) => {
                self.methods_of.entry(method.customer.clone()).or_default().insert(method.id.clone());
                self.methods.insert(method.id.clone(), Arc::new(method));
            }
            BillingRecord::TopUp(record) => self.enter_top_up(*record),
            BillingRecord::Rule(record) => {
                let key = (record.rule.customer.clone(), record.rule.currency);
                let record = Arc::new(RuleRecord { news: Vec::new(), skip: None, ..*record });
                let old = self.rules.insert(key.clone(), Arc::clone(&record));
                // What has become of it is no news: its top-ups come and go all the time.
                if old.is_none_or(|old| old.deleted != record.deleted || old.rule != record.rule) {
                    self.rules_news.insert(key);
                }
            }
            BillingRecord::Invoice(record) => self.enter_invoice(record.invoice),
            BillingRecord::Form(form) => {
                self.forms.insert(form.id.clone(), Arc::new(form));
            }
            BillingRecord::Reference(ReferenceRecord { provider, of, reference }) => {
                self.referred.insert((provider.clone(), reference.clone()), of.clone());
                self.references.insert((provider, of), reference);
            }
            BillingRecord::Rest(record) if record.is_over => drop(self.rests.remove(&record.number)),
            BillingRecord::Rest(record) => drop(self.rests.insert(record.number, record)),
        }
    }

    fn enter_top_up(&mut self, TopUpRecord { top_up, declaration, news: _ }: TopUpRecord) {
        let id = top_up.id.clone();
        if let Some(old) = self.top_ups.get(&id).and_then(|old| old.top_up.expires_at) {
            self.waiting.remove(&(old, id.clone()));
        }
        if let Some(expires_at) = top_up.expires_at.filter(|_| top_up.may_expire()) {
            self.waiting.insert((expires_at, id.clone()));
        }
        if is_undone(&top_up) {
            self.undone.insert(id.clone());
        } else {
            self.undone.remove(&id);
        }
        self.lookups.note(&top_up);
        self.note_on_the_way(&top_up);
        if top_up.to_freeze && top_up.frozen {
            self.disputed.insert(id.clone());
        } else {
            self.disputed.remove(&id);
        }
        if matches!(top_up.collection, Collection::Charge | Collection::Checkout) {
            for payment in &top_up.payments {
                self.by_payment.entry(payment.key.clone()).or_insert_with(|| id.clone());
            }
        }
        if let Kind::Charge { entry } = top_up.kind {
            self.by_charge.entry(entry).or_default().insert(id.clone());
            if let Some(number) = self.invoice_of_charge.get(&entry) {
                self.invoice_of.insert(id.clone(), *number);
            }
        }
        if let Some(key) = &top_up.key {
            self.by_key.insert(key.clone(), id.clone());
        }
        self.top_ups_of.entry(top_up.customer.clone()).or_default().insert(id.clone());
        self.top_ups.insert(id, Arc::new(Kept { top_up, declaration }));
    }

    fn note_on_the_way(&mut self, top_up: &TopUp) {
        let (wallet, credits) = ((top_up.customer.clone(), top_up.currency), top_up.in_flight());
        if credits > Amount::ZERO {
            self.on_the_way.entry(wallet).or_default().insert(top_up.id.clone(), credits);
        } else if let Some(others) = self.on_the_way.get_mut(&wallet) {
            others.remove(&top_up.id);
            if others.is_empty() {
                self.on_the_way.remove(&wallet);
            }
        }
    }

    /// Has rules looked at again.
    pub(super) fn look_again_at(&mut self, at: Timestamp, concerns: impl Fn(&Rule) -> bool) {
        let concerned = self.rules.iter().filter(|(_, record)| !record.deleted && concerns(&record.rule));
        self.look_again.extend(concerned.map(|((customer, currency), _)| (at, customer.clone(), *currency)));
    }

    /// Credits that are on their way to a wallet.
    pub(super) fn on_the_way(&self, customer: &str, currency: CurrencyNumber) -> Amount {
        if self.on_the_way.is_empty() {
            return Amount::ZERO;
        }
        let credits = self.on_the_way.get(&(customer.to_owned(), currency)).into_iter().flat_map(BTreeMap::values);
        credits.fold(Amount::ZERO, |sum, credits| sum.checked_add(*credits).unwrap_or(Amount::MAX))
    }

    /// The next ones of those whose credits are frozen, at most `count`; all of them, one round after another.
    pub(super) fn next_disputed(&mut self, count: usize) -> Vec<String> {
        let start = self.looked_at.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<_> = self.disputed.range::<str, _>((start, Bound::Unbounded)).take(count).cloned().collect();
        self.looked_at = next.last().filter(|_| next.len() == count).cloned();
        next
    }

    /// How many top-ups those credits are of.
    pub(super) fn count_on_the_way(&self, customer: &str, currency: CurrencyNumber) -> usize {
        self.on_the_way.get(&(customer.to_owned(), currency)).map_or(0, BTreeMap::len)
    }

    /// How many purchases were begun by hand for a customer since a time, in ms, and not paid.
    pub(super) fn unpaid_since(&self, customer: &str, since_ms: u64) -> usize {
        let since = self.top_ups_of(customer).rev().map(|kept| &kept.top_up);
        let since = since.take_while(|top_up| top_up.created_at.millis() > since_ms);
        since.filter(|top_up| top_up.kind == Kind::Manual && !top_up.status().is_paid()).count()
    }

    fn enter_invoice(&mut self, invoice: Invoice) {
        let number = invoice.number;
        self.numbers.invoices = self.numbers.invoices.max(number.0);
        let notes = invoice.notes.iter().map(|note| note.number.0).max().unwrap_or(0);
        self.numbers.notes = self.numbers.notes.max(notes);
        match &invoice.subject {
            // A void one is followed by another if it is paid after all.
            Subject::TopUp(id) => drop(self.invoice_of.insert(id.clone(), number)),
            // What pays its rest, however often that is tried, pays it on the charge's invoice.
            Subject::Charge { entry, .. } => {
                self.invoice_of_charge.insert(*entry, number);
                for id in self.by_charge.get(entry).into_iter().flatten() {
                    self.invoice_of.insert(id.clone(), number);
                }
            }
        }
        self.invoices_of.entry(invoice.customer.clone()).or_default().insert(number);
        self.invoices.insert(number, Arc::new(invoice));
    }

    /// Whether amounts of a currency stand in any of it.
    pub(super) fn use_currency(&self, currency: CurrencyNumber) -> bool {
        self.packages.values().any(|package| package.currency == currency)
            || self.limits.get(&currency).is_some_and(|limits| limits.max_balance.is_some())
            || self.rules.keys().any(|(_, of)| *of == currency)
            || self.top_ups.values().any(|kept| kept.top_up.currency == currency)
    }

    /// All that there is, as records, by their keys.
    pub(super) fn records(&self) -> Vec<BillingRecord> {
        let packages = self.packages.values().map(|package| BillingRecord::Package((**package).clone()));
        let recharge = self.recharge.values().map(|config| BillingRecord::Recharge(config.clone()));
        let limits = self
            .limits
            .iter()
            .map(|(currency, limits)| BillingRecord::Limits(LimitsRecord { currency: *currency, limits: *limits }));
        let methods = self.methods.values().map(|method| BillingRecord::Method((**method).clone()));
        let top_ups = self.top_ups.values().map(|kept| {
            let Kept { top_up, declaration } = (**kept).clone();
            BillingRecord::TopUp(Box::new(TopUpRecord { top_up, declaration, news: Vec::new() }))
        });
        let rules = self.rules.values().map(|rule| BillingRecord::Rule(Box::new((**rule).clone())));
        let invoices = self.invoices.values().map(|invoice| {
            BillingRecord::Invoice(Box::new(InvoiceRecord { invoice: (**invoice).clone(), paid_now: false }))
        });
        let references = self.references.iter().map(|((provider, of), reference)| {
            let (provider, of, reference) = (provider.clone(), of.clone(), reference.clone());
            BillingRecord::Reference(ReferenceRecord { provider, of, reference })
        });
        let forms = self.forms.values().map(|form| BillingRecord::Form((**form).clone()));
        let sold = packages.chain(recharge).chain(limits).chain(methods);
        let rests = self.rests.values().map(|rest| BillingRecord::Rest(rest.clone()));
        sold.chain(top_ups).chain(rules).chain(invoices).chain(references).chain(rests).chain(forms).collect()
    }

    /// A customer's payment methods, by id.
    pub(super) fn methods_of<'a>(&'a self, customer: &str) -> impl Iterator<Item = &'a Arc<PaymentMethod>> + use<'a> {
        let ids = self.methods_of.get(customer).into_iter().flatten();
        ids.filter_map(|id| self.methods.get(id))
    }

    /// A customer's top-ups, oldest first.
    pub(super) fn top_ups_of<'a>(&'a self, customer: &str) -> impl DoubleEndedIterator<Item = &'a Arc<Kept>> + use<'a> {
        let ids = self.top_ups_of.get(customer).into_iter().flatten();
        ids.filter_map(|id| self.top_ups.get(id))
    }

    /// A customer's invoices below a number, the newest first.
    pub(super) fn invoices_of<'a>(
        &'a self,
        customer: &str,
        before: Option<Number>,
    ) -> impl Iterator<Item = &'a Arc<Invoice>> + use<'a> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let numbers = self.invoices_of.get(customer).into_iter();
        let numbers = numbers.flat_map(move |numbers| numbers.range((Bound::Unbounded, end)).rev());
        numbers.filter_map(|number| self.invoices.get(number))
    }

    /// How many of a package a customer has bought or is buying.
    pub(super) fn bought(&self, customer: &str, package: &str) -> u64 {
        self.top_ups_of(customer)
            .map(|kept| &kept.top_up)
            .filter(|top_up| top_up.purchase.package.as_deref() == Some(package))
            .filter(|top_up| top_up.status().is_paid() || top_up.status().is_open())
            .map(|top_up| u64::from(top_up.purchase.quantity))
            .sum()
    }
}

/// Whether something of it is still to be done on the ledger.
fn is_undone(top_up: &TopUp) -> bool {
    let has_grant = matches!(top_up.credit, Credit::Due(_) | Credit::Granted { .. });
    top_up.resume().iter().any(|effect| match effect {
        Effect::Credit(_) | Effect::Release => true,
        Effect::ClawBack { .. } | Effect::Freeze => has_grant,
        _ => false,
    })
}
