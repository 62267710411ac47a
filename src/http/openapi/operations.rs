//! What each operation takes and answers.

mod billing;
mod customers;
mod deposits;
mod portal;
mod webhooks;

use crate::http::api::feed::WAIT_MS_MAX;
use crate::http::route::Action;
use crate::http::wire::query::{LIMIT_DEFAULT, LIMIT_MAX};
use serde_json::{Map, Value, json};

/// One operation, before it is put together with its route.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<(u16, Value)>,
    /// Statuses beyond those that follow from key, body and parameters.
    pub(super) problems: &'static [u16],
    /// It waits for the disk.
    pub(super) writes: bool,
}

impl Operation {
    fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        let (description, problems): (_, &[u16]) = ("", &[]);
        let (parameters, answers) = (Vec::new(), Vec::new());
        Operation { id, tag, summary, description, parameters, body: None, answers, problems, writes: false }
    }

    fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// `limit` and `cursor`.
    fn list(self) -> Self {
        let cursor = query("cursor", "`next_cursor` of the page before.", json!({"type": "string", "minLength": 1}));
        self.parameter(limit()).parameter(cursor)
    }

    /// Takes a JSON body.
    fn takes(mut self, schema: &str) -> Self {
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": reference(schema)}}}));
        self.writes = true;
        self
    }

    /// May take a JSON body.
    fn may_take(self, schema: &str) -> Self {
        let mut operation = self.takes(schema);
        if let Some(body) = &mut operation.body {
            body["required"] = json!(false);
        }
        operation
    }

    fn answers(mut self, status: u16, description: &str, schema: &Value) -> Self {
        let content = json!({"application/json": {"schema": schema}});
        self.answers.push((status, json!({"description": description, "content": content})));
        self
    }

    fn ok(self, schema: &str) -> Self {
        self.answers(200, "As asked.", &reference(schema))
    }

    fn pages(self, schema: &str) -> Self {
        let page = json!({
            "type": "object",
            "required": ["data", "next_cursor"],
            "properties": {"data": {"type": "array", "items": reference(schema)}, "next_cursor": {"type": ["string", "null"]}},
        });
        self.answers(200, "A page.", &page)
    }

    fn fails(mut self, problems: &'static [u16]) -> Self {
        self.problems = problems;
        self
    }

    fn writes(mut self) -> Self {
        self.writes = true;
        self
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without a borrow in front of each schema")]
fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without a borrow in front of each schema")]
fn header(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema})
}

fn limit() -> Value {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT});
    query("limit", "Members of the page.", schema)
}

fn position() -> Value {
    json!({"type": "integer", "minimum": 0, "format": "int64"})
}

/// The operation behind an action; `None` for pages, which are for people.
#[expect(clippy::too_many_lines, reason = "a table, one entry a route")]
pub(super) fn describe(action: Action) -> Option<Operation> {
    Some(match action {
        Action::Events => events(),
        Action::CloudEvents => cloud_events(),
        Action::Check => Operation::new("Usage", "check", "Whether a debit would be applied now")
            .about("Reads only; the answer holds for the instant of the reading.")
            .takes("CheckRequest")
            .ok("CheckResult")
            .fails(&[422]),
        Action::GetWallet => {
            Operation::new("Wallets", "getWallet", "A wallet, from one consistent reading").ok("Wallet").fails(&[404])
        }
        Action::PatchWallet => {
            Operation::new("Wallets", "changeWallet", "Freeze, thaw or close a wallet, move its floor")
                .takes("WalletPatch")
                .ok("Wallet")
                .fails(&[404, 409, 422])
        }
        Action::PutWallet => Operation::new("Wallets", "putWallet", "Make a wallet without credits, or change it")
            .about("A grant makes its wallet by itself: this is for what is to be set before the first one comes. The same again is success.")
            .takes("WalletPatch")
            .ok("Wallet")
            .fails(&[404, 409, 422]),
        Action::ListWallets => {
            Operation::new("Wallets", "listWallets", "All wallets of a customer").list().pages("Wallet")
        }
        Action::ListEntries => entries(),
        Action::Balances => balances(),
        Action::GetAlerts => {
            Operation::new("Wallets", "getAlerts", "A wallet's alert levels").ok("Alerts").fails(&[404])
        }
        Action::PutAlerts => Operation::new("Wallets", "setAlerts", "Replace a wallet's alert levels")
            .about(
                "The whole of them, the runway watch included; an empty list is the wallet's own choice of none. A level that the balance is \
                 already below waits until the balance has been above it. docs/alerts.md says what is told when.",
            )
            .takes("AlertsRequest")
            .ok("Alerts")
            .fails(&[404, 409, 422]),
        Action::DeleteAlerts => {
            Operation::new("Wallets", "deleteAlerts", "Take a wallet's own alerts away: its currency's default ones apply")
                .ok("Alerts")
                .fails(&[404, 409, 422])
                .writes()
        }
        Action::GetCommitments => {
            Operation::new("Wallets", "getCommitments", "What is committed in the present period").ok("Commitments").fails(&[404])
        }
        Action::PutCommitments => Operation::new("Wallets", "setCommitments", "Replace a wallet's commitments")
            .about(
                "They lower `projected` and nothing else. A commitment counts from now on, until it is due or the period is over: by then it \
                 has been used.",
            )
            .takes("CommitmentsRequest")
            .ok("Commitments")
            .fails(&[404, 409, 422]),
        Action::DeleteCommitments => {
            Operation::new("Wallets", "deleteCommitments", "Take all commitments away; repeating it is success")
                .ok("Commitments")
                .fails(&[404, 409, 422])
                .writes()
        }
        Action::GetDefaultAlerts => {
            Operation::new("Catalogue", "getDefaultAlerts", "A currency's default alert levels").ok("DefaultAlerts").fails(&[404])
        }
        Action::PutDefaultAlerts => Operation::new("Catalogue", "setDefaultAlerts", "Replace a currency's default alert levels")
            .about(
                "For wallets without alerts of their own. New wallets get them with their first grant; the others before their terms change \
                 the next time by anything but a debit (`on_change`), or in the background from now on (`at_once`).",
            )
            .takes("DefaultAlertsRequest")
            .ok("DefaultAlerts")
            .fails(&[404, 409, 422]),
        Action::DeleteDefaultAlerts => {
            Operation::new("Catalogue", "deleteDefaultAlerts", "Leave a currency without default alert levels, at once")
                .ok("DefaultAlerts")
                .fails(&[404, 409, 422])
                .writes()
        }
        Action::PostGrants => grants(),
        Action::GetGrant => {
            Operation::new("Grants", "getGrant", "A grant as it is now").ok("Grant").fails(&[404, 410])
        }
        Action::VoidGrant => {
            Operation::new("Grants", "voidGrant", "Void what is left of a grant; repeating it is success")
                .ok("Grant")
                .fails(&[404, 409, 410, 422])
                .writes()
        }
        Action::PatchGrant => Operation::new("Grants", "moveExpiry", "Move a grant's expiry")
            .takes("GrantPatch")
            .ok("Grant")
            .fails(&[404, 409, 410, 422]),
        Action::PostHolds => holds(),
        Action::PostCaptures => captures(),
        Action::ListHolds => list_holds(),
        Action::GetHold => Operation::new("Holds", "getHold", "A hold as it is now").ok("Hold").fails(&[404, 410]),
        Action::CaptureHold => Operation::new("Holds", "captureHold", "Take credits from a hold")
            .about(
                "In parts, as often as there is something left; `final` releases the rest. What exceeds the hold goes by its `on_exceed`. \
                 A capture that comes when the hold has expired is a new debit, and says so (`late`).",
            )
            .takes("CaptureRequest")
            .ok("Capture")
            .fails(&[402, 404, 409, 410, 422]),
        Action::ReleaseHold => {
            Operation::new("Holds", "releaseHold", "Give back what a hold has left; repeating it is success")
                .ok("Hold")
                .fails(&[404, 410])
                .writes()
        }
        Action::ExtendHold => Operation::new("Holds", "extendHold", "Move the end of an open hold")
            .about("To an instant, or so many seconds from now; at the latest an idempotency window after the hold was made.")
            .takes("HoldExtension")
            .ok("Hold")
            .fails(&[404, 409, 410, 422]),
        Action::PutCurrency => Operation::new("Catalogue", "putCurrency", "Make or change a credit currency")
            .about("Scale, kind and ISO code cannot change once wallets or meters use the currency. Its status stays what it is.")
            .takes("CurrencyRequest")
            .ok("Currency")
            .fails(&[409, 422]),
        Action::GetCurrency => {
            Operation::new("Catalogue", "getCurrency", "A credit currency").ok("Currency").fails(&[404])
        }
        Action::ListCurrencies => {
            Operation::new("Catalogue", "listCurrencies", "All credit currencies").list().pages("Currency")
        }
        Action::PutMeter => Operation::new("Catalogue", "putMeter", "Make or change a meter")
            .takes("MeterRequest")
            .ok("Meter")
            .fails(&[404, 409, 422]),
        Action::GetMeter => Operation::new("Catalogue", "getMeter", "A meter").ok("Meter").fails(&[404]),
        Action::ListMeters => Operation::new("Catalogue", "listMeters", "All meters").list().pages("Meter"),
        Action::Feed => feed(),
        Action::PostKey => Operation::new("Keys", "createKey", "Make an API key")
            .about(
                "The token is in this answer and nowhere else: a repeat with the same Idempotency-Key shows the key without it. If the \
                 answer was lost, revoke the key and make another.",
            )
            .takes("KeyRequest")
            .answers(201, "Made.", &reference("NewKey"))
            .fails(&[409, 422]),
        Action::ListKeys => {
            Operation::new("Keys", "listKeys", "All API keys, without their tokens").list().pages("Key")
        }
        Action::RevokeKey => Operation::new("Keys", "revokeKey", "Revoke an API key; repeating it is success")
            .ok("Key")
            .fails(&[404, 409, 422])
            .writes(),
        Action::Health => Operation::new("Operations", "health", "The process answers").ok("Status"),
        Action::Ready => Operation::new("Operations", "ready", "Whether requests should be sent here, and why not")
            .about(
                "503 while the log is replayed (`recovering`), when it takes no writes any more (`poisoned`) or has no room (`no_space`), when \
                 requests were refused within the last two seconds because there were too many (`overloaded`), and when the server was told to \
                 stop (`shutting_down`). The problem has the same `checks` as the answer.",
            )
            .ok("Readiness")
            .fails(&[503]),
        Action::Metrics => metrics(),
        Action::OpenApi => Operation::new("Operations", "openapi", "This document").answers(
            200,
            "The document.",
            &json!({"type": "object"}),
        ),
        Action::Stats => Operation::new("Operations", "stats", "Counters since the start, and sizes").answers(
            200,
            "Counters.",
            &json!({"type": "object"}),
        ),
        Action::PostSnapshot => Operation::new("Operations", "postSnapshot", "Have a snapshot made")
            .about(
                "It is made in the background, of everything up to the segment of the log that is being written. `snapshots` of \
                 `/v1/stats` says how far it has come; it is there when `lsn` has moved.",
            )
            .answers(202, "As `snapshots` of `/v1/stats`.", &json!({"type": "object"})),
        Action::ListGrants => list_grants(),
        Action::ActivateGrant => Operation::new("Grants", "activateGrant", "The payment for a pending grant has come")
            .about(
                "The grant counts from now on, or from its `effective_at`. Repeating it is success. A grant whose `expires_at` is over is \
                 refused; move it first. A voided grant is refused as `grant_ended`.",
            )
            .ok("Grant")
            .fails(&[404, 409, 410, 422])
            .writes(),
        Action::PutRecurring => Operation::new("Grants", "putRecurringGrant", "Make or change a recurring grant")
            .about(
                "Occurrences are made ahead as scheduled grants, the next two at the least, so each takes effect to the millisecond. Months \
                 keep the day of the `anchor` (in UTC), or take the last day of a month that lacks it. The same again changes nothing; a \
                 change takes back what was made and has not taken effect, and begins anew: with `first_grant: now` it grants at once. \
                 What was missed while the server was down is made when it starts, a thousand occurrences at most. `max_balance` does not \
                 bind occurrences, and those to come do not count against it.",
            )
            .takes("RecurringGrantRequest")
            .ok("RecurringGrant")
            .fails(&[404, 409, 422]),
        Action::GetRecurring => {
            Operation::new("Grants", "getRecurringGrant", "A recurring grant").ok("RecurringGrant").fails(&[404])
        }
        Action::ListRecurring => Operation::new("Grants", "listRecurringGrants", "A customer's recurring grants, stopped ones too")
            .list()
            .pages("RecurringGrant"),
        Action::DeleteRecurring => Operation::new("Grants", "stopRecurringGrant", "Stop a recurring grant")
            .about("What has taken effect stays, what was made ahead is taken back. Repeating it is success.")
            .ok("RecurringGrant")
            .fails(&[404, 409, 422])
            .writes(),
        Action::ReverseEntry => reverse(),
        Action::PostAdjustment => keyed(
            Operation::new("Corrections", "postAdjustment", "Give or take credits, with a reason")
                .about(
                    "What is given becomes a promotional grant of source `adjustment` without an end. What is taken is taken as a debit \
                     would take it, by `on_insufficient`.",
                )
                .takes("AdjustmentRequest")
                .fails(&[402, 404, 409, 422]),
            "Adjustment",
        ),
        Action::PostCharge => keyed(
            Operation::new("Corrections", "postCharge", "Pay an invoice from a wallet, as far as it reaches")
                .about(
                    "Takes the most that the wallet has and nobody holds, never from the overdraft allowance. Nothing there is no \
                     refusal: `to_pay` says what is left to be paid otherwise. If the currency stands for money, it is charged to the \
                     default payment method, or paid on a page, or invoiced, as `payment` says; the invoice lists both parts.",
                )
                .takes("ChargeRequest")
                .fails(&[404, 409, 422]),
            "Charge",
        ),
        Action::GetCharge => {
            Operation::new("Corrections", "getCharge", "A charge that was made").ok("Charge").fails(&[404, 410])
        }
        Action::PostTransfer => keyed(
            Operation::new("Corrections", "postTransfer", "Move credits from one wallet to another of the same currency")
                .about(
                    "At once or not at all. What would be spent first moves and keeps its terms: priority, dates, category, source and its \
                     share of the cost. Held credits stay, and an overdraft allowance is nothing to give away. The wallet that gets it pays \
                     its debt first; it is made if there is none.",
                )
                .takes("TransferRequest")
                .fails(&[402, 404, 409, 422]),
            "Transfer",
        ),
        Action::GetTransfer => {
            Operation::new("Corrections", "getTransfer", "A transfer that was made").ok("Transfer").fails(&[404, 410])
        }
        Action::PatchCurrency => Operation::new("Catalogue", "archiveCurrency", "Archive a credit currency, or take it up again")
            .about("An archived currency takes no new grants and no new meters; what is granted stays spendable.")
            .takes("StatusPatch")
            .ok("Currency")
            .fails(&[404, 409, 422]),
        Action::PatchMeter => Operation::new("Catalogue", "archiveMeter", "Archive a meter, or take it up again")
            .about("An archived meter takes no events: they are rejected as `unknown_meter`.")
            .takes("StatusPatch")
            .ok("Meter")
            .fails(&[404, 409, 422]),
        Action::PutPackage => billing::put_package(),
        Action::GetPackage => billing::get_package(),
        Action::ListPackages => billing::list_packages(),
        Action::GetRecharge => billing::get_recharge(),
        Action::PutRecharge => billing::put_recharge(),
        Action::PutDepositForm => deposits::put_form(),
        Action::GetDepositForm => deposits::get_form(),
        Action::ListDepositForms => deposits::list_forms(),
        Action::PostTopUp => billing::post_top_up(),
        Action::GetTopUp => billing::get_top_up(),
        Action::ListTopUps => billing::list_top_ups(),
        Action::CancelTopUp => billing::cancel_top_up(),
        Action::ConfirmTopUp => billing::confirm_top_up(),
        Action::RefundTopUp => billing::refund_top_up(),
        Action::PutRule => billing::put_rule(),
        Action::GetRule => billing::get_rule(),
        Action::DeleteRule => billing::delete_rule(),
        Action::GetInvoice => billing::get_invoice(),
        Action::PostMethod => billing::post_method(),
        Action::ListMethods => billing::list_methods(),
        Action::DefaultMethod => billing::default_method(),
        Action::DeleteMethod => billing::delete_method(),
        Action::ResumeRule => billing::resume_rule(),
        Action::ProviderWebhook => billing::provider_webhook(),
        Action::PutCustomer => customers::put(),
        Action::PatchCustomer => customers::patch(),
        Action::GetCustomer => customers::get(),
        Action::ListCustomers => customers::list(),
        Action::ArchiveCustomer => customers::archive(),
        Action::ErasePersonalData => customers::erase(),
        Action::PostWebhookEndpoint => webhooks::create(),
        Action::ListWebhookEndpoints => webhooks::list(),
        Action::GetWebhookEndpoint => webhooks::get(),
        Action::PatchWebhookEndpoint => webhooks::patch(),
        Action::DeleteWebhookEndpoint => webhooks::delete(),
        Action::RotateWebhookSecret => webhooks::rotate(),
        Action::TestWebhookEndpoint => webhooks::test(),
        Action::ListDeliveries => webhooks::deliveries(),
        Action::GetDelivery => webhooks::delivery(),
        Action::Redeliver => webhooks::redeliver(),
        Action::PostPortalSession => portal::post_session(),
        Action::GetPortalLimits => portal::get_limits(),
        Action::PutPortalLimits => portal::put_limits(),
        Action::DeletePortalSessions => portal::delete_sessions(),
        Action::PayInvoice => billing::pay_invoice(),
        Action::Page(_) => return None,
        Action::Statement => statement(),
        Action::PastBalance => Operation::new("Reports", "balanceAt", "A wallet's balance at a past instant")
            .parameter(query("at", "The instant; now if left out.", time()))
            .about(
                "What the ledger would have answered at the end of that millisecond. Movements count by the server's time of their records; \
                 grants take effect and end when they say so, however much later that was recorded. Zero before the wallet was made.",
            )
            .ok("PastBalance")
            .fails(&[404, 410, 422, 500]),
        Action::Usage => usage(),
        Action::Holders => Operation::new("Reports", "listHolders", "Wallets of a currency with their balances")
            .parameter(query("min_balance", "Wallets with so many credits at least.", reference("DecimalInput")))
            .about("In the order in which the wallets were made. A page may be short, or empty, and not the last: `next_cursor` tells.")
            .list()
            .pages("Holder")
            .fails(&[404, 422]),
    })
}

fn events() -> Operation {
    let mut operation = Operation::new("Usage", "postEvents", "Debit wallets for usage: one event or a batch")
        .about(
            "Events are identified by (source, id): sent again they are `duplicate` and change nothing. In a batch each event stands on \
             its own, and the answer is 200 whatever became of them; a single object that is rejected answers with the rejection's \
             problem. A structural fault anywhere refuses the whole request and names index, field and byte. \
             `{\"atomic\": true, \"events\": [...]}` is a group of up to 64 events, across wallets: all are applied, or none is. A group that is \
             refused answers with the problem of the first event that was refused for its own sake; `rejected` lists all, the others as \
             `group_rejected`. Sent again it answers the first outcomes; one of which only a part is known is refused with 409 \
             `group_partly_known`, one with an event twice with `duplicate_in_group`.",
        )
        .parameter(header(
            "Prefer",
            "`return=minimal` leaves applied events out of the results; `index` tells the others.",
            json!({"type": "string"}),
        ))
        .answers(200, "One result an event, in the order sent.", &reference("EventResults"))
        .fails(&[402, 404, 409, 422])
        .writes();
    let either = json!({"oneOf": [reference("Event"), {"type": "array", "items": reference("Event"), "maxItems": 10_000}, reference("EventGroup")]});
    operation.body = Some(body(&[
        ("application/json", either),
        (
            "application/x-ndjson",
            json!({"type": "string", "description": "One event as JSON a line.", "contentMediaType": "application/json"}),
        ),
        ("application/msgpack", json!({"type": "string", "description": MSGPACK})),
        ("application/cloudevents+json", reference("CloudEvent")),
        (
            "application/cloudevents-batch+json",
            json!({"type": "array", "items": reference("CloudEvent"), "maxItems": 10_000}),
        ),
    ]));
    operation
}

const MSGPACK: &str = "A map with the JSON names, or an array of such maps or of arrays in the order id, customer, currency, amount, \
    time in ms since 1970, and optionally policy and source. Amounts are integers or decimal strings; floats are refused.";

fn cloud_events() -> Operation {
    let mut operation = Operation::new("Usage", "postCloudEvents", "CloudEvents from existing OpenMeter clients")
        .about("204 when all were applied or duplicates; else the first rejection's problem, with a list of all.")
        .fails(&[402, 404, 409, 422])
        .writes();
    operation.answers.push((204, json!({"description": "All were applied or duplicates."})));
    let many = json!({"type": "array", "items": reference("CloudEvent"), "maxItems": 10_000});
    operation.body = Some(body(&[
        ("application/json", json!({"oneOf": [reference("CloudEvent"), many]})),
        ("application/cloudevents+json", reference("CloudEvent")),
        ("application/cloudevents-batch+json", many),
    ]));
    operation
}

fn body(types: &[(&str, Value)]) -> Value {
    let content: Map<String, Value> =
        types.iter().map(|(name, schema)| ((*name).to_owned(), json!({"schema": schema}))).collect();
    json!({"required": true, "content": content})
}

fn entries() -> Operation {
    Operation::new("Wallets", "listEntries", "A wallet's history, newest first")
        .parameter(limit())
        .parameter(query("before", "Entries older than this one.", position()))
        .parameter(query("cursor", "The same, as `next_cursor` of the page before.", position()))
        .about("Where the log has been retired, history ends with 410 `history_retired`; `first` is the first position kept.")
        .pages("Entry")
        .fails(&[404, 409, 410, 422, 503])
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn from_to(operation: Operation) -> Operation {
    operation
        .parameter(query("from", "The first instant of the period; the beginning of the month if left out.", time()))
        .parameter(query("to", "The first instant behind it; the end of the month if left out.", time()))
}

fn statement() -> Operation {
    let mut operation = from_to(Operation::new("Reports", "statement", "What moved a wallet's balance in a period"))
        .parameter(query("format", "Before `Accept`, where both are given.", json!({"type": "string", "enum": ["json", "csv"]})))
        .about(
            "`opening` and the amounts of all lines make `closing`, exactly; statements of adjoining periods add up. Movements count by the \
             server's time of their records, in the ledger's order; grants take effect and end when they say so, however much later that was \
             recorded. `debt` is part of the lines and not to be added to them. As CSV (`Accept: text/csv`) there is a line an entry, too.",
        )
        .ok("Statement")
        .fails(&[404, 410, 422, 500]);
    let csv = json!({"schema": {"type": "string", "description": "RFC 4180, with a line of headings. 200,000 entries at most."}});
    operation.answers[0].1["content"]["text/csv"] = csv;
    operation
}

fn usage() -> Operation {
    let text = || json!({"type": "string", "minLength": 1, "maxLength": 128});
    let spans = json!({"type": "string", "enum": ["hour", "day", "month"], "default": "day"});
    from_to(Operation::new("Reports", "usage", "Debits by meter and hour, day or month"))
        .parameter(query("customer", "Usage of this customer's wallets only.", text()))
        .parameter(query("currency", "Usage of this currency only.", text()))
        .parameter(query("meter", "Usage of this meter only.", text()))
        .parameter(query("by", "The spans of the calendar, in UTC.", spans))
        .parameter(query("cursor", "`next_cursor` of the page before.", position()))
        .about(
            "By the events' own time; a period has 1,000 spans at most. With `customer` the answer is whole. Without, it is read off the log a \
             piece at a time: a span may stand on several pages, and its parts are to be added, until `next_cursor` is null.",
        )
        .pages("UsageBucket")
        .fails(&[404, 410, 422, 500])
}

fn balances() -> Operation {
    let text = || json!({"type": "string", "minLength": 1, "maxLength": 128});
    let page = json!({
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "array", "items": reference("BalanceTotal")}},
    });
    Operation::new("Wallets", "balances", "Sums over wallets, one a currency")
        .parameter(query("customer", "Wallets of this customer only.", text()))
        .parameter(query("currency", "Wallets of this currency only.", text()))
        .parameter(query(
            "product",
            "What is left of the credits that were bought as this package, or paid in by this deposit form, only.",
            text(),
        ))
        .answers(200, "The sums.", &page)
}

fn grants() -> Operation {
    let mut operation = Operation::new("Grants", "postGrants", "Add credits: one grant or many")
        .about("A wallet is made by its first grant. Of many, each grant stands on its own, and the answer is 200.")
        .takes("GrantRequest")
        .fails(&[402, 404, 409, 422]);
    let many = json!({"type": "array", "items": reference("GrantRequest"), "maxItems": 10_000});
    operation.body = Some(body(&[("application/json", json!({"oneOf": [reference("GrantRequest"), many]}))]));
    operation.answers(200, "Of many: one result a grant.", &reference("GrantResults")).answers(
        201,
        "Of one: the grant.",
        &reference("Grant"),
    )
}

/// An operation that is made once for its key, and answers 201.
fn keyed(operation: Operation, schema: &str) -> Operation {
    let mut operation = operation.parameter(header(
        "Idempotency-Key",
        "Same key and content: the first answer again. Same key, other content: 409.",
        json!({"type": "string", "minLength": 1, "maxLength": 120, "pattern": "^[!-~]+$"}),
    ));
    let replayed = json!({"description": "`true` when the first answer is given again.", "schema": {"type": "string", "const": "true"}});
    let content = json!({"application/json": {"schema": reference(schema)}});
    let answer = json!({"description": "Made.", "headers": {"Idempotency-Replayed": replayed}, "content": content});
    operation.answers.push((201, answer));
    operation
}

fn reverse() -> Operation {
    let mut operation = keyed(
        Operation::new("Corrections", "reverseEntry", "Take a debit back, or a part of it")
            .about(
                "Debits, charges and adjustments that took credits can be taken back. The amount goes back from its end: debt first, then \
                 the grants that paid, the last one spent first; a depleted grant that has not reached its end is open again. What came of a \
                 grant that has expired or was voided is lost, or granted anew. Several reversals of one debit add up, and never exceed it.",
            )
            .takes("ReversalRequest")
            .fails(&[404, 409, 410, 422]),
        "Reversal",
    );
    if let Some(body) = &mut operation.body {
        body["required"] = json!(false);
    }
    operation
}

fn holds() -> Operation {
    let mut operation = Operation::new("Holds", "postHolds", "Set credits aside: one hold or many")
        .about(
            "The same `id` and content is the same hold, other content a conflict. Of many, each hold stands on its own, and the answer \
             is 200.",
        )
        .takes("HoldRequest")
        .fails(&[402, 404, 409, 410, 422]);
    let many = json!({"type": "array", "items": reference("HoldRequest"), "maxItems": 10_000});
    operation.body = Some(body(&[("application/json", json!({"oneOf": [reference("HoldRequest"), many]}))]));
    let replayed =
        json!({"description": "`true` when the hold was there before.", "schema": {"type": "string", "const": "true"}});
    let answer = |description: &str, schema: &str| {
        let content = json!({"application/json": {"schema": reference(schema)}});
        json!({"description": description, "headers": {"Idempotency-Replayed": replayed}, "content": content})
    };
    operation.answers =
        vec![(200, answer("Of many: one result a hold.", "HoldResults")), (201, answer("Of one: the hold.", "Hold"))];
    operation
}

fn captures() -> Operation {
    let many = json!({"type": "array", "items": reference("NamedCaptureRequest"), "maxItems": 10_000});
    let mut operation = Operation::new("Holds", "postCaptures", "Take credits from many holds")
        .about("Each capture stands on its own.")
        .takes("NamedCaptureRequest")
        .ok("CaptureResults")
        .fails(&[422]);
    operation.body = Some(body(&[("application/json", many)]));
    operation
}

fn list_holds() -> Operation {
    let text = || json!({"type": "string", "minLength": 1, "maxLength": 128});
    let customer = query("customer", "Whose holds.", text());
    Operation::new("Holds", "listHolds", "A customer's open holds, those that end first coming first in each currency")
        .list()
        .parameter(Value::Object(
            customer
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), if key == "required" { json!(true) } else { value.clone() }))
                .collect(),
        ))
        .parameter(query("currency", "Holds in this currency only.", text()))
        .parameter(query("status", "Only open holds are listed.", json!({"type": "string", "enum": ["open"]})))
        .pages("Hold")
        .fails(&[422])
}

fn list_grants() -> Operation {
    let text = |max: usize| json!({"type": "string", "minLength": 1, "maxLength": max});
    let mut customer = query("customer", "Whose grants.", text(128));
    customer["required"] = json!(true);
    Operation::new(
        "Grants",
        "listGrants",
        "The grants that a customer's wallets hold, in the order in which they were made",
    )
    .parameter(customer)
    .parameter(query("currency", "Of the wallet in this currency only.", text(64)))
    .parameter(query(
        "status",
        "In this status only.",
        json!({"type": "string", "enum": ["active", "scheduled", "pending"]}),
    ))
    .list()
    .pages("Grant")
    .fails(&[404, 410])
}

fn feed() -> Operation {
    Operation::new("Feed", "feed", "What happened behind a position, in order, at least once")
        .parameter(query("after", "Events of records behind this position; 0 is the beginning.", position()))
        .parameter(query("cursor", "The same, as `next_cursor` of the page before.", position()))
        .parameter(limit())
        .parameter(query("types", "Types to select, separated by commas.", json!({"type": "string"})))
        .parameter(query(
            "wait_ms",
            "How long to wait for the next event when there is none.",
            json!({"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "default": 0}),
        ))
        .about("A position that has been retired is refused with 410 `history_retired`; `first` is one that is not.")
        .ok("FeedPage")
        .fails(&[410, 429, 503])
}

fn metrics() -> Operation {
    let mut operation = Operation::new("Operations", "metrics", "Counters in Prometheus' text format");
    let content = json!({"text/plain": {"schema": {"type": "string"}}});
    operation.answers.push((200, json!({"description": "The counters.", "content": content})));
    operation
}
