//! A request of a customer whose portal is open: who it is, which wallet it is about, and the frame of its pages.

use super::super::pages::{notice, page};
use super::{Pass, Purpose, Refused, Stop, closed, verified};
use crate::billing::money::Worth;
use crate::engine::CommandError;
use crate::engine::catalog::CreditCurrency;
use crate::http::app::Call;
use crate::http::percent;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::route::PortalPage;
use crate::http::wire::query::Query;
use bytes::Bytes;
use drawdown_pages::{Session, Tone, WalletLink};
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::COOKIE;
use std::sync::Arc;

/// Bytes of a form at most: its fields are short.
const FORM_BYTES_MAX: usize = 16 << 10;

/// What became of the form that was sent before: its code goes through the address, its words do not.
const DONE: &[(&str, Tone, &str)] = &[
    ("saved", Tone::Good, "Saved."),
    ("default", Tone::Good, "This card is charged from now on where no other is chosen."),
    ("removed", Tone::Good, "The card was removed."),
    ("canceled", Tone::Notice, "The purchase was called off. Nothing was paid."),
];

/// See the module.
pub(super) struct Visit<'a> {
    pub(super) call: Call<'a>,
    which: PortalPage,
    /// Its session.
    pub(super) pass: Pass,
    /// The wallet's currency; only the root and leaving have none.
    currency: Option<Arc<CreditCurrency>>,
}

impl<'a> Visit<'a> {
    /// Lets a request in whose cookie is good, and, if it changes something, which comes from here.
    pub(super) fn begin(call: Call<'a>, which: PortalPage) -> Result<Visit<'a>, Stop> {
        let pass = session_of(&call).map_err(|refused| Stop::page(closed(&call, refused, "The portal was closed")))?;
        if which.is_post() && !is_from_here(&call) {
            return Err(strange(&call, "The form did not come from a page of the portal. Nothing was done."));
        }
        let currency = match which {
            PortalPage::Root | PortalPage::Leave | PortalPage::Open => None,
            _ => {
                let unknown = || CommandError::NotFound { what: "credit_currency" };
                Some(call.engine().currency(call.first()).ok_or_else(unknown)?)
            }
        };
        Ok(Visit { call, which, pass, currency })
    }

    pub(super) fn customer(&self) -> &str {
        &self.pass.customer
    }

    pub(super) fn currency(&self) -> &Arc<CreditCurrency> {
        self.currency.as_ref().expect("this page is of a wallet")
    }

    /// What a credit is called.
    pub(super) fn symbol(&self) -> &str {
        let currency = self.currency();
        if currency.symbol.is_empty() { &currency.name } else { &currency.symbol }
    }

    /// The currencies to look at: of wallets that there are, and those in which something is on offer.
    pub(super) fn currencies(&self) -> Vec<Arc<CreditCurrency>> {
        let engine = self.call.engine();
        let own = engine.customer_wallets(self.customer());
        let packages = engine.packages(None, usize::MAX);
        let is_sold = |currency: &CreditCurrency| {
            let has_package = packages.iter().any(|one| one.currency == currency.number && !one.archived);
            !currency.archived && (has_package || Worth::of_fiat(currency).is_some())
        };
        let mut all = engine.currencies();
        all.retain(|currency| {
            own.iter().any(|wallet| wallet.currency.number == currency.number)
                || is_sold(currency)
                || self.currency.as_ref().is_some_and(|looked_at| looked_at.number == currency.number)
        });
        all
    }

    /// The address of a page of the wallet that is looked at.
    pub(super) fn link(&self, section: &str) -> String {
        self.link_in(&self.currency().id, section)
    }

    /// The same of another wallet.
    pub(super) fn link_in(&self, currency: &str, section: &str) -> String {
        format!("{}/{}/{section}", self.call.app.portal.base(), percent::encode(currency))
    }

    /// The whole address of a page of the wallet, for who leads the customer back.
    pub(super) fn address(&self, section: &str) -> String {
        self.call.app.portal.address(&format!("{}/{section}", percent::encode(&self.currency().id)))
    }

    pub(super) fn query(&self) -> Result<Query, Problem> {
        Query::parse(self.call.parts.uri.query())
    }

    /// Receives a form that carries the session's token.
    pub(super) async fn form<B>(&self, body: B) -> Result<Query, Stop>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > FORM_BYTES_MAX as u64 {
            let problem = Problem::new(Reason::BodyTooLarge, "the form is too long");
            return Err(self.call.refuse(body, problem).await.into());
        }
        let body = self.call.receive(body).await?;
        if body.bytes.len() > FORM_BYTES_MAX {
            return Err(Problem::new(Reason::BodyTooLarge, "the form is too long").into());
        }
        let malformed = || Problem::new(Reason::MalformedBody, "the form is not percent-encoded UTF-8");
        let form = Query::parse(Some(std::str::from_utf8(&body.bytes).map_err(|_| malformed())?))?;
        if !self.call.app.portal.keys.is_form_token(&self.pass, form.text("token").unwrap_or_default()) {
            return Err(strange(&self.call, "The page was of another visit, and nothing was done. Open it again."));
        }
        if self.which != PortalPage::Leave {
            // What comes of it will be written to the log.
            self.call.app.await_room(super::LOG_BYTES, self.call.app.room_deadline()).await?;
        }
        Ok(form)
    }

    /// Whether payments are simulated.
    pub(super) fn is_test(&self) -> bool {
        let payments = self.call.app.payments.as_ref();
        payments.and_then(crate::payments::Payments::usual) == Some("simulated")
    }

    /// What the address says of the form that was sent before.
    pub(super) fn message(&self) -> Result<Option<(Tone, &'static str)>, Problem> {
        let query = self.query()?;
        let code = query.text("done");
        let known = code.and_then(|code| DONE.iter().find(|(known, ..)| *known == code));
        Ok(known.map(|(_, tone, words)| (*tone, *words)))
    }

    /// A page within the frame of the portal, with what the address has to say.
    pub(super) fn show(&self, make: impl FnOnce(&Session<'_>) -> String) -> Result<Reply, Stop> {
        Ok(self.frame(StatusCode::OK, self.message()?, make))
    }

    /// A page within the frame of the portal.
    pub(super) fn frame(
        &self,
        status: StatusCode,
        message: Option<(Tone, &str)>,
        make: impl FnOnce(&Session<'_>) -> String,
    ) -> Reply {
        let portal = &self.call.app.portal;
        let known = self.call.engine().customer(self.customer()).ok();
        let name = known.and_then(|known| known.name).unwrap_or_else(|| self.customer().to_owned());
        let all = self.currencies();
        let wallets: Vec<(String, String)> = all
            .iter()
            .map(|currency| (percent::encode(&currency.id).into_owned(), name_of(currency).to_owned()))
            .collect();
        let wallets: Vec<WalletLink<'_>> =
            wallets.iter().map(|(currency, name)| WalletLink { currency, name }).collect();
        let session = Session {
            merchant: portal.merchant(),
            customer: &name,
            base: portal.base(),
            return_url: self.pass.return_url.as_deref(),
            token: &portal.keys.form_token(&self.pass),
            is_test: self.is_test(),
            wallets: &wallets,
            currency: &percent::encode(&self.currency().id),
            message,
        };
        page(status, make(&session))
    }
}

/// The page for forms of which it is not certain that the customer sent them.
fn strange(call: &Call<'_>, text: &str) -> Stop {
    let link = Some((call.app.portal.base(), "To the portal"));
    Stop::page(notice(call, StatusCode::FORBIDDEN, "Nothing was done", text, Tone::Bad, link))
}

/// What a currency is called.
pub(super) fn name_of(currency: &CreditCurrency) -> &str {
    if currency.name.is_empty() { &currency.id } else { &currency.name }
}

/// The session of a request's cookie. Of several of that name, which other sites of the same domain can bring about, the first that is good.
fn session_of(call: &Call<'_>) -> Result<Pass, Refused> {
    let portal = &call.app.portal;
    let headers = call.parts.headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let cookies = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = Err(Refused::Forged);
    for (_, value) in cookies.filter(|(name, _)| *name == portal.cookie_name()) {
        match verified(call, Purpose::Session, value) {
            Ok(pass) => return Ok(pass),
            Err(over @ (Refused::Over(_) | Refused::Closed(_))) => found = Err(over),
            Err(Refused::Forged) => {}
        }
    }
    found
}

/// Whether a browser says that a request comes from a page of this server.
fn is_from_here(call: &Call<'_>) -> bool {
    let header = |name: &str| call.parts.headers.get(name).and_then(|value| value.to_str().ok());
    match header("origin") {
        Some(origin) => {
            let own = &call.app.portal.settings.pages;
            let host = header("host").or(call.parts.uri.authority().map(hyper::http::uri::Authority::as_str));
            match own.split_once("://") {
                Some((scheme, behind)) => {
                    let authority = behind.split('/').next().unwrap_or_default();
                    origin.eq_ignore_ascii_case(&format!("{scheme}://{authority}"))
                }
                // Nobody said under which address it is reached.
                None => origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host),
            }
        }
        None => header("sec-fetch-site") == Some("same-origin"),
    }
}
