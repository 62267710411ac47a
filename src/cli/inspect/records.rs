//! `drawdown inspect records`.

use super::{InspectError, check};
use drawdown::http::time_text;
use drawdown::journal::admin::AdminRecord;
use drawdown::journal::alerts::CommitmentItem;
use drawdown::journal::billing::BillingRecord;
use drawdown::journal::control::AnswerBody;
use drawdown::journal::debit::{DebitRecord, Metered};
use drawdown::journal::note::NoteKind;
use drawdown::journal::operation::{Event, OperationRecord};
use drawdown::journal::webhook::{DisabledReason, WebhookRecord};
use drawdown::journal::{self, Record};
use drawdown::ledger::{Amount, Movement, Operation, Scale, Timestamp};
use drawdown_wal::{Archive, FrameRef, Lsn, Visitor};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{self, Write};

/// Reads `CUSTOMER/CURRENCY`. Currencies have no slash.
pub(super) fn parse_wallet(text: &str) -> Result<(String, String), &'static str> {
    match text.rsplit_once('/') {
        Some((customer, currency)) if !customer.is_empty() && !currency.is_empty() => {
            Ok((customer.to_owned(), currency.to_owned()))
        }
        _ => Err("expected CUSTOMER/CURRENCY"),
    }
}

pub(super) fn show(
    archive: &Archive,
    json: bool,
    from: Lsn,
    limit: usize,
    wallet: Option<(String, String)>,
) -> Result<(), InspectError> {
    let mut printer = Printer { json, from, left: limit, only: wallet, known: Known::default(), failed: None };
    let survey = archive.survey(&mut printer)?;
    match printer.failed {
        Some(failed) => Err(failed),
        None if printer.left == 0 => Ok(()),
        None => check(&survey),
    }
}

/// What the records so far have said about names.
#[derive(Default)]
pub(super) struct Known {
    /// Id and scale by number.
    currencies: HashMap<u16, (String, Scale)>,
    meters: HashMap<u16, String>,
    /// Customer and currency by slot.
    wallets: HashMap<u32, (String, u16)>,
}

impl Known {
    fn learn(&mut self, record: &AdminRecord) {
        match record {
            AdminRecord::Currency(currency) => {
                self.currencies.insert(currency.number.0, (currency.id.clone(), currency.scale));
            }
            AdminRecord::Meter(meter) => {
                self.meters.insert(meter.number, meter.event_type.clone());
            }
            AdminRecord::Wallet(wallet) => {
                self.wallets.insert(wallet.slot, (wallet.customer.clone(), wallet.currency.0));
            }
            AdminRecord::Genesis(_)
            | AdminRecord::Grant(_)
            | AdminRecord::Redeclared(_)
            | AdminRecord::ApiKey(_)
            | AdminRecord::Metadata(_)
            | AdminRecord::Recurring(_)
            | AdminRecord::Hold(_)
            | AdminRecord::DefaultLevels(_)
            | AdminRecord::Commitments(_)
            | AdminRecord::Runway(_)
            | AdminRecord::RunwayTold(_)
            | AdminRecord::RunwayState(_)
            | AdminRecord::RunwayCursor(_)
            | AdminRecord::Answer(_)
            | AdminRecord::Customer(_)
            | AdminRecord::Billing(_)
            | AdminRecord::Webhook(_)
            | AdminRecord::Done(_)
            | AdminRecord::Refused(_) => {}
        }
    }

    /// Customer, currency, and how its amounts are written.
    fn wallet(&self, slot: u32) -> Option<(&str, &str, Scale)> {
        let (customer, currency) = self.wallets.get(&slot)?;
        let (id, scale) = self.currencies.get(currency)?;
        Some((customer, id, *scale))
    }
}

/// Prints the records that it passes.
struct Printer {
    json: bool,
    from: Lsn,
    left: usize,
    only: Option<(String, String)>,
    known: Known,
    failed: Option<InspectError>,
}

impl Visitor for Printer {
    fn frame(&mut self, frame: &FrameRef<'_>) {
        if self.goes_on() {
            self.failed = self.print_frame(frame).err();
        }
    }

    fn goes_on(&self) -> bool {
        self.left > 0 && self.failed.is_none()
    }
}

impl Printer {
    fn print_frame(&mut self, frame: &FrameRef<'_>) -> Result<(), InspectError> {
        let corrupt = |source| InspectError::Record { lsn: frame.lsn, source };
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
        let time = records.prelude().time;
        for record in records {
            let (lsn, record) = record.map_err(corrupt)?;
            if let Record::Admin(admin) = &record {
                self.known.learn(admin);
            }
            if lsn >= self.from && self.left > 0 && self.is_wanted(&record) {
                self.left -= 1;
                self.print(lsn, time, &record)?;
            }
        }
        Ok(())
    }

    fn is_wanted(&self, record: &Record<'_>) -> bool {
        let Some((customer, currency)) = &self.only else { return true };
        let wallet = slot_of(record).and_then(|slot| self.known.wallet(slot));
        wallet.is_some_and(|(owner, id, _)| owner == customer && id == currency)
    }

    fn print(&self, lsn: Lsn, time: Timestamp, record: &Record<'_>) -> Result<(), InspectError> {
        let fields = fields_of(record, &self.known);
        let wallet = slot_of(record).and_then(|slot| self.known.wallet(slot));
        let mut out = io::stdout().lock();
        if self.json {
            let mut object = Map::new();
            object.insert("lsn".to_owned(), lsn.get().into());
            object.insert("time".to_owned(), time_text(time).into());
            if let Some((customer, currency, _)) = wallet {
                object.insert("customer".to_owned(), customer.into());
                object.insert("currency".to_owned(), currency.into());
            }
            object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
            writeln!(out, "{}", Value::Object(object))?;
            return Ok(());
        }
        let wallet = wallet.map_or_else(|| "-".to_owned(), |(customer, currency, _)| format!("{customer}/{currency}"));
        write!(out, "{lsn:>12}  {}  {wallet:<24}", time_text(time))?;
        for (place, (name, value)) in fields.iter().enumerate() {
            match (place, value) {
                (0, Value::String(text)) => write!(out, "  {text:<10}")?,
                (_, Value::Null) => {}
                (_, Value::String(text)) => write!(out, "  {name} {text}")?,
                (_, value) => write!(out, "  {name} {value}")?,
            }
        }
        writeln!(out)?;
        Ok(())
    }
}

fn slot_of(record: &Record<'_>) -> Option<u32> {
    match record {
        Record::Debit(debit) => Some(debit.slot),
        Record::Operation(operation) => Some(operation.slot),
        Record::Admin(AdminRecord::Wallet(wallet)) => Some(wallet.slot),
        Record::Admin(AdminRecord::Grant(grant)) => Some(grant.slot),
        Record::Admin(AdminRecord::Redeclared(again)) => Some(again.grant.slot),
        Record::Admin(AdminRecord::Hold(hold)) => Some(hold.slot),
        Record::Admin(AdminRecord::Recurring(recurring)) => Some(recurring.slot),
        Record::Admin(other) => other.of_wallet().map(|(slot, _)| slot),
    }
}

type Fields = Vec<(&'static str, Value)>;

/// What a record says, its kind first.
fn fields_of(record: &Record<'_>, known: &Known) -> Fields {
    let scale = slot_of(record).and_then(|slot| known.wallet(slot)).map_or(Scale::WHOLE, |(_, _, scale)| scale);
    match record {
        Record::Debit(debit) => debit_fields(debit, scale, known),
        Record::Operation(operation) => operation_fields(operation, scale, known),
        Record::Admin(admin) => admin_fields(admin, scale, known),
    }
}

fn text(amount: Amount, scale: Scale) -> Value {
    amount.display(scale).to_string().into()
}

fn debit_fields(debit: &DebitRecord<'_>, scale: Scale, known: &Known) -> Fields {
    let mut fields = vec![
        ("type", "debit".into()),
        ("generation", debit.generation.into()),
        ("amount", text(debit.amount, scale)),
        ("balance_after", text(debit.balance_after, scale)),
        ("previous", debit.previous.into()),
    ];
    let event = Event { id: debit.id, source: debit.source, time: debit.event_time, metered: debit.metered };
    fields.extend(event_fields(&event, known));
    fields
}

fn event_fields(event: &Event<'_>, known: &Known) -> Fields {
    let mut fields =
        vec![("event", event.id.into()), ("source", event.source.into()), ("event_time", time_text(event.time).into())];
    if let Some(Metered { meter, quantity }) = event.metered {
        fields.push(("meter", known.meters.get(&meter).cloned().unwrap_or_else(|| meter.to_string()).into()));
        fields.push(("quantity", quantity.to_string().into()));
    }
    fields
}

fn operation_fields(record: &OperationRecord<'_>, scale: Scale, known: &Known) -> Fields {
    let mut fields = vec![
        ("type", operation_name(&record.body.operation).into()),
        ("generation", record.generation.into()),
        ("closing", text(record.closing, scale)),
        ("opening", text(record.opening, scale)),
        ("previous", record.previous.into()),
        ("previous_opening", record.previous_opening.into()),
        ("counts", record.counts.into()),
    ];
    if record.body.rejected {
        fields.push(("rejected", true.into()));
    }
    if let Some(event) = &record.body.event {
        fields.extend(event_fields(event, known));
    }
    if let Operation::Reverse(reversal) = &record.body.operation {
        fields.push(("reverses", reversal.debit.into()));
        fields.push(("reversed_before", text(reversal.before, scale)));
    }
    if let Some(note) = &record.body.note {
        let asked = json!({"all": note.asked.all, "regrant": note.asked.regrant});
        fields.push(("note", json!({"kind": note_name(note.kind), "key": note.key, "reason": note.reason, "invoice": note.invoice, "asked": asked, "metadata": note.metadata, "other": note.other})));
    }
    if let Some(keyed) = &record.body.keyed {
        let request = format!("{:032x}", u128::from_be_bytes(keyed.key.request));
        fields.push(("keyed", json!({"request": request, "place": keyed.key.place})));
    }
    let movements: Vec<_> = record.body.movements.iter().map(|movement| movement_value(movement, scale)).collect();
    fields.push(("movements", movements.into()));
    if let Some(hold) = record.body.operation.hold() {
        fields.push(("hold", hold.get().into()));
    }
    let lots = record.body.lots.iter().map(|(id, left)| json!({"grant": id.get(), "remaining": text(*left, scale)}));
    fields.push(("lots", lots.collect::<Vec<_>>().into()));
    let crossed = &record.body.crossed;
    if !crossed.levels.is_empty() || crossed.depleted || crossed.negative {
        let built_in = crossed.depleted.then_some("depleted").into_iter().chain(crossed.negative.then_some("negative"));
        fields.push(("crossed", crossed.levels.iter().copied().chain(built_in).collect::<Vec<_>>().into()));
    }
    let quiet: Vec<_> = [&record.body.crossed, &record.body.recovered].iter().flat_map(|l| l.quiet.clone()).collect();
    if !quiet.is_empty() {
        fields.push(("quiet", quiet.into()));
    }
    let repair = &record.body.repair;
    if !repair.is_empty() {
        fields.push((
            "repair",
            json!({"relinked": repair.relinked, "corrected": repair.corrected, "dropped": repair.dropped}),
        ));
    }
    fields
}

fn note_name(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Adjustment => "adjustment",
        NoteKind::Charge => "charge",
        NoteKind::Reversal => "reversal",
        NoteKind::Transfer => "transfer",
    }
}

fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Grant(_) => "grant",
        Operation::Void { .. } => "void",
        Operation::MoveExpiry { .. } => "move_expiry",
        Operation::Debit { .. } => "operation_debit",
        Operation::Due => "due",
        Operation::SetStatus(_) => "set_status",
        Operation::SetAllowance(_) => "set_allowance",
        Operation::SetLevels(_) => "set_levels",
        Operation::Reopen => "reopen",
        Operation::Charge { .. } => "charge",
        Operation::Reverse(_) => "reverse",
        Operation::Hold(_) => "hold",
        Operation::Capture { .. } => "capture",
        Operation::Release { .. } => "release",
        Operation::ExtendHold { .. } => "extend_hold",
        Operation::LateCapture { .. } => "late_capture",
        Operation::Pay { .. } => "pay",
        Operation::EndSchedule { .. } => "end_schedule",
        Operation::InheritLevels { .. } => "inherit_levels",
        Operation::SetCommitments(_) => "set_commitments",
        Operation::ClawBack { .. } => "claw_back",
        Operation::FreezeGrant { .. } => "freeze_grant",
        Operation::ThawGrant { .. } => "thaw_grant",
        Operation::TransferOut { .. } => "transfer_out",
        Operation::TransferIn { .. } => "transfer_in",
    }
}

fn movement_value(movement: &Movement, scale: Scale) -> Value {
    let (kind, amount) = match *movement {
        Movement::Granted { amount, .. } => ("granted", amount),
        Movement::Scheduled { amount, .. } => ("scheduled", amount),
        Movement::Activated { amount, .. } => ("activated", amount),
        Movement::DebtPaid { amount, .. } => ("debt_paid", amount),
        Movement::Spent { amount, .. } => ("spent", amount),
        Movement::Overdrawn { amount } => ("overdrawn", amount),
        Movement::Depleted { .. } => ("depleted", Amount::ZERO),
        Movement::Expired { amount, .. } => ("expired", amount),
        Movement::Voided { amount, .. } => ("voided", amount),
        Movement::ScheduledVoided { amount, .. } => ("scheduled_voided", amount),
        Movement::ExpiryMoved { amount, .. } => ("expiry_moved", amount),
        Movement::WrittenOff { amount, .. } => ("written_off", amount),
        Movement::DebtWrittenOff { amount } => ("debt_written_off", amount),
        Movement::GivenBack { amount, .. } => ("given_back", amount),
        Movement::Reopened { amount, .. } => ("reopened", amount),
        Movement::DebtReturned { amount } => ("debt_returned", amount),
        Movement::Forfeited { amount, .. } => ("forfeited", amount),
        Movement::Held { amount, .. } => ("held", amount),
        Movement::Reserved { amount, .. } => ("reserved", amount),
        Movement::Captured { amount, .. } => ("captured", amount),
        Movement::PartSpent { amount, .. } => ("part_spent", amount),
        Movement::Released { amount, .. } => ("released", amount),
        Movement::HoldExpired { amount, .. } => ("hold_expired", amount),
        Movement::Returned { amount, .. } => ("returned", amount),
        Movement::HoldMoved { .. } => ("hold_moved", Amount::ZERO),
        Movement::AwaitsPayment { amount, .. } => ("awaits_payment", amount),
        Movement::Paid { amount, .. } => ("paid", amount),
        Movement::RolledOver { amount, .. } => ("rolled_over", amount),
        Movement::TransferredOut { amount, .. } => ("transferred_out", amount),
        Movement::TransferredIn { amount, .. } => ("transferred_in", amount),
    };
    let mut value = json!({"kind": kind, "amount": text(amount, scale)});
    if let Some(grant) = movement.grant() {
        value["grant"] = grant.get().into();
    }
    if let Some(hold) = movement.hold() {
        value["hold"] = hold.get().into();
    }
    if let Movement::RolledOver { into, at, .. } = movement {
        value["into"] = into.get().into();
        value["at"] = time_text(*at).into();
    }
    value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What may be told of an administrative record: no seed, no hash of a key.
#[expect(clippy::too_many_lines, reason = "a table, one entry a kind")]
fn admin_fields(admin: &AdminRecord, scale: Scale, known: &Known) -> Fields {
    let time = |time: Timestamp| Value::from(time_text(time));
    match admin {
        AdminRecord::Genesis(genesis) => {
            vec![("type", "genesis".into()), ("created_at", time(Timestamp::from_millis(genesis.created_ms)))]
        }
        AdminRecord::Wallet(wallet) => vec![("type", "wallet".into()), ("slot", wallet.slot.into())],
        AdminRecord::Grant(grant) => vec![
            ("type", "grant_declared".into()),
            ("amount", text(grant.amount, scale)),
            ("source", grant.source.as_str().into()),
            ("category", grant.category.as_str().into()),
            ("priority", grant.priority.into()),
            ("effective_at", time(grant.effective_at)),
            ("expires_at", grant.expires_at.map_or(Value::Null, time)),
            ("key", grant.key.clone().into()),
            ("payment", grant.declared.payment.clone().into()),
            ("pending", grant.declared.pending.then_some(true).into()),
            ("recurring_grant", grant.declared.recurrence.as_ref().map(|of| of.id.clone()).into()),
            ("occurrence", grant.declared.recurrence.as_ref().map(|of| of.number).into()),
        ],
        AdminRecord::Currency(currency) => vec![
            ("type", "currency".into()),
            ("id", currency.id.clone().into()),
            ("number", currency.number.0.into()),
            ("scale", currency.scale.places().into()),
            ("archived", currency.archived.into()),
        ],
        AdminRecord::Meter(meter) => vec![
            ("type", "meter".into()),
            ("event_type", meter.event_type.clone().into()),
            ("number", meter.number.into()),
            ("charges", known.currencies.get(&meter.currency.0).map(|(id, _)| id.clone()).into()),
            ("rate", meter.rate.to_string().into()),
            ("rounding", meter.rounding.as_str().into()),
            ("archived", meter.archived.into()),
        ],
        AdminRecord::ApiKey(key) => vec![
            ("type", "api_key".into()),
            ("id", key.id.clone().into()),
            ("name", key.name.clone().into()),
            ("live", key.live.into()),
            ("revoked", key.revoked.into()),
        ],
        AdminRecord::Metadata(metadata) => {
            vec![("type", "metadata".into()), ("metadata", json!(metadata.metadata))]
        }
        AdminRecord::Redeclared(again) => vec![
            ("type", "grant_redeclared".into()),
            ("grant", again.number.into()),
            ("amount", text(again.grant.amount, scale)),
        ],
        AdminRecord::Hold(hold) => vec![
            ("type", "hold_declared".into()),
            ("amount", text(hold.amount, scale)),
            ("expires_at", time(hold.expires_at)),
            ("on_exceed", hold.on_exceed.as_str().into()),
            ("id", hold.id.clone().into()),
        ],
        AdminRecord::Recurring(recurring) => vec![
            ("type", "recurring_grant".into()),
            ("id", recurring.id.clone().into()),
            ("version", recurring.version.into()),
            ("amount", text(recurring.amount, scale)),
            ("source", recurring.source.as_str().into()),
            ("every", recurring.schedule.interval.every().into()),
            ("unit", recurring.schedule.interval.unit().as_str().into()),
            ("anchor", time(recurring.schedule.anchor)),
            ("stopped", recurring.stopped.into()),
        ],
        AdminRecord::Answer(answer) => {
            let (body, bytes) = match &answer.body {
                AnswerBody::Whole(bytes) => ("whole", bytes.len()),
                AnswerBody::Deflated { bytes, .. } => ("deflated", bytes.len()),
                AnswerBody::Again => ("again", 0),
            };
            vec![
                ("type", "answer".into()),
                ("key", hex(&answer.key[..8]).into()),
                ("request", hex(&answer.request[..8]).into()),
                ("status", answer.status.into()),
                ("body", body.into()),
                ("bytes", bytes.into()),
            ]
        }
        AdminRecord::Done(done) => vec![
            ("type", "done".into()),
            ("request", hex(&done.request[..8]).into()),
            ("asked", hex(&done.asked[..8]).into()),
            ("deed", done.deed.as_str().into()),
            ("of", done.of.clone().into()),
        ],
        AdminRecord::Customer(customer) => vec![
            ("type", "customer".into()),
            ("id", customer.id.clone().into()),
            ("change", format!("{:?}", customer.change).to_lowercase().into()),
            ("status", if customer.archived { "archived" } else { "active" }.into()),
            ("collection_method", customer.collection_method.as_str().into()),
            ("sealed_bytes", customer.sealed.as_ref().map(|sealed| sealed.bytes.len()).into()),
            ("erased", customer.erased.into()),
            ("portal_epoch", customer.portal_epoch.into()),
        ],
        AdminRecord::Billing(billing) => billing_fields(billing),
        AdminRecord::Webhook(webhook) => webhook_fields(webhook),
        AdminRecord::Refused(refused) => vec![
            ("type", "refused".into()),
            ("at", time(refused.at)),
            ("event_id", refused.event_id.clone().into()),
            ("source", refused.source.clone().into()),
            ("amount", text(refused.amount, scale)),
            ("reason", refused.reason.clone().into()),
            ("available", text(refused.available, scale)),
            ("count", refused.count.into()),
        ],
        AdminRecord::DefaultLevels(_)
        | AdminRecord::Commitments(_)
        | AdminRecord::Runway(_)
        | AdminRecord::RunwayTold(_)
        | AdminRecord::RunwayState(_)
        | AdminRecord::RunwayCursor(_) => alert_fields(admin, scale, known),
    }
}

/// What records of webhooks say, in short; no secrets, not even sealed ones.
fn webhook_fields(webhook: &WebhookRecord) -> Fields {
    let endpoint = ("endpoint", webhook.endpoint().to_owned().into());
    match webhook {
        WebhookRecord::Endpoint(record) => vec![
            ("type", "webhook_endpoint".into()),
            endpoint,
            ("change", format!("{:?}", record.change).to_lowercase().into()),
            ("url", record.url.clone().into()),
            ("events", record.events.clone().into()),
            ("disabled", record.disabled.map(DisabledReason::as_str).into()),
            ("deleted", record.deleted.into()),
        ],
        WebhookRecord::Cursor(record) => {
            vec![("type", "webhook_cursor".into()), endpoint, ("at", record.at.lsn.into())]
        }
        WebhookRecord::Lane(record) => vec![
            ("type", "webhook_lane".into()),
            endpoint,
            ("customer", record.lane.customer.clone().into()),
            ("currency", record.lane.currency.clone().into()),
            ("at", record.at.map(|at| at.lsn).into()),
        ],
        WebhookRecord::Delivery(record) => vec![
            ("type", "webhook_delivery".into()),
            endpoint,
            ("event", record.event.clone().into()),
            ("kind", record.kind.clone().into()),
            ("state", record.state.as_str().into()),
            ("failed", record.failed.into()),
        ],
    }
}

/// What records of money in say, in short.
fn billing_fields(billing: &BillingRecord) -> Fields {
    let (kind, id): (_, Value) = match billing {
        BillingRecord::Package(package) => ("credit_package", package.id.clone().into()),
        BillingRecord::Recharge(config) => ("recharge_config", config.package.clone().into()),
        BillingRecord::Method(method) => ("payment_method", method.id.clone().into()),
        BillingRecord::TopUp(record) => ("top_up", record.top_up.id.clone().into()),
        BillingRecord::Rule(record) => ("auto_topup_rule", record.rule.customer.clone().into()),
        BillingRecord::Invoice(record) => ("invoice", record.invoice.number.0.into()),
        BillingRecord::Limits(limits) => ("portal_limits", limits.currency.0.into()),
        BillingRecord::Reference(record) => ("provider_reference", record.of.clone().into()),
        BillingRecord::Rest(record) => ("rest_of_charge", record.number.into()),
        BillingRecord::Form(form) => ("deposit_form", form.id.clone().into()),
    };
    let mut fields = vec![("type", kind.into()), ("id", id)];
    match billing {
        BillingRecord::TopUp(record) => {
            let top_up = &record.top_up;
            let captured = top_up.captured.map(|money| format!("{money} {}", money.code));
            fields.extend([("status", top_up.status().as_str().into()), ("captured", captured.into())]);
        }
        BillingRecord::Rule(record) => {
            let in_flight = record.state.in_flight.as_ref().map(|attempt| attempt.top_up.clone());
            fields.extend([("deleted", record.deleted.into()), ("in_flight", in_flight.into())]);
        }
        BillingRecord::Invoice(record) => {
            let invoice = &record.invoice;
            let total = format!("{} {}", invoice.total, invoice.total.code);
            fields.extend([("status", invoice.status().as_str().into()), ("total", total.into())]);
        }
        BillingRecord::Rest(record) => {
            fields.extend([("customer", record.customer.clone().into()), ("over", record.is_over.into())]);
        }
        BillingRecord::Package(_)
        | BillingRecord::Recharge(_)
        | BillingRecord::Method(_)
        | BillingRecord::Reference(_)
        | BillingRecord::Form(_)
        | BillingRecord::Limits(_) => {}
    }
    fields
}

/// What administrative records of alerts say.
fn alert_fields(admin: &AdminRecord, scale: Scale, known: &Known) -> Fields {
    let time = |time: Timestamp| Value::from(time_text(time));
    match admin {
        AdminRecord::DefaultLevels(record) => vec![
            ("type", "default_levels".into()),
            ("of", known.currencies.get(&record.currency.0).map(|(id, _)| id.clone()).into()),
            ("version", record.version.into()),
            ("levels", record.levels.as_ref().map_or(0, |levels| levels.len()).into()),
            ("at_once", record.at_once.into()),
        ],
        AdminRecord::Commitments(record) => {
            let item = |item: &CommitmentItem| json!({"name": item.name, "amount": text(item.amount, scale), "due_at": item.due_at.map(time_text)});
            vec![
                ("type", "commitments".into()),
                ("items", record.items.iter().map(item).collect::<Vec<_>>().into()),
                ("period", record.period.map_or(Value::Null, |(from, to)| json!([time_text(from), time_text(to)]))),
            ]
        }
        AdminRecord::Runway(record) => vec![
            ("type", "runway".into()),
            ("minutes", record.watch.map(|watch| watch.minutes).into()),
            ("set_at", time(record.at)),
        ],
        AdminRecord::RunwayTold(told) => vec![
            ("type", if told.low { "runway_low" } else { "runway_recovered" }.into()),
            ("at", time(told.at)),
            ("available", text(told.available, scale)),
            ("runway_minutes", (told.minutes != u64::MAX).then_some(told.minutes).into()),
        ],
        AdminRecord::RunwayState(state) => vec![("type", "runway_state".into()), ("upto", state.upto.into())],
        AdminRecord::RunwayCursor(upto) => vec![("type", "runway_cursor".into()), ("upto", (*upto).into())],
        _ => Vec::new(),
    }
}
