//! The customers' portal: what a customer looks at and does without an API key, reached by a short-lived signed link.
//!
//! An operator's program asks for a link (`POST /v1/portal-sessions`) and sends its customer there. Opening it exchanges the pass in it for
//! a cookie (`pass.rs`) and leads on to an address without it. Nothing of sessions is kept.
//!
//! # What is guaranteed
//! 1. Whatever is shown or changed is of the customer whom the cookie names: handlers take the customer from there and from nowhere else, and
//!    what a request names beside it (a purchase, an invoice, a card, an entry) is looked up as that customer's, so that another's is as
//!    unknown as one that there is not.
//! 2. What changes something is a POST that came from a page of ours: its `Origin` (or, in want of that, `Sec-Fetch-Site`) says so, and it
//!    brings the token of its session. The cookie is `HttpOnly`, `SameSite=Lax`, sent below the portal's address only, and `Secure` where the public
//!    address is https. It is not `Strict`: then neither the link nor the way back from a payment page would arrive with it.
//! 3. Every answer is a page, refusals too, with a policy that lets it load and send nothing but from and to here, and is kept by no cache.
//! 4. A form that is sent twice buys once (`pass.rs`, order keys).
//! 5. What customers buy is held to the portal's limits ([`crate::billing::portal`]).

mod automatic;
mod buy;
mod cards;
mod history;
mod invoices;
mod overview;
mod pass;
mod purchase;
mod visit;
mod words;

use super::app::Call;
use super::pages::{notice, see_other};
use super::problem::{Problem, Reason};
use super::reply::Reply;
use super::route::PortalPage;
use super::wire::query::Query;
use crate::engine::{CommandError, Engine, Unavailable};
use bytes::Bytes;
use drawdown_pages::Tone;
use hyper::StatusCode;
use hyper::body::Body;
use pass::{Keys, Pass, Purpose, Refused};
use std::time::Duration;
use visit::Visit;

/// Log bytes that have to be free before a form is taken on: more than any of them takes at once.
const LOG_BYTES: u64 = 64 << 10;

/// How the portal is set up.
#[derive(Clone, Debug)]
pub struct PortalSettings {
    /// Where this server's pages begin for customers, without a `/` at the end. Without it addresses are given relative to the server's own.
    pub pages: String,
    /// What customers know its operator as: it stands on pages and invoices.
    pub merchant: String,
    /// How long a link opens the portal.
    pub link_time: Duration,
    /// How long the portal stays open then.
    pub session_time: Duration,
    /// Another number makes all links and sessions of the one before worthless.
    pub epoch: u64,
}

impl Default for PortalSettings {
    /// Links for ten minutes, sessions for an hour.
    fn default() -> Self {
        PortalSettings {
            pages: String::new(),
            merchant: "drawdown".to_owned(),
            link_time: Duration::from_mins(10),
            session_time: Duration::from_hours(1),
            epoch: 0,
        }
    }
}

/// The portal of a server.
#[derive(Debug)]
pub(crate) struct Portal {
    settings: PortalSettings,
    keys: Keys,
    base: String,
}

/// A link that was made.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    /// Seconds since the epoch.
    pub(crate) ends_s: u64,
}

impl Portal {
    /// A portal whose keys follow from the data directory's secret.
    pub(crate) fn new(engine: &Engine, settings: PortalSettings) -> Portal {
        let keys = Keys::new(&engine.secret_for("drawdown portal v1"), settings.epoch);
        let base = format!("{}/portal", path_of(&settings.pages));
        Portal { settings, keys, base }
    }

    /// Where the portal and the style of all pages lie on this host.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What all addresses of pages on this host begin with; mostly nothing.
    pub(crate) fn prefix(&self) -> &str {
        path_of(&self.settings.pages)
    }

    /// What customers know the operator as.
    pub(crate) fn merchant(&self) -> &str {
        &self.settings.merchant
    }

    /// The whole address of something below the portal's.
    pub(crate) fn address(&self, below: &str) -> String {
        format!("{}/portal/{below}", self.settings.pages)
    }

    /// The address of another page of this server's.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.settings.pages)
    }

    /// Makes a link for a customer that leads to `target` first.
    pub(crate) fn link(
        &self,
        engine: &Engine,
        customer: &str,
        return_url: Option<&str>,
        target: String,
        now_s: u64,
    ) -> Result<Link, Unavailable> {
        let ends_s = now_s.saturating_add(self.settings.link_time.as_secs());
        let return_url = return_url.map(str::to_owned);
        let epoch = engine.portal_epoch(customer);
        let pass = Pass { customer: customer.to_owned(), return_url, target, ends_s, nonce: random()?, epoch };
        let url = self.address(&format!("open?token={}", self.keys.sign(Purpose::Link, &pass)));
        Ok(Link { url, ends_s })
    }

    fn is_secure(&self) -> bool {
        self.settings.pages.starts_with("https://")
    }

    /// The cookie's name. Browsers take one that begins so only with `Secure`.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure() { "__Secure-drawdown_portal" } else { "drawdown_portal" }
    }

    /// The header that sets the cookie, for as long as the browser is open, or takes it away.
    fn set_cookie(&self, value: Option<&str>) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let (value, age) = value.map_or(("", "; Max-Age=0"), |value| (value, ""));
        format!("{}={value}; Path={}; HttpOnly; SameSite=Lax{secure}{age}", self.cookie_name(), self.base)
    }
}

/// The path of an address, empty at the root.
fn path_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or("", |(_, behind)| behind);
    behind.find('/').map_or("", |at| &behind[at..])
}

/// The path of an address that is one of this server's own pages.
fn below(call: &Call<'_>, url: &str) -> Option<String> {
    let portal = &call.app.portal;
    let behind = url.strip_prefix(portal.settings.pages.as_str())?;
    behind.starts_with('/').then(|| format!("{}{behind}", portal.prefix()))
}

fn random<const N: usize>() -> Result<[u8; N], Unavailable> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Unavailable::Overloaded)?;
    Ok(bytes)
}

/// Why a handler shows another page than its own.
#[derive(Debug)]
enum Stop {
    /// This one.
    Page(Box<Reply>),
    /// One that says what the problem is.
    Problem(Problem),
}

impl Stop {
    fn page(reply: Reply) -> Stop {
        Stop::Page(Box::new(reply))
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Stop::Problem(problem)
    }
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Stop::Problem(error.into())
    }
}

impl From<Unavailable> for Stop {
    fn from(unavailable: Unavailable) -> Self {
        Stop::Problem(unavailable.into())
    }
}

/// Answers a request for the portal: always with a page.
pub(super) async fn answer<B>(which: PortalPage, call: Call<'_>, body: B) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    match handle(which, call, body).await {
        Ok(reply) => reply,
        Err(Stop::Page(reply)) => *reply,
        Err(Stop::Problem(problem)) => shown(&call, &problem),
    }
}

async fn handle<B>(which: PortalPage, call: Call<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let _place = call.app.in_flight.enter(call.app.limits.in_flight_requests)?;
    if which == PortalPage::Open {
        return open(&call);
    }
    let visit = match Visit::begin(call, which) {
        Ok(visit) => visit,
        Err(stop) => {
            super::body::discard(body).await;
            return Err(stop);
        }
    };
    match which {
        PortalPage::Open => unreachable!("opened above"),
        PortalPage::Root => Ok(root(&visit)),
        PortalPage::Leave => leave(&visit, body).await,
        PortalPage::Overview => overview::get(visit).await,
        PortalPage::History => history::get(visit).await,
        PortalPage::Buy => buy::get(&visit),
        PortalPage::PostBuy => buy::post(&visit, body).await,
        PortalPage::Purchase => purchase::get(&visit).await,
        PortalPage::PostPurchase => purchase::post(&visit, body).await,
        PortalPage::Automatic => automatic::get(&visit),
        PortalPage::PostAutomatic => automatic::post(&visit, body).await,
        PortalPage::Cards => cards::get(&visit),
        PortalPage::PostCards => cards::post(&visit, body).await,
        PortalPage::Invoices => invoices::list(&visit),
        PortalPage::Invoice => invoices::get(&visit),
    }
}

/// A page that says what is wrong.
fn shown(call: &Call<'_>, problem: &Problem) -> Reply {
    if let Some(refusal) = problem.reason().refusal() {
        call.app.metrics.refusals.note(refusal, None, problem.cause());
    }
    let (status, _, title) = problem.reason().describe();
    let (title, text) = match problem.reason() {
        Reason::Unknown(_) | Reason::NoSuchPath => ("Nothing here", "There is nothing at this address.".to_owned()),
        _ if status.is_server_error() => {
            ("Just a moment", "The server cannot do this now. Try again in a moment.".to_owned())
        }
        _ => (title, words::sentence(problem.detail())),
    };
    let link = Some((call.app.portal.base(), "To the portal"));
    notice(call, status, title, &text, Tone::Bad, link)
}

fn now_s(call: &Call<'_>) -> u64 {
    call.engine().now().millis() / 1_000
}

/// Reads a pass that is good now.
fn verified(call: &Call<'_>, purpose: Purpose, text: &str) -> Result<Pass, Refused> {
    let epoch_of = |customer: &str| call.engine().portal_epoch(customer);
    call.app.portal.keys.verify(purpose, text, now_s(call), epoch_of)
}

/// `GET /portal/open`: exchanges a link's pass for a cookie, and leads on to where it is not seen.
fn open(call: &Call<'_>) -> Result<Reply, Stop> {
    let portal = &call.app.portal;
    let query = Query::parse(call.parts.uri.query())?;
    let pass = match verified(call, Purpose::Link, query.text("token").unwrap_or_default()) {
        Ok(pass) => pass,
        Err(refused) => return Err(Stop::page(closed(call, refused, "This link is over"))),
    };
    let ends_s = now_s(call).saturating_add(portal.settings.session_time.as_secs());
    let target = if pass.target.is_empty() { String::new() } else { format!("/{}", pass.target) };
    let session = Pass { target: String::new(), ends_s, nonce: random()?, ..pass };
    let cookie = portal.set_cookie(Some(&portal.keys.sign(Purpose::Session, &session)));
    Ok(see_other(format!("{}{target}", portal.base())).header("set-cookie", cookie))
}

/// The page for whom the portal is not open.
fn closed(call: &Call<'_>, refused: Refused, title: &str) -> Reply {
    let merchant = call.app.portal.merchant();
    let (status, title, text, back) = match refused {
        Refused::Over(pass) => {
            let text = format!("For your safety the portal closes by itself. Go back to {merchant} and open it again.");
            (StatusCode::GONE, title, text, pass.return_url)
        }
        Refused::Closed(pass) => {
            let text = format!("The portal was closed. Go back to {merchant} and open it again.");
            (StatusCode::GONE, "The portal was closed", text, pass.return_url)
        }
        Refused::Forged => {
            let text =
                format!("The link is not whole, or the portal was closed. Go back to {merchant} and open it again.");
            (StatusCode::FORBIDDEN, "The portal is not open", text, None)
        }
    };
    let words = format!("Back to {merchant}");
    notice(call, status, title, &text, Tone::Notice, back.as_deref().map(|url| (url, words.as_str())))
}

/// `GET /portal`: leads on to the first wallet.
fn root(visit: &Visit<'_>) -> Reply {
    if let Some(currency) = visit.currencies().first() {
        return see_other(visit.link_in(&currency.id, "overview"));
    }
    let text = "There are no credits yet, and nothing is on offer.";
    let words = format!("Back to {}", visit.call.app.portal.merchant());
    let link = visit.pass.return_url.as_deref().map(|url| (url, words.as_str()));
    notice(&visit.call, StatusCode::OK, "Nothing here yet", text, Tone::Notice, link)
}

/// `POST /portal/leave`: ends the session in this browser.
async fn leave<B>(visit: &Visit<'_>, body: B) -> Result<Reply, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    visit.form(body).await?;
    let portal = &visit.call.app.portal;
    let words = format!("Back to {}", portal.merchant());
    let link = visit.pass.return_url.as_deref().map(|url| (url, words.as_str()));
    let page = notice(&visit.call, StatusCode::OK, "Signed out", "You can close this window.", Tone::Good, link);
    Ok(page.header("set-cookie", portal.set_cookie(None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_may_lie_below_the_root_of_its_host() {
        for (url, path) in
            [("", ""), ("https://a.example", ""), ("http://127.0.0.1:7400", ""), ("https://a.example/b/c", "/b/c")]
        {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
