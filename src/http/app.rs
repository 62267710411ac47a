//! The application behind the connections: takes a request to its handler and its outcome to an answer.

use super::auth::{Caller, Gate};
use super::body::{self, InFlight, Place};
use super::idempotency::{self, InProgress, Once};
use super::limits::Limits;
use super::metrics::Metrics;
use super::problem::{Problem, Reason};
use super::reply::{Reply, RequestId, RequestIds};
use super::route::{self, Action, Found, Page, Parameters, ROUTES, Route};
use super::{api, decode, pages, portal};
use crate::engine::{Engine, Unavailable};
use crate::metrics::Extras;
use crate::payments::Payments;
use api::webhooks::WebhookRules;
use bytes::Bytes;
use hyper::body::Body;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use portal::{Portal, PortalSettings};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Log bytes that have to be free before a command that is not usage begins: more than any of them takes at once.
const COMMAND_LOG_BYTES: u64 = 64 << 10;

/// Everything that a request needs; one for each server.
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) gate: Gate,
    pub(crate) limits: Limits,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Metrics,
    pub(crate) feed_waiters: AtomicUsize,
    /// Places for reports: so many are computed at once.
    pub(crate) reports: Arc<Semaphore>,
    pub(crate) in_progress: InProgress,
    /// The payment providers, if any is connected.
    pub(crate) payments: Option<Payments>,
    pub(crate) webhooks: WebhookRules,
    pub(crate) portal: Portal,
    /// True from the moment when the server was told to stop.
    pub(crate) draining: watch::Sender<bool>,
    ids: RequestIds,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("gate", &self.gate).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A request on its way to its handler.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) app: &'a App,
    pub(crate) parts: &'a Parts,
    parameters: &'a Parameters<'a>,
    /// The `Idempotency-Key`, if it is a POST that came with one.
    pub(crate) once: Option<Once>,
}

impl<'a> Call<'a> {
    pub(crate) fn engine(&self) -> &'a Engine {
        &self.app.engine
    }

    /// With the key that the request came with.
    pub(crate) fn with(self, once: Once) -> Self {
        Call { once: Some(once), ..self }
    }

    /// The path's first parameter.
    pub(crate) fn first(&self) -> &'a str {
        &self.parameters[0]
    }

    /// The path's second parameter.
    pub(crate) fn second(&self) -> &'a str {
        &self.parameters[1]
    }

    /// Receives a JSON body, or refuses any other.
    pub(crate) async fn json<B>(&self, body: B) -> Result<body::Received<'a>, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if !decode::is_json(&self.parts.headers) {
            return Err(self.refuse(body, unsupported("application/json")).await);
        }
        self.receive(body).await
    }

    /// Receives a body of any type.
    pub(crate) async fn receive<B>(&self, body: B) -> Result<body::Received<'a>, Problem>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        body::receive(self.app, &self.parts.headers, body).await
    }

    /// Reads a refused body away where that is sensible, so that its sender gets to read why.
    pub(crate) async fn refuse<B>(&self, body: B, problem: Problem) -> Problem
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body::worth_discarding(&self.parts.headers, &body) {
            body::discard(body).await;
        }
        problem
    }
}

/// The content type is none of those accepted.
pub(crate) fn unsupported(accepted: &'static str) -> Problem {
    Problem::new(Reason::UnsupportedMediaType, format!("send one of: {accepted}")).with_header("accept", accepted)
}

impl App {
    /// An application over an open engine. `process` is a random number that tells this process's request ids from others'.
    pub fn new(engine: Engine, gate: Gate, limits: Limits, process: u64) -> Self {
        let portal = Portal::new(&engine, PortalSettings::default());
        App {
            engine,
            gate,
            limits,
            in_flight: InFlight::default(),
            metrics: Metrics::new(),
            feed_waiters: AtomicUsize::new(0),
            reports: Arc::new(Semaphore::new(reports_at_once())),
            in_progress: InProgress::default(),
            payments: None,
            webhooks: WebhookRules::default(),
            portal,
            draining: watch::Sender::new(false),
            ids: RequestIds::new(process),
        }
    }

    /// The same with payment providers.
    #[must_use]
    pub fn with_payments(mut self, payments: Payments) -> Self {
        self.payments = Some(payments);
        self
    }

    /// With other rules for webhook endpoints than the usual ones.
    #[must_use]
    pub fn with_webhooks(mut self, rules: WebhookRules) -> Self {
        self.webhooks = rules;
        self
    }

    /// With another portal than the usual one.
    #[must_use]
    pub fn with_portal(mut self, settings: PortalSettings) -> Self {
        self.portal = Portal::new(&self.engine, settings);
        self
    }

    /// The server's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn next_id(&self) -> RequestId {
        self.ids.next()
    }

    /// Answers one request. Every outcome is an answer; the request is counted and, at debug level, logged.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (started, id) = (Instant::now(), self.next_id());
        let (parts, body) = request.into_parts();
        let (index, outcome) = self.route(&parts, id, body).await;
        let reply = outcome.unwrap_or_else(|problem| {
            tracing::debug!(%id, reason = ?problem.reason(), "problem");
            // To say why the server is not ready is not to refuse anything, and must not keep it from becoming so.
            let asks_about_operations = index.is_some_and(|index| ROUTES[index].scopes.is_none());
            if let Some(refusal) = problem.reason().refusal().filter(|_| !asks_about_operations) {
                self.metrics.refusals.note(refusal, Some(&id), problem.cause());
            }
            problem.into_reply(&id)
        });
        let took = started.elapsed();
        self.metrics.record(index, reply.status().as_u16(), took);
        tracing::debug!(%id, method = %parts.method, path = parts.uri.path(), status = reply.status().as_u16(), ?took, "request");
        reply.into_response(&id)
    }

    /// Finds the route, checks the key, and runs the handler.
    async fn route<B>(&self, parts: &Parts, id: RequestId, body: B) -> (Option<usize>, Result<Reply, Problem>)
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path = parts.uri.path();
        let hot = path == ROUTES[route::EVENTS].path && parts.method == Method::POST;
        let found =
            if hot { Found::Route(route::EVENTS, <_>::default()) } else { route::find(parts.method.as_str(), path) };
        let (index, parameters) = match found {
            Found::Route(index, parameters) => (index, parameters),
            other => {
                let none = Parameters::default();
                let call = Call { app: self, parts, parameters: &none, once: None };
                return (None, Err(call.refuse(body, not_found(other)).await));
            }
        };
        let call = Call { app: self, parts, parameters: &parameters, once: None };
        let route = &ROUTES[index];
        let outcome = match self.admit(route, parts).await {
            Ok(Some((caller, _place))) if idempotency::concerns(route, parts) => {
                // Apart, so that the futures of all others stay as small as they are.
                Box::pin(idempotency::answer(self, route, call, &caller, id, body)).await
            }
            Ok(_admitted) => dispatch(route, call, body).await,
            Err(problem) => Err(call.refuse(body, problem).await),
        };
        (Some(index), outcome)
    }

    /// Checks the key, takes a place among the requests under way, and sees to it that a command finds room in the log: none of this
    /// may cost a thread. What has no scopes is about operations, and is answered however full the server is.
    async fn admit(&self, route: &Route, parts: &Parts) -> Result<Option<(Caller, Place<'_>)>, Problem> {
        let Some(scopes) = route.scopes else { return Ok(None) };
        let caller = self.gate.admit(&self.engine, &parts.headers, scopes)?;
        let place = self.in_flight.enter(self.limits.in_flight_requests)?;
        if route.is_command() {
            self.await_room(COMMAND_LOG_BYTES, self.room_deadline()).await?;
        }
        Ok(Some((caller, place)))
    }

    /// Until when a write that begins now waits for room in the log.
    pub(crate) fn room_deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.limits.admission_wait
    }

    /// Waits until the log has room for so many bytes, or refuses.
    pub(crate) async fn await_room(&self, bytes: u64, deadline: tokio::time::Instant) -> Result<(), Unavailable> {
        tokio::time::timeout_at(deadline, self.engine.room(bytes)).await.unwrap_or(Err(Unavailable::Overloaded))
    }

    /// Metrics of other parts of the program, to be shown with the server's own.
    pub fn extra_metrics(&self) -> &Extras {
        &self.metrics.extras
    }
}

/// Reports that are computed at once: half of the processors, so that usage always finds one, and two at least, so that a quick one need not
/// wait for a slow one.
fn reports_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2).max(2)
}

fn not_found(found: Found<'_>) -> Problem {
    match found {
        Found::OtherMethods(allow) => Problem::new(Reason::MethodNotAllowed, format!("the path takes {allow}"))
            .with_header("allow", Cow::Owned(allow)),
        Found::BadPath => Problem::parameter("path", "the path is not percent-encoded UTF-8"),
        Found::Nothing | Found::Route(..) => Problem::new(Reason::NoSuchPath, "there is nothing at this path"),
    }
}

/// Runs the handler of a route.
#[expect(clippy::too_many_lines, reason = "a table, one entry a route")]
pub(crate) async fn dispatch<B>(route: &Route, call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    match route.action {
        Action::Events => api::usage::events(call, body).await,
        Action::CloudEvents => api::usage::cloud_events(call, body).await,
        Action::Check => api::usage::check(call, body).await,
        Action::GetWallet => api::wallets::get(call),
        Action::PatchWallet => api::wallets::patch(call, body).await,
        Action::PutWallet => api::wallets::put(call, body).await,
        Action::ListWallets => api::wallets::list(call),
        Action::PutDepositForm => api::deposits::put_form(call, body).await,
        Action::GetDepositForm => api::deposits::get_form(call),
        Action::ListDepositForms => api::deposits::list_forms(call),
        Action::ListEntries => api::wallets::entries(call).await,
        Action::Balances => api::reports::balances(call).await,
        Action::Statement => api::reports::statement(call).await,
        Action::PastBalance => api::reports::balance(call).await,
        Action::Usage => api::reports::usage(call).await,
        Action::Holders => api::reports::holders(call).await,
        Action::GetAlerts => api::alerts::get(call),
        Action::PutAlerts => api::alerts::put(call, body).await,
        Action::DeleteAlerts => api::alerts::delete(call, body).await,
        Action::GetDefaultAlerts => api::alerts::get_default(call),
        Action::PutDefaultAlerts => api::alerts::put_default(call, body).await,
        Action::DeleteDefaultAlerts => api::alerts::delete_default(call, body).await,
        Action::GetCommitments => api::alerts::commitments(call),
        Action::PutCommitments => api::alerts::put_commitments(call, body).await,
        Action::DeleteCommitments => api::alerts::delete_commitments(call, body).await,
        Action::PostGrants => api::grants::post(call, body).await,
        Action::GetGrant => api::grants::get(call),
        Action::VoidGrant => api::grants::void(call, body).await,
        Action::PatchGrant => api::grants::patch(call, body).await,
        Action::PutCurrency => api::catalog::put_currency(call, body).await,
        Action::GetCurrency => api::catalog::get_currency(call),
        Action::ListCurrencies => api::catalog::list_currencies(call),
        Action::PutMeter => api::catalog::put_meter(call, body).await,
        Action::GetMeter => api::catalog::get_meter(call),
        Action::ListMeters => api::catalog::list_meters(call),
        Action::Feed => api::feed::get(call).await,
        Action::PostKey => api::keys::post(call, body).await,
        Action::ListKeys => api::keys::list(call),
        Action::RevokeKey => api::keys::revoke(call, body).await,
        Action::Health => Ok(api::operations::health()),
        Action::Ready => api::operations::ready(call),
        Action::Metrics => Ok(api::operations::metrics(call)),
        Action::OpenApi => Ok(api::operations::openapi(call)),
        Action::Stats => Ok(api::operations::stats(call)),
        Action::PostSnapshot => Ok(api::operations::post_snapshot(call)),
        Action::ReverseEntry => api::corrections::reverse(call, body).await,
        Action::PostAdjustment => api::corrections::adjust(call, body).await,
        Action::PostCharge => api::corrections::charge(call, body).await,
        Action::GetCharge => api::corrections::get_charge(call),
        Action::PostTransfer => api::corrections::transfer(call, body).await,
        Action::GetTransfer => api::corrections::get_transfer(call),
        Action::PostHolds => api::holds::post(call, body).await,
        Action::PostCaptures => api::holds::post_captures(call, body).await,
        Action::ListHolds => api::holds::list(call),
        Action::GetHold => api::holds::get(call),
        Action::CaptureHold => api::holds::post_capture(call, body).await,
        Action::ReleaseHold => api::holds::release(call, body).await,
        Action::ExtendHold => api::holds::extend(call, body).await,
        Action::ListGrants => api::grants::list(call),
        Action::ActivateGrant => api::grants::activate(call, body).await,
        Action::PutRecurring => api::recurring::put(call, body).await,
        Action::GetRecurring => api::recurring::get(call),
        Action::ListRecurring => api::recurring::list(call),
        Action::DeleteRecurring => api::recurring::delete(call, body).await,
        Action::PatchCurrency => api::catalog::patch_currency(call, body).await,
        Action::PatchMeter => api::catalog::patch_meter(call, body).await,
        Action::PutCustomer => api::customers::put(call, body).await,
        Action::PatchCustomer => api::customers::patch(call, body).await,
        Action::GetCustomer => api::customers::get(call),
        Action::ListCustomers => api::customers::list(call),
        Action::ArchiveCustomer => api::customers::archive(call, body).await,
        Action::ErasePersonalData => api::customers::erase(call, body).await,
        Action::PutPackage => api::billing::put_package(call, body).await,
        Action::GetPackage => api::billing::get_package(call),
        Action::ListPackages => api::billing::list_packages(call),
        Action::GetRecharge => api::billing::get_recharge(call),
        Action::PutRecharge => api::billing::put_recharge(call, body).await,
        Action::PostTopUp => api::billing::post_top_up(call, body).await,
        Action::GetTopUp => api::billing::get_top_up(call),
        Action::ListTopUps => api::billing::list_top_ups(call),
        Action::CancelTopUp => api::billing::cancel_top_up(call, body).await,
        Action::ConfirmTopUp => api::billing::confirm_top_up(call, body).await,
        Action::RefundTopUp => api::billing::refund_top_up(call, body).await,
        Action::PutRule => api::billing::put_rule(call, body).await,
        Action::GetRule => api::billing::get_rule(call),
        Action::DeleteRule => api::billing::delete_rule(call, body).await,
        Action::GetInvoice => api::billing::get_invoice(call),
        Action::PostMethod => api::billing::post_method(call, body).await,
        Action::ListMethods => api::billing::list_methods(call),
        Action::DefaultMethod => api::billing::default_method(call, body).await,
        Action::DeleteMethod => api::billing::delete_method(call, body).await,
        Action::ResumeRule => api::billing::resume_rule(call, body).await,
        Action::ProviderWebhook => api::payments::webhook(call, body).await,
        // Apart, so that the futures of all others stay as small as they are.
        Action::Page(page) => Box::pin(shown(page, call, body)).await,
        Action::PostWebhookEndpoint => api::webhooks::post(call, body).await,
        Action::ListWebhookEndpoints => api::webhooks::list(call),
        Action::GetWebhookEndpoint => api::webhooks::get(call),
        Action::PatchWebhookEndpoint => api::webhooks::patch(call, body).await,
        Action::DeleteWebhookEndpoint => api::webhooks::delete(call, body).await,
        Action::RotateWebhookSecret => api::webhooks::rotate(call, body).await,
        Action::TestWebhookEndpoint => api::webhooks::test(call, body).await,
        Action::ListDeliveries => api::webhooks::deliveries(call),
        Action::GetDelivery => api::webhooks::delivery(call).await,
        Action::Redeliver => api::webhooks::redeliver(call, body).await,
        Action::PostPortalSession => api::portal::post_session(call, body).await,
        Action::GetPortalLimits => api::portal::get_limits(call),
        Action::PutPortalLimits => api::portal::put_limits(call, body).await,
        Action::DeletePortalSessions => api::portal::delete_sessions(call, body).await,
        Action::PayInvoice => api::invoices::pay(call, body).await,
    }
}

/// Runs the handler of a page.
async fn shown<B>(page: Page, call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    match page {
        Page::Style => Ok(pages::style(call)),
        Page::Returned => Ok(pages::returned(call)),
        Page::Deposit => Ok(api::deposits::page(call)),
        Page::Checkout => pages::checkout(call).await,
        Page::Pay => pages::pay(call, body).await,
        Page::Setup => pages::setup(call).await,
        Page::Collect => pages::collect(call, body).await,
        Page::Authenticate => pages::authenticate(call).await,
        Page::Confirm => pages::confirm(call, body).await,
        Page::Portal(page) => Ok(portal::answer(page, call, body).await),
    }
}
