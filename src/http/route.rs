//! The table of routes: method, path, scope and action of every endpoint, and how a path finds its row.
//!
//! The table is the one list of what the server answers: dispatch, `Allow` headers, scopes, metrics and the check of the OpenAPI
//! document all read it. A linear walk over some sixty rows costs about a microsecond, on routes where nobody will notice; the one
//! hot route is matched before it ([`EVENTS`]).

use super::auth::Scopes;
use super::percent;
use std::borrow::Cow;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Events,
    CloudEvents,
    Check,
    GetWallet,
    PatchWallet,
    ListWallets,
    ListEntries,
    Balances,
    PostGrants,
    GetGrant,
    VoidGrant,
    PatchGrant,
    PutCurrency,
    GetCurrency,
    ListCurrencies,
    PutMeter,
    GetMeter,
    ListMeters,
    PutAlerts,
    GetAlerts,
    Feed,
    PostKey,
    ListKeys,
    RevokeKey,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Stats,
    PostSnapshot,
    ReverseEntry,
    PostAdjustment,
    PostCharge,
    GetCharge,
    PostHolds,
    PostCaptures,
    ListHolds,
    GetHold,
    CaptureHold,
    ReleaseHold,
    ExtendHold,
    ListGrants,
    ActivateGrant,
    PutRecurring,
    GetRecurring,
    ListRecurring,
    DeleteRecurring,
    DeleteAlerts,
    GetDefaultAlerts,
    PutDefaultAlerts,
    DeleteDefaultAlerts,
    GetCommitments,
    PutCommitments,
    DeleteCommitments,
    PatchCurrency,
    PatchMeter,
    PutCustomer,
    PatchCustomer,
    GetCustomer,
    ListCustomers,
    ArchiveCustomer,
    ErasePersonalData,
    Statement,
    PastBalance,
    Usage,
    Holders,
    PutPackage,
    GetPackage,
    ListPackages,
    GetRecharge,
    PutRecharge,
    PostTopUp,
    GetTopUp,
    ListTopUps,
    CancelTopUp,
    ConfirmTopUp,
    RefundTopUp,
    PutRule,
    GetRule,
    DeleteRule,
    GetInvoice,
    PostMethod,
    ListMethods,
    DefaultMethod,
    DeleteMethod,
    ResumeRule,
    ProviderWebhook,
    PostWebhookEndpoint,
    ListWebhookEndpoints,
    GetWebhookEndpoint,
    PatchWebhookEndpoint,
    DeleteWebhookEndpoint,
    RotateWebhookSecret,
    TestWebhookEndpoint,
    ListDeliveries,
    GetDelivery,
    Redeliver,
    PostTransfer,
    GetTransfer,
    /// A page for customers, not for programs.
    Page(Page),
    PostPortalSession,
    GetPortalLimits,
    PutPortalLimits,
    DeletePortalSessions,
    PayInvoice,
    PutWallet,
    PutDepositForm,
    GetDepositForm,
    ListDepositForms,
}

/// A page for customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Style,
    Returned,
    Checkout,
    Pay,
    Setup,
    Collect,
    Authenticate,
    Confirm,
    Deposit,
    Portal(PortalPage),
}

/// A page of the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortalPage {
    Root,
    Open,
    Leave,
    Overview,
    History,
    Buy,
    PostBuy,
    Purchase,
    PostPurchase,
    Automatic,
    PostAutomatic,
    Cards,
    PostCards,
    Invoices,
    Invoice,
}

impl PortalPage {
    /// Whether it is a form that is sent.
    pub(crate) const fn is_post(self) -> bool {
        match self {
            PortalPage::Leave
            | PortalPage::PostBuy
            | PortalPage::PostPurchase
            | PortalPage::PostAutomatic
            | PortalPage::PostCards => true,
            PortalPage::Root
            | PortalPage::Open
            | PortalPage::Overview
            | PortalPage::History
            | PortalPage::Buy
            | PortalPage::Purchase
            | PortalPage::Automatic
            | PortalPage::Cards
            | PortalPage::Invoices
            | PortalPage::Invoice => false,
        }
    }
}

/// One row: an endpoint.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Segments in braces are parameters.
    pub(crate) path: &'static str,
    /// The scopes of which a key needs one; `None` needs no key.
    pub(crate) scopes: Option<Scopes>,
    pub(crate) action: Action,
}

impl Route {
    /// Whether it writes to the log, usage aside, which looks after its room itself.
    #[expect(clippy::too_many_lines, reason = "a table, one entry an action")]
    pub(crate) const fn is_command(&self) -> bool {
        match self.action {
            Action::PatchWallet
            | Action::PostGrants
            | Action::VoidGrant
            | Action::PatchGrant
            | Action::PutCurrency
            | Action::PutMeter
            | Action::PutAlerts
            | Action::DeleteAlerts
            | Action::PutDefaultAlerts
            | Action::DeleteDefaultAlerts
            | Action::PutCommitments
            | Action::DeleteCommitments
            | Action::PostKey
            | Action::RevokeKey
            | Action::ReverseEntry
            | Action::PostAdjustment
            | Action::PostCharge
            | Action::PostTransfer
            | Action::PostHolds
            | Action::PostCaptures
            | Action::CaptureHold
            | Action::ReleaseHold
            | Action::ExtendHold
            | Action::ActivateGrant
            | Action::PutRecurring
            | Action::DeleteRecurring
            | Action::PatchCurrency
            | Action::PatchMeter
            | Action::PutCustomer
            | Action::PatchCustomer
            | Action::ArchiveCustomer
            | Action::ErasePersonalData
            | Action::PutPackage
            | Action::PutRecharge
            | Action::PostTopUp
            | Action::CancelTopUp
            | Action::ConfirmTopUp
            | Action::RefundTopUp
            | Action::PutRule
            | Action::DeleteRule
            | Action::PostMethod
            | Action::DefaultMethod
            | Action::DeleteMethod
            | Action::ResumeRule
            | Action::PostWebhookEndpoint
            | Action::PatchWebhookEndpoint
            | Action::DeleteWebhookEndpoint
            | Action::RotateWebhookSecret
            | Action::TestWebhookEndpoint
            | Action::Redeliver
            | Action::PutPortalLimits
            | Action::DeletePortalSessions
            | Action::PayInvoice
            | Action::PutWallet
            | Action::PutDepositForm => true,
            Action::Events
            | Action::CloudEvents
            | Action::Check
            | Action::GetWallet
            | Action::ListWallets
            | Action::ListEntries
            | Action::Balances
            | Action::GetGrant
            | Action::GetCurrency
            | Action::ListCurrencies
            | Action::GetMeter
            | Action::ListMeters
            | Action::GetAlerts
            | Action::GetDefaultAlerts
            | Action::GetCommitments
            | Action::Feed
            | Action::ListKeys
            | Action::PostSnapshot
            | Action::Health
            | Action::Ready
            | Action::Metrics
            | Action::OpenApi
            | Action::Stats
            | Action::GetCharge
            | Action::GetTransfer
            | Action::ListHolds
            | Action::GetHold
            | Action::ListGrants
            | Action::GetRecurring
            | Action::ListRecurring
            | Action::Statement
            | Action::PastBalance
            | Action::Usage
            | Action::Holders
            | Action::GetCustomer
            | Action::ListCustomers
            | Action::GetPackage
            | Action::ListPackages
            | Action::GetRecharge
            | Action::GetTopUp
            | Action::ListTopUps
            | Action::GetRule
            | Action::GetInvoice
            | Action::ListMethods
            | Action::ProviderWebhook
            | Action::Page(_)
            | Action::ListWebhookEndpoints
            | Action::GetWebhookEndpoint
            | Action::ListDeliveries
            | Action::GetDelivery
            | Action::PostPortalSession
            | Action::GetPortalLimits
            | Action::GetDepositForm
            | Action::ListDepositForms => false,
        }
    }
}

const fn route(method: &'static str, path: &'static str, scopes: Scopes, action: Action) -> Route {
    Route { method, path, scopes: Some(scopes), action }
}

const fn open(path: &'static str, action: Action) -> Route {
    Route { method: "GET", path, scopes: None, action }
}

const fn form(path: &'static str, action: Action) -> Route {
    Route { method: "POST", path, scopes: None, action }
}

const fn portal(page: PortalPage) -> Action {
    Action::Page(Page::Portal(page))
}

const USAGE: Scopes = Scopes::USAGE;
const READ: Scopes = Scopes::READ;
const GRANTS: Scopes = Scopes::GRANTS;
const TOP_UPS: Scopes = Scopes::TOP_UPS;
const ADMIN: Scopes = Scopes::ADMIN;

/// Index of `POST /v1/events` in [`ROUTES`].
pub(crate) const EVENTS: usize = 0;

/// Every endpoint.
pub(crate) const ROUTES: &[Route] = &[
    route("POST", "/v1/events", USAGE, Action::Events),
    route("POST", "/api/v1/events", USAGE, Action::CloudEvents),
    route("POST", "/v1/check", USAGE.and(READ), Action::Check),
    route("GET", "/v1/wallets/{customer}/{currency}", READ, Action::GetWallet),
    route("PATCH", "/v1/wallets/{customer}/{currency}", GRANTS, Action::PatchWallet),
    route("GET", "/v1/wallets/{customer}/{currency}/entries", READ, Action::ListEntries),
    route("GET", "/v1/wallets/{customer}/{currency}/alerts", READ, Action::GetAlerts),
    route("PUT", "/v1/wallets/{customer}/{currency}/alerts", GRANTS, Action::PutAlerts),
    route("DELETE", "/v1/wallets/{customer}/{currency}/alerts", GRANTS, Action::DeleteAlerts),
    route("GET", "/v1/customers/{customer}/wallets", READ, Action::ListWallets),
    route("GET", "/v1/customers/{customer}/commitments/{currency}", READ, Action::GetCommitments),
    route("PUT", "/v1/customers/{customer}/commitments/{currency}", GRANTS, Action::PutCommitments),
    route("DELETE", "/v1/customers/{customer}/commitments/{currency}", GRANTS, Action::DeleteCommitments),
    route("GET", "/v1/balances", READ, Action::Balances),
    route("POST", "/v1/grants", GRANTS, Action::PostGrants),
    route("GET", "/v1/grants/{grant}", READ, Action::GetGrant),
    route("PATCH", "/v1/grants/{grant}", GRANTS, Action::PatchGrant),
    route("POST", "/v1/grants/{grant}/void", GRANTS, Action::VoidGrant),
    route("GET", "/v1/grants", READ, Action::ListGrants),
    route("POST", "/v1/grants/{grant}/activate", GRANTS, Action::ActivateGrant),
    route("GET", "/v1/customers/{customer}/recurring-grants", READ, Action::ListRecurring),
    route("GET", "/v1/customers/{customer}/recurring-grants/{id}", READ, Action::GetRecurring),
    route("PUT", "/v1/customers/{customer}/recurring-grants/{id}", GRANTS, Action::PutRecurring),
    route("DELETE", "/v1/customers/{customer}/recurring-grants/{id}", GRANTS, Action::DeleteRecurring),
    route("GET", "/v1/credit-currencies", READ, Action::ListCurrencies),
    route("GET", "/v1/credit-currencies/{currency}", READ, Action::GetCurrency),
    route("PUT", "/v1/credit-currencies/{currency}", ADMIN, Action::PutCurrency),
    route("GET", "/v1/credit-currencies/{currency}/alerts", READ, Action::GetDefaultAlerts),
    route("PUT", "/v1/credit-currencies/{currency}/alerts", ADMIN, Action::PutDefaultAlerts),
    route("DELETE", "/v1/credit-currencies/{currency}/alerts", ADMIN, Action::DeleteDefaultAlerts),
    route("GET", "/v1/meters", READ, Action::ListMeters),
    route("GET", "/v1/meters/{event_type}", READ, Action::GetMeter),
    route("PUT", "/v1/meters/{event_type}", ADMIN, Action::PutMeter),
    route("GET", "/v1/feed", READ, Action::Feed),
    route("GET", "/v1/api-keys", ADMIN, Action::ListKeys),
    route("POST", "/v1/api-keys", ADMIN, Action::PostKey),
    route("POST", "/v1/api-keys/{key}/revoke", ADMIN, Action::RevokeKey),
    route("GET", "/v1/stats", READ, Action::Stats),
    route("POST", "/v1/snapshots", ADMIN, Action::PostSnapshot),
    route("GET", "/v1/wallets/{customer}/{currency}/statement", READ, Action::Statement),
    route("GET", "/v1/wallets/{customer}/{currency}/balance", READ, Action::PastBalance),
    route("GET", "/v1/usage", READ, Action::Usage),
    route("GET", "/v1/credit-currencies/{currency}/holders", READ, Action::Holders),
    route("PATCH", "/v1/credit-currencies/{currency}", ADMIN, Action::PatchCurrency),
    route("PATCH", "/v1/meters/{event_type}", ADMIN, Action::PatchMeter),
    route("GET", "/v1/customers", READ, Action::ListCustomers),
    route("GET", "/v1/customers/{customer}", READ, Action::GetCustomer),
    route("PUT", "/v1/customers/{customer}", ADMIN, Action::PutCustomer),
    route("PATCH", "/v1/customers/{customer}", ADMIN, Action::PatchCustomer),
    route("POST", "/v1/customers/{customer}/archive", ADMIN, Action::ArchiveCustomer),
    route("DELETE", "/v1/customers/{customer}/personal-data", ADMIN, Action::ErasePersonalData),
    open("/healthz", Action::Health),
    open("/readyz", Action::Ready),
    open("/metrics", Action::Metrics),
    open("/openapi.json", Action::OpenApi),
    route("POST", "/v1/holds", USAGE, Action::PostHolds),
    route("GET", "/v1/holds", READ, Action::ListHolds),
    route("POST", "/v1/holds/captures", USAGE, Action::PostCaptures),
    route("GET", "/v1/holds/{hold}", READ, Action::GetHold),
    route("POST", "/v1/holds/{hold}/capture", USAGE, Action::CaptureHold),
    route("POST", "/v1/holds/{hold}/release", USAGE, Action::ReleaseHold),
    route("POST", "/v1/holds/{hold}/extend", USAGE, Action::ExtendHold),
    route("POST", "/v1/entries/{entry}/reverse", GRANTS, Action::ReverseEntry),
    route("POST", "/v1/adjustments", GRANTS, Action::PostAdjustment),
    route("POST", "/v1/transfers", GRANTS, Action::PostTransfer),
    route("GET", "/v1/transfers/{transfer}", READ.and(GRANTS), Action::GetTransfer),
    route("GET", "/v1/credit-currencies/{currency}/recharge-config", READ, Action::GetRecharge),
    route("PUT", "/v1/credit-currencies/{currency}/recharge-config", ADMIN, Action::PutRecharge),
    route("GET", "/v1/credit-packages", READ, Action::ListPackages),
    route("GET", "/v1/credit-packages/{package}", READ, Action::GetPackage),
    route("PUT", "/v1/credit-packages/{package}", ADMIN, Action::PutPackage),
    route("POST", "/v1/customers/{customer}/payment-methods", TOP_UPS, Action::PostMethod),
    route("GET", "/v1/customers/{customer}/payment-methods", READ.and(TOP_UPS), Action::ListMethods),
    route("POST", "/v1/customers/{customer}/payment-methods/{id}/default", TOP_UPS, Action::DefaultMethod),
    route("DELETE", "/v1/customers/{customer}/payment-methods/{id}", TOP_UPS, Action::DeleteMethod),
    route("POST", "/v1/top-ups", TOP_UPS, Action::PostTopUp),
    route("GET", "/v1/top-ups", READ.and(TOP_UPS), Action::ListTopUps),
    route("GET", "/v1/top-ups/{top_up}", READ.and(TOP_UPS), Action::GetTopUp),
    route("POST", "/v1/top-ups/{top_up}/cancel", TOP_UPS, Action::CancelTopUp),
    route("POST", "/v1/top-ups/{top_up}/refund", TOP_UPS, Action::RefundTopUp),
    route("POST", "/v1/top-ups/{top_up}/confirm", TOP_UPS, Action::ConfirmTopUp),
    route("GET", "/v1/customers/{customer}/auto-topup-rules/{currency}", READ.and(TOP_UPS), Action::GetRule),
    route("PUT", "/v1/customers/{customer}/auto-topup-rules/{currency}", TOP_UPS, Action::PutRule),
    route("DELETE", "/v1/customers/{customer}/auto-topup-rules/{currency}", TOP_UPS, Action::DeleteRule),
    route("POST", "/v1/customers/{customer}/auto-topup-rules/{currency}/resume", TOP_UPS, Action::ResumeRule),
    route("POST", "/v1/charges", TOP_UPS, Action::PostCharge),
    route("GET", "/v1/charges/{charge}", READ.and(TOP_UPS), Action::GetCharge),
    route("GET", "/v1/invoices/{invoice}", READ.and(TOP_UPS), Action::GetInvoice),
    route("POST", "/v1/invoices/{invoice}/pay", TOP_UPS, Action::PayInvoice),
    Route { method: "POST", path: "/v1/providers/{provider}/webhook", scopes: None, action: Action::ProviderWebhook },
    open("/portal/portal.css", Action::Page(Page::Style)),
    open("/payments/{end}", Action::Page(Page::Returned)),
    open("/checkout/{session}", Action::Page(Page::Checkout)),
    form("/checkout/{session}", Action::Page(Page::Pay)),
    open("/setup/{session}", Action::Page(Page::Setup)),
    form("/setup/{session}", Action::Page(Page::Collect)),
    open("/authenticate/{charge}", Action::Page(Page::Authenticate)),
    form("/authenticate/{charge}", Action::Page(Page::Confirm)),
    route("POST", "/v1/webhook-endpoints", ADMIN, Action::PostWebhookEndpoint),
    route("GET", "/v1/webhook-endpoints", READ, Action::ListWebhookEndpoints),
    route("GET", "/v1/webhook-endpoints/{endpoint}", READ, Action::GetWebhookEndpoint),
    route("PATCH", "/v1/webhook-endpoints/{endpoint}", ADMIN, Action::PatchWebhookEndpoint),
    route("DELETE", "/v1/webhook-endpoints/{endpoint}", ADMIN, Action::DeleteWebhookEndpoint),
    route("POST", "/v1/webhook-endpoints/{endpoint}/rotate-secret", ADMIN, Action::RotateWebhookSecret),
    route("POST", "/v1/webhook-endpoints/{endpoint}/test", ADMIN, Action::TestWebhookEndpoint),
    route("GET", "/v1/webhook-endpoints/{endpoint}/deliveries", READ, Action::ListDeliveries),
    route("GET", "/v1/deliveries/{delivery}", READ, Action::GetDelivery),
    route("POST", "/v1/deliveries/{delivery}/redeliver", ADMIN, Action::Redeliver),
    route("POST", "/v1/portal-sessions", TOP_UPS, Action::PostPortalSession),
    route("DELETE", "/v1/customers/{customer}/portal-sessions", TOP_UPS, Action::DeletePortalSessions),
    route("GET", "/v1/credit-currencies/{currency}/portal-limits", READ, Action::GetPortalLimits),
    route("PUT", "/v1/credit-currencies/{currency}/portal-limits", ADMIN, Action::PutPortalLimits),
    route("PUT", "/v1/wallets/{customer}/{currency}", GRANTS, Action::PutWallet),
    route("GET", "/v1/deposit-forms", READ, Action::ListDepositForms),
    route("GET", "/v1/deposit-forms/{form}", READ, Action::GetDepositForm),
    route("PUT", "/v1/deposit-forms/{form}", ADMIN, Action::PutDepositForm),
    open("/deposits/{top_up}", Action::Page(Page::Deposit)),
    open("/portal", portal(PortalPage::Root)),
    open("/portal/open", portal(PortalPage::Open)),
    form("/portal/leave", portal(PortalPage::Leave)),
    open("/portal/{currency}/overview", portal(PortalPage::Overview)),
    open("/portal/{currency}/history", portal(PortalPage::History)),
    open("/portal/{currency}/buy", portal(PortalPage::Buy)),
    form("/portal/{currency}/buy", portal(PortalPage::PostBuy)),
    open("/portal/{currency}/purchase", portal(PortalPage::Purchase)),
    form("/portal/{currency}/purchase", portal(PortalPage::PostPurchase)),
    open("/portal/{currency}/automatic", portal(PortalPage::Automatic)),
    form("/portal/{currency}/automatic", portal(PortalPage::PostAutomatic)),
    open("/portal/{currency}/cards", portal(PortalPage::Cards)),
    form("/portal/{currency}/cards", portal(PortalPage::PostCards)),
    open("/portal/{currency}/invoices", portal(PortalPage::Invoices)),
    open("/portal/{currency}/invoices/{number}", portal(PortalPage::Invoice)),
];

/// The parameters of a path, in order. Two are the most that a path has.
pub(crate) type Parameters<'p> = [Cow<'p, str>; 2];

/// What a method and a path lead to.
#[derive(Debug)]
pub(crate) enum Found<'p> {
    /// A row, by its index, and the path's parameters.
    Route(usize, Parameters<'p>),
    /// The path is known, with these methods.
    OtherMethods(String),
    /// The path is known, but a parameter is not percent-encoded UTF-8.
    BadPath,
    /// There is nothing at the path.
    Nothing,
}

/// Finds the row. `HEAD` is answered as `GET`; the connection leaves the body out.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Found<'p> {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut allowed: Vec<&str> = Vec::new();
    for (index, route) in ROUTES.iter().enumerate() {
        let Some(parameters) = match_path(route.path, path) else { continue };
        if route.method != method {
            allowed.push(route.method);
            continue;
        }
        let [first, second] = parameters.map(|raw| percent::decode(raw.as_bytes()));
        return match (first, second) {
            (Some(first), Some(second)) => Found::Route(index, [first, second]),
            _ => Found::BadPath,
        };
    }
    if allowed.is_empty() {
        return Found::Nothing;
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    Found::OtherMethods(allowed.join(", "))
}

/// The raw parameters, if the path fits the template. A parameter is never empty.
fn match_path<'p>(template: &str, path: &'p str) -> Option<[&'p str; 2]> {
    let (mut parameters, mut count) = ([""; 2], 0);
    let mut actual = path.split('/');
    for expected in template.split('/') {
        let segment = actual.next()?;
        if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            parameters[count] = segment;
            count += 1;
        } else if expected != segment {
            return None;
        }
    }
    actual.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, path: &str, expected: &str) {
        let said = match find(method, path) {
            Found::Route(index, [first, second]) => format!("{} {first} {second}", ROUTES[index].path),
            Found::OtherMethods(allow) => format!("405 {allow}"),
            Found::BadPath => "400".into(),
            Found::Nothing => "404".into(),
        };
        assert_eq!(said.trim_end(), expected, "{method} {path}");
    }

    #[test]
    fn paths_find_their_rows() {
        check("POST", "/v1/events", "/v1/events");
        check("GET", "/v1/wallets/cus_1/credits", "/v1/wallets/{customer}/{currency} cus_1 credits");
        check("HEAD", "/v1/wallets/a%2Fb/c%20d", "/v1/wallets/{customer}/{currency} a/b c d");
        check("GET", "/v1/wallets/cus_1/credits/entries", "/v1/wallets/{customer}/{currency}/entries cus_1 credits");
        check("GET", "/v1/wallets//credits", "404");
        check("GET", "/v1/wallets/x", "404");
        check("GET", "/v1/wallets/x/y/", "404");
        check("GET", "/", "404");
        check("GET", "*", "404");
        check("GET", "/v1/wallets/%FF/x", "400");
        check("GET", "/v1/events", "405 POST");
        check("DELETE", "/v1/meters/x", "405 GET, PUT, PATCH, HEAD");
        check("OPTIONS", "/healthz", "405 GET, HEAD");
    }

    #[test]
    fn rows_are_unique_and_the_hot_one_is_where_it_is_said_to_be() {
        assert_eq!(ROUTES[EVENTS].action, Action::Events);
        for (index, route) in ROUTES.iter().enumerate() {
            assert!(
                matches!(find(route.method, route.path), Found::Route(found, _) if found == index),
                "{}",
                route.path
            );
        }
    }
}
