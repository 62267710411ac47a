//! The feed for followers within the process: read on from where the last reading ended, in bounded steps, without looking for the place again.

use super::super::view::{CommandError, FeedEvent, FeedPage};
use super::super::{Engine, Inner};
use super::{Kinds, Page, read_error};
use crate::journal::{self, webhook::Place};
use drawdown_wal::{Lsn, Reader};
use std::collections::HashSet;

/// Where a follower is.
#[derive(Debug)]
pub struct FeedReader {
    reader: Reader,
    /// Records before this one are passed over: the place was in the middle of its frame.
    from: Place,
}

impl FeedReader {
    /// Everything before has been read.
    pub fn place(&self) -> Place {
        Place::start(self.reader.position().get()).max(self.from)
    }
}

/// An event, and the place to begin at to be told of it again.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Its place.
    pub at: Place,
    /// The event.
    pub event: FeedEvent,
}

impl<'a> Page<'a> {
    fn new(inner: &'a Inner, after: Lsn, kinds: Option<Kinds<'a>>) -> Self {
        let told = FeedPage { events: Vec::new(), next: after, at_end: false, read: after };
        let (catalog, seen) = (inner.catalog.snapshot(), HashSet::new());
        Page { inner, catalog, after, limit: usize::MAX, kinds, seen, told }
    }
}

impl Engine {
    /// A reader of the feed from `place` on.
    pub fn follow_from(&self, place: Place) -> FeedReader {
        FeedReader { reader: self.inner.log.reader(Lsn::new(place.frame)), from: place }
    }

    /// Whether there may be more to read than `reader` has read.
    pub fn is_behind(&self, reader: &FeedReader) -> bool {
        reader.reader.position() < self.inner.log.durable()
    }

    /// Reads on, up to `until` at the furthest: up to `limit` events of the types that `wants` names, and up to `bytes` of log, whole frames in
    /// either case, so that there may be as many events more as a frame has. Empty at the durable end.
    pub fn read_on(
        &self,
        reader: &mut FeedReader,
        until: Lsn,
        (limit, bytes): (usize, u64),
        wants: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Followed>, CommandError> {
        let from = reader.from;
        let mut page = Page::new(&self.inner, Lsn::new(from.lsn.saturating_sub(1)), Some(Kinds::Where(wants)));
        let begun = reader.reader.position().get();
        let mut followed = Vec::new();
        while followed.len() < limit && reader.reader.position() < until {
            let Some(frame) = reader.reader.next().map_err(|error| read_error(&error))? else { break };
            if frame.lsn >= until {
                // What lay between was the log's own.
                let from = frame.lsn;
                reader.reader = self.inner.log.reader(from);
                break;
            }
            page.take(&frame)?;
            let events = page.told.events.drain(..);
            let placed = events.map(|event| {
                let at = Place { lsn: event.lsn.get(), index: event.index, frame: frame.lsn.get() };
                Followed { at, event }
            });
            followed.extend(placed.filter(|followed| followed.at >= from));
            if frame.end.get() - begun >= bytes {
                break;
            }
        }
        Ok(followed)
    }

    /// The event at a place, if there is one. [`CommandError::Retired`] if the place has been retired.
    pub fn feed_event(&self, lsn: u64, index: u16) -> Result<Option<Followed>, CommandError> {
        let inner = &*self.inner;
        if inner.is_retired(lsn) {
            return Err(inner.retired());
        }
        if lsn == 0 || Lsn::new(lsn) >= inner.log.durable() || !inner.is_record(lsn) {
            return Ok(None);
        }
        let Some(start) = journal::frame_of(&inner.log, Lsn::new(lsn)) else { return Ok(None) };
        let mut reader = inner.log.reader(start);
        let Some(frame) = reader.next().map_err(|error| read_error(&error))? else { return Ok(None) };
        let mut page = Page::new(inner, Lsn::new(lsn - 1), None);
        page.limit = 1;
        page.take(&frame)?;
        let found = page.told.events.into_iter().find(|event| event.lsn.get() == lsn && event.index == index);
        Ok(found.map(|event| Followed { at: Place { lsn, index, frame: frame.lsn.get() }, event }))
    }
}
