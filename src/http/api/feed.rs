//! The feed: what happened, from any position on, waiting at the end for more.

use crate::engine::Unavailable;
use crate::engine::view::FeedPage;
use crate::http::app::{App, Call};
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::feed::FeedBody;
use crate::http::wire::query::Query;
use drawdown_wal::Lsn;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait at the end of the feed.
pub(crate) const WAIT_MS_MAX: u64 = 60_000;

/// `GET /v1/feed`
pub(crate) async fn get(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let name = if query.text("cursor").is_some() { "cursor" } else { "after" };
    let after = query.number(name, 0..=u64::MAX)?.map_or(Lsn::ZERO, Lsn::new);
    let limit = query.limit()?;
    let wait = Duration::from_millis(query.number("wait_ms", 0..=WAIT_MS_MAX)?.unwrap_or(0));
    let types: Option<Vec<&str>> = query.text("types").map(|list| list.split(',').map(str::trim).collect());
    let page = call.engine().feed(after, limit, types.as_deref())?;
    if !page.events.is_empty() || wait.is_zero() {
        return Ok(Reply::ok(&FeedBody::of(page)));
    }
    let _waiter = Waiter::enter(call.app)?;
    let page = wait_for_more(call.app, page, limit, types.as_deref(), Instant::now() + wait).await?;
    Ok(Reply::ok(&FeedBody::of(page)))
}

/// Reads on until something was selected, the time is over, or the server stops.
async fn wait_for_more(
    app: &App,
    mut page: FeedPage,
    limit: usize,
    types: Option<&[&str]>,
    deadline: Instant,
) -> Result<FeedPage, Problem> {
    let mut draining = app.draining.subscribe();
    while page.events.is_empty() {
        tokio::select! {
            outcome = more(app, &page) => {
                outcome?;
                page = app.engine.feed(page.next, limit, types)?;
            }
            () = tokio::time::sleep_until(deadline) => break,
            _ = draining.wait_for(|draining| *draining) => break,
        }
    }
    Ok(page)
}

/// Resolves when the feed goes on behind a page: at once if the page ended before the durable end.
async fn more(app: &App, page: &FeedPage) -> Result<(), Unavailable> {
    if page.at_end {
        return app.engine.feed_wait(page.read).await;
    }
    tokio::task::yield_now().await;
    Ok(())
}

/// One request among those that wait.
struct Waiter<'a>(&'a App);

impl<'a> Waiter<'a> {
    fn enter(app: &'a App) -> Result<Self, Problem> {
        // A counter on its own: no other memory hangs on it.
        let waiter = Waiter(app);
        if app.feed_waiters.fetch_add(1, Ordering::Relaxed) >= app.limits.feed_waiters {
            return Err(Problem::new(Reason::TooManyWaiting, "too many requests wait at the end of the feed"));
        }
        Ok(waiter)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.feed_waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
