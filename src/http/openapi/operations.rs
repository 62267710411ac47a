//! What each operation takes and answers.

mod customers;

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

/// The operation behind an action; `None` for what is not built yet.
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
        Action::ListWallets => {
            Operation::new("Wallets", "listWallets", "All wallets of a customer").list().pages("Wallet")
        }
        Action::ListEntries => entries(),
        Action::Balances => balances(),
        Action::GetAlerts => {
            Operation::new("Wallets", "getAlerts", "A wallet's alert levels").ok("Alerts").fails(&[404])
        }
        Action::PutAlerts => Operation::new("Wallets", "setAlerts", "Replace a wallet's alert levels")
            .about("A level that the balance is already below waits until the balance has been above it.")
            .takes("AlertsRequest")
            .ok("Alerts")
            .fails(&[404, 409, 422]),
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
        Action::PutCustomer => customers::put(),
        Action::PatchCustomer => customers::patch(),
        Action::GetCustomer => customers::get(),
        Action::ListCustomers => customers::list(),
        Action::ArchiveCustomer => customers::archive(),
        Action::ErasePersonalData => customers::erase(),
        Action::Later(_) => return None,
    })
}

fn events() -> Operation {
    let mut operation = Operation::new("Usage", "postEvents", "Debit wallets for usage: one event or a batch")
        .about(
            "Events are identified by (source, id): sent again they are `duplicate` and change nothing. In a batch each event stands on \
             its own, and the answer is 200 whatever became of them; a single object that is rejected answers with the rejection's \
             problem. A structural fault anywhere refuses the whole request and names index, field and byte.",
        )
        .parameter(header(
            "Prefer",
            "`return=minimal` leaves applied events out of the results; `index` tells the others.",
            json!({"type": "string"}),
        ))
        .answers(200, "One result an event, in the order sent.", &reference("EventResults"))
        .fails(&[402, 404, 409, 422])
        .writes();
    let either =
        json!({"oneOf": [reference("Event"), {"type": "array", "items": reference("Event"), "maxItems": 10_000}]});
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
