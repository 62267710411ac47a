//! Steps recorded and carried out.

use super::tables::{Kept, Tables};
use super::view::{Shortfall, Work};
use crate::billing::Money;
use crate::billing::invoice::{Invoice, InvoiceError, InvoiceStatus, Line, Note, Numbers, Paid, Payer, Subject};
use crate::billing::top_up::{Credit, CreditOrder, Effect, Event, Kind, Step, TopUp};
use crate::catalog::CostBasis;
use crate::engine::Inner;
use crate::engine::history::unreadable;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::wallet::WalletOperation;
use crate::journal::Record;
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::journal::billing::{BillingRecord, Declaration, InvoiceRecord, RestRecord, RuleRecord, TopUpRecord};
use crate::journal::done::DoneRecord;
use crate::journal::note::{self, NoteKind};
use crate::ledger::{Amount, Category, GrantId, NewGrant, Operation, Special, Timestamp};
use crate::store::{Guard, pin};

/// What is to be done on the ledger about a step that is recorded.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing to be done or not; no two make a state")]
struct ToDo {
    /// The grant that was declared with it.
    grant: Option<GrantRecord>,
    /// The wallet takes none.
    is_refused: bool,
    claws_back: bool,
    /// Credits were to be taken back before, too, and it is not noted whether they were.
    owes_from_before: bool,
    freezes: bool,
}

/// What is recorded with a step beside what follows from it.
#[derive(Default)]
pub(super) struct Beside {
    /// What has become of the rule that set it off.
    pub(super) rule: Option<RuleRecord>,
    /// The invoice that it is to pay.
    pub(super) invoice: Option<Invoice>,
    /// The intent that it carries out.
    pub(super) rest: Option<RestRecord>,
    /// Which request asked for it.
    pub(super) done: Option<DoneRecord>,
}

/// What becomes of a top-up's invoices in a step.
struct Papers {
    /// The one that stands, and whether it had been paid before.
    invoice: Option<(Invoice, bool)>,
    /// Those that it has taken the place of.
    replaced: Vec<Invoice>,
    numbers: Numbers,
}

impl Inner {
    /// Records a step, and does on the ledger what follows from it. What providers have to do goes to the outbox.
    ///
    /// An error says that nothing was recorded. What the ledger has no room for just now is done later.
    pub(super) fn take_step(
        &self,
        tables: &mut Tables,
        before: Option<&Kept>,
        step: &Step,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.take_step_with(tables, before, step, Beside::default(), now)
    }

    /// As [`Inner::take_step`], and records in the same frame what belongs to it.
    pub(super) fn take_step_with(
        &self,
        tables: &mut Tables,
        before: Option<&Kept>,
        step: &Step,
        beside: Beside,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if let Some(oddity) = step.oddity {
            tracing::warn!(top_up = step.top_up.id, ?oddity, "a top-up needs a person's look");
        }
        if before.is_some_and(|before| before.top_up == step.top_up) {
            if beside.done.is_some() {
                self.append_done(&[], beside.done)?;
            }
            self.hand_on(tables, step);
            return Ok(());
        }
        let owes_from_before = before.is_some_and(|Kept { top_up, .. }| top_up.to_claw_back > top_up.clawed_back);
        let mut todo = ToDo { owes_from_before, ..ToDo::default() };
        let mut records = Vec::new();
        let mut declaration = before.map_or(Declaration::None, |before| before.declaration);
        let mut news = Vec::new();
        let invoice = tables.invoice_for(&step.top_up.id).or(beside.invoice.map(|invoice| (invoice, false)));
        let mut papers = Papers { invoice, replaced: Vec::new(), numbers: tables.numbers };
        for effect in &step.effects {
            match effect {
                Effect::Credit(order) => match self.declare(&step.top_up, order, now) {
                    Ok(grant) => {
                        let record = AdminRecord::Grant(grant.clone());
                        declaration = Declaration::Before(record.encode().len() as u32);
                        // Right before the top-up's own record.
                        records.insert(0, record);
                        todo.grant = Some(grant);
                    }
                    Err(CommandError::Rejected(rejection)) => {
                        tracing::error!(
                            top_up = step.top_up.id,
                            ?rejection,
                            "the wallet takes no credits for money that has come"
                        );
                        todo.is_refused = true;
                    }
                    // Whoever reports the payment does so again.
                    Err(error) => return Err(error),
                },
                Effect::Tell(told) => news.push(*told),
                Effect::ClawBack { .. } => todo.claws_back = true,
                Effect::IssueInvoice { .. } | Effect::InvoicePaid | Effect::VoidInvoice | Effect::RefundNote { .. } => {
                    tables.invoice_effect(&mut papers, &step.top_up, effect, now);
                }
                Effect::Freeze | Effect::Release => todo.freezes = true,
                Effect::Provider(_) => {}
            }
        }
        let top_up = Box::new(TopUpRecord { top_up: step.top_up.clone(), declaration, news });
        records.push(AdminRecord::Billing(BillingRecord::TopUp(top_up)));
        for invoice in papers.replaced {
            records.push(AdminRecord::Billing(BillingRecord::Invoice(Box::new(InvoiceRecord {
                invoice,
                paid_now: false,
            }))));
        }
        if let Some((invoice, was_paid)) = papers.invoice.filter(|(invoice, _)| tables.is_news(invoice)) {
            let paid_now = !was_paid && invoice.status() == InvoiceStatus::Paid;
            records.push(AdminRecord::Billing(BillingRecord::Invoice(Box::new(InvoiceRecord { invoice, paid_now }))));
        }
        let rule = beside.rule.or_else(|| tables.rule_after(before.map(|before| &before.top_up), step, now));
        records.extend(rule.map(|rule| AdminRecord::Billing(BillingRecord::Rule(Box::new(rule)))));
        records.extend(beside.rest.map(|rest| AdminRecord::Billing(BillingRecord::Rest(rest))));
        let first = self.append_done(&records, beside.done)?.get();
        for record in records {
            if let AdminRecord::Billing(mut record) = record {
                if let BillingRecord::TopUp(top_up) = &mut record
                    && todo.grant.is_some()
                {
                    top_up.declaration = Declaration::At(first);
                }
                tables.enter(record.without_news());
            }
        }
        self.hand_on(tables, step);
        // The step stands. What fails from here on is taken up again later.
        if let Err(error) = self.follow_up(tables, &step.top_up.id, todo, first, now) {
            tracing::warn!(top_up = step.top_up.id, %error, "a top-up is recorded and not settled yet");
        }
        Ok(())
    }

    /// Puts what providers have to do about a step into the outbox, behind the step's record.
    fn hand_on(&self, tables: &mut Tables, step: &Step) {
        let behind = self.log.tail();
        tables.outbox.extend(work_of(step).map(|work| (behind, work)));
    }

    /// Does on the ledger what was decided.
    fn follow_up(
        &self,
        tables: &mut Tables,
        id: &str,
        todo: ToDo,
        first: u64,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if todo.is_refused {
            self.tell(tables, id, &Event::CreditRefused, now)?;
        }
        if let Some(grant) = todo.grant {
            self.make_declared(tables, id, &grant, first, now)?;
        }
        if todo.claws_back {
            self.claw_back(tables, id, todo.owes_from_before, now)?;
        }
        if todo.freezes { self.freeze_or_release(tables, id, now) } else { Ok(()) }
    }

    /// Makes what an earlier run, or an earlier try, left undone of a top-up.
    pub(super) fn settle(&self, tables: &mut Tables, id: &str) -> Result<(), CommandError> {
        let now = self.now();
        self.credit(tables, id, now)?;
        self.claw_back(tables, id, true, now)?;
        self.freeze_or_release(tables, id, now)
    }

    /// Credits a top-up that is owed credits, unless the grant that was declared for it took effect: then only that is noted.
    ///
    /// Whether it did is told by the wallet: it has the grant, or one of its operations since the declaration ended it. Nobody else makes a
    /// declared grant, and this thread has the lock, so the answer stays true while it acts on it.
    fn credit(&self, tables: &mut Tables, id: &str, now: Timestamp) -> Result<(), CommandError> {
        let kept = tables.top_ups[id].clone();
        let Credit::Due(amount) = kept.top_up.credit else { return Ok(()) };
        if let Declaration::At(lsn) = kept.declaration {
            if self.is_retired(lsn) {
                // It cannot be told, and credits twice are worse than late ones.
                return Err(self.retired());
            }
            let took_effect = self.took_effect(lsn, now)?;
            #[cfg(drawdown_planted)]
            let took_effect =
                took_effect && !drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::CreditsAgainAfterCrash);
            if took_effect {
                return self.tell(tables, id, &Event::Credited { grant: GrantId::new(lsn) }, now);
            }
        }
        let Some(Effect::Credit(order)) = kept
            .top_up
            .resume()
            .into_iter()
            .find(|effect| matches!(effect, Effect::Credit(order) if order.amount == amount))
        else {
            return Ok(());
        };
        let grant = match self.declare(&kept.top_up, &order, now) {
            Ok(grant) => grant,
            Err(CommandError::Rejected(_)) => return self.tell(tables, id, &Event::CreditRefused, now),
            Err(error) => return Err(error),
        };
        let record = AdminRecord::Grant(grant.clone());
        let declaration = Declaration::Before(record.encode().len() as u32);
        let (top_up, news) = (kept.top_up.clone(), Vec::new());
        let mut top_up = Box::new(TopUpRecord { top_up, declaration, news });
        let again = AdminRecord::Billing(BillingRecord::TopUp(top_up.clone()));
        let first = self.append_admins(&[record, again])?.get();
        top_up.declaration = Declaration::At(first);
        tables.enter(BillingRecord::TopUp(top_up));
        self.make_declared(tables, id, &grant, first, now)
    }

    /// Applies an event of the ledger's own to a top-up.
    pub(super) fn tell(
        &self,
        tables: &mut Tables,
        id: &str,
        event: &Event,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let kept = tables.top_ups[id].clone();
        let step = kept.top_up.apply(event, now).expect("what the ledger reports is not refused");
        self.take_step(tables, Some(&kept), &step, now)
    }

    /// What is to be declared of a top-up's grant. A refusal says that the wallet does not take it.
    fn declare(&self, top_up: &TopUp, order: &CreditOrder, now: Timestamp) -> Result<GrantRecord, CommandError> {
        let currency = self.currency_numbered(top_up.currency)?;
        let guard = pin();
        let mut record = GrantRecord {
            slot: 0,
            amount: order.amount,
            source: order.source,
            category: Category::Paid,
            priority: order.priority,
            effective_at: now,
            effective_at_given: false,
            expires_at: order.valid_for_ms.map(|ms| now.saturating_add(ms)),
            cost_basis: order.cost.and_then(cost_basis),
            key: None,
            metadata: top_up.metadata.clone(),
            created_at: now,
            declared: Declared { payment: Some(top_up.id.clone()), ..Declared::default() },
        };
        // Higher than any number given out so far, for the trial.
        self.try_grant(&top_up.customer, &currency, new_grant(GrantId::new(u64::MAX >> 1), &record), now, &guard)?;
        record.slot = self.find_or_make_wallet(&top_up.customer, &currency, &guard).map_err(|error| match error {
            // This one cannot change: it has the top-up. Another may be about to, and whoever changes it waits for the lock that is held here.
            CommandError::FieldConflict { slug: "currency_changed", .. } => Unavailable::Overloaded.into(),
            error => error,
        })?;
        Ok(record)
    }

    /// Makes the grant that was declared at `declared`, and notes it.
    fn make_declared(
        &self,
        tables: &mut Tables,
        id: &str,
        record: &GrantRecord,
        declared: u64,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let grant = GrantId::new(declared);
        let operation = WalletOperation::new(Operation::Grant(new_grant(grant, record)), now);
        let event = match self.operate(record.slot, operation, &pin()) {
            Ok(()) => {
                self.counters.grant();
                Event::Credited { grant }
            }
            Err(CommandError::Rejected(rejection)) => {
                tracing::error!(top_up = id, ?rejection, "the wallet takes no credits for money that has come");
                Event::CreditRefused
            }
            Err(error) => return Err(error),
        };
        self.tell(tables, id, &event, now)
    }

    /// Takes back what is to be taken back of a top-up's credits. `is_again` looks first how much of it was taken and not noted.
    fn claw_back(&self, tables: &mut Tables, id: &str, is_again: bool, now: Timestamp) -> Result<(), CommandError> {
        let kept = tables.top_ups[id].clone();
        let Credit::Granted { grant, .. } = kept.top_up.credit else { return Ok(()) };
        let (total, noted) = (kept.top_up.to_claw_back, kept.top_up.clawed_back);
        if total <= noted {
            return Ok(());
        }
        let currency = self.currency_numbered(kept.top_up.currency)?;
        let guard = pin();
        let slot = self.locate_wallet(&kept.top_up.customer, &currency.id, &guard)?;
        #[cfg(drawdown_planted)]
        let is_again =
            is_again && !drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::TakesBackAgainAfterCrash);
        let taken = if is_again { self.clawed_back(slot, grant, &guard)?.max(noted) } else { noted };
        if let Some(amount) = total.checked_sub(taken).filter(|rest| *rest > Amount::ZERO) {
            let is_written_off = self.config.refund_shortfall == Shortfall::WriteOff;
            let operation = Operation::ClawBack { grant, amount, total, is_written_off };
            let mut note = note::Note::new(NoteKind::Adjustment);
            note.reason = Some(format!("top-up {id}: its money went back"));
            match self.operate(slot, WalletOperation::noted(operation, now, note), &guard) {
                Ok(()) => {}
                Err(CommandError::Rejected(rejection)) => {
                    // A closed wallet has nothing left to take.
                    tracing::error!(top_up = id, ?rejection, "credits whose money went back cannot be taken back");
                }
                Err(error) => return Err(error),
            }
        }
        drop(guard);
        self.tell(tables, id, &Event::ClawedBack { total }, now)
    }
}

impl Inner {
    /// What has been taken back of a grant in all, as the last of the wallet's operations that took some of it back says.
    fn clawed_back(&self, slot: u32, grant: GrantId, guard: &Guard) -> Result<Amount, CommandError> {
        let reading = self.slab.get(slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let mut next = reading.generation.opened_at();
        while next >= grant.get() {
            let mut view = None;
            let record = match self.read_record(next, &mut view) {
                // It cannot be told, and taking credits back twice is worse than late.
                Err(_) if self.is_retired(next) => return Err(self.retired()),
                record => record.map_err(unreadable)?,
            };
            let Record::Operation(operation) = record else { break };
            match operation.body.operation {
                Operation::ClawBack { grant: of, total, .. } if of == grant && !operation.body.rejected => {
                    return Ok(total);
                }
                _ => next = operation.previous_opening,
            }
        }
        Ok(Amount::ZERO)
    }
}

/// What the ledger's rules are told of it. The balance may exceed what the currency allows: the money has come.
fn new_grant(id: GrantId, record: &GrantRecord) -> NewGrant {
    NewGrant {
        id,
        amount: record.amount,
        priority: record.priority,
        category: record.category,
        effective_at: record.effective_at,
        expires_at: record.expires_at,
        cost: record.cost_basis.as_ref().map(|cost| cost.amount),
        max_balance: None,
        special: Special::NONE,
    }
}

/// Whether it pays the rest of a charge.
const fn pays_charge(top_up: &TopUp) -> bool {
    matches!(top_up.kind, Kind::Charge { .. })
}

/// Whether less was captured than an invoice of a top-up of its own asks for.
fn came_short(top_up: &TopUp, invoice: &Invoice) -> bool {
    top_up.captured.is_some_and(|captured| captured.units < invoice.due().units)
}

/// Whether a charge's invoice has taken this top-up's money: what was captured after it had been paid it has not.
fn has_taken(invoice: &Invoice, top_up: &TopUp) -> bool {
    invoice.paid_at.is_none_or(|paid_at| top_up.completed_at.is_some_and(|completed_at| completed_at <= paid_at))
}

/// What was paid, as grants have it: of coins, which ISO 4217 does not know, the top-up tells.
fn cost_basis(money: Money) -> Option<CostBasis> {
    money.code.is_iso().then(|| CostBasis { amount: money.units, currency: money.code.as_str().to_owned() })
}

fn work_of(step: &Step) -> impl Iterator<Item = Work> + '_ {
    step.effects.iter().filter_map(|effect| work(&step.top_up, effect))
}

/// What a provider has to do, if an effect is for one.
pub(super) fn work(top_up: &TopUp, effect: &Effect) -> Option<Work> {
    let Effect::Provider(command) = effect else { return None };
    Some(Work { provider: top_up.provider.clone(), top_up: top_up.id.clone(), command: command.clone() })
}

impl Tables {
    /// A top-up's invoice, and whether it is paid.
    fn invoice_for(&self, top_up: &str) -> Option<(Invoice, bool)> {
        let invoice = self.invoices.get(self.invoice_of.get(top_up)?)?;
        Some(((**invoice).clone(), invoice.status() == InvoiceStatus::Paid))
    }

    fn is_news(&self, invoice: &Invoice) -> bool {
        self.invoices.get(&invoice.number).is_none_or(|known| **known != *invoice)
    }

    /// What becomes of a top-up's invoice.
    fn invoice_effect(&self, papers: &mut Papers, top_up: &TopUp, effect: &Effect, now: Timestamp) {
        let Papers { invoice, replaced, numbers } = papers;
        let outcome = match (effect, invoice.as_mut()) {
            // What a charge comes to is on its invoice from the beginning, with what the wallet paid.
            (Effect::IssueInvoice { paid: false } | Effect::VoidInvoice, Some(_)) if pays_charge(top_up) => Ok(()),
            (Effect::IssueInvoice { paid: true } | Effect::InvoicePaid, Some((invoice, _))) if pays_charge(top_up) => {
                self.enter_payment(invoice, top_up, now)
            }
            (Effect::InvoicePaid, Some((open, _))) if came_short(top_up, open) => {
                // What it comes to has changed, and what was issued does not.
                let (void, issued) = (open.void(), self.issue(numbers, top_up, true, now));
                void.and(issued).map(|issued| {
                    replaced.extend(invoice.replace((issued, false)).map(|(void, _)| void));
                })
            }
            (Effect::InvoicePaid, Some((invoice, _))) => self.enter_payment(invoice, top_up, now),
            (Effect::IssueInvoice { paid }, _) => self.issue(numbers, top_up, *paid, now).map(|issued| {
                *invoice = Some((issued, false));
            }),
            (Effect::VoidInvoice, Some((invoice, _))) => invoice.void(),
            // Money that was taken beside what paid the invoice is none of the invoice's when it goes back, either.
            (Effect::RefundNote { .. }, Some((invoice, _))) if pays_charge(top_up) && !has_taken(invoice, top_up) => {
                Ok(())
            }
            (Effect::RefundNote { key, money }, Some((invoice, _))) => {
                let (number, refund) = (numbers.next_note(), key.clone());
                invoice.refund(Note { number, refund, money: *money, at: now })
            }
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            tracing::error!(top_up = top_up.id, %error, "a top-up's invoice cannot follow it");
        }
    }

    /// An invoice of a top-up, over what was captured if that is known.
    fn issue(
        &self,
        numbers: &mut Numbers,
        top_up: &TopUp,
        is_paid: bool,
        now: Timestamp,
    ) -> Result<Invoice, InvoiceError> {
        let (lines, subject) = (vec![self.line_of(top_up)], Subject::TopUp(top_up.id.clone()));
        let mut issued = Invoice::issue(numbers.next_invoice(), top_up.customer.clone(), subject, lines, now)?;
        if is_paid {
            self.enter_payment(&mut issued, top_up, now)?;
        }
        Ok(issued)
    }

    /// Enters what was captured, as far as it is owed.
    fn enter_payment(&self, invoice: &mut Invoice, top_up: &TopUp, now: Timestamp) -> Result<(), InvoiceError> {
        let due = invoice.due();
        let came = top_up.captured.map_or(due.units, |captured| captured.units);
        let money = Money::new(due.units.min(came), due.code);
        invoice.pay(Paid { by: self.payer_of(top_up), money }, now)
    }

    /// What stands on the invoice: what was captured, where that is not the price.
    fn line_of(&self, top_up: &TopUp) -> Line {
        let purchase = &top_up.purchase;
        let package = purchase.package.as_ref().and_then(|id| self.packages.get(id));
        let money = top_up.captured.or(purchase.price).unwrap_or(Money::new(0, top_up.code()));
        let quantity = i64::from(purchase.quantity);
        let description = package.map_or_else(|| "Credits".to_owned(), |package| package.name.clone());
        if purchase.price == Some(money) && money.units % quantity == 0 {
            let unit_price = Money::new(money.units / quantity, money.code);
            return Line { description, quantity: purchase.quantity, unit_price };
        }
        Line { description, quantity: 1, unit_price: money }
    }

    fn payer_of(&self, top_up: &TopUp) -> Payer {
        let method = top_up.method.as_ref().and_then(|id| self.methods.get(id));
        method.map_or(Payer::Offline, |method| Payer::Method {
            id: method.id.clone(),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
        })
    }
}
