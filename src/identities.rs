//! Identities past memory: what the table of identities has no room for, in sorted files with filters in memory.
//!
//! A *run* holds every identity whose record lies in one span of the log: 64 bits of fingerprint and the LSN of the original, sorted, in an
//! immutable file; in memory it has a filter, which tells most new events from what the file may know, and an index that leads to the one
//! page to read for the rest. Runs follow one another without gaps, oldest first, from about the idempotency horizon up to where the table
//! takes over; neighbours are merged in the background (`merge`), so there are few. Before their filters stands one of all identities
//! (`front`): a new event costs a cache line, however many runs there are. Seventeen bytes of disk and three of memory an identity, where
//! the table takes some thirty.
//!
//! It knows nothing of events: the engine derives identities from the durable log, and reads the record behind a candidate to see whose it
//! is. So nothing here is a source of truth. A run that is damaged, lost or of another log is derived again.
//!
//! # How an identity passes from memory to a run
//! An event is claimed in the table first, always, and the claim is exclusive. Only a claim that the table calls *new* is looked up in the
//! runs. So what must never happen is that an identity is in neither place for somebody who looks at the table first and at the runs after.
//!
//! 1. A run is complete, and durable, before the list that holds it is published (Release, [`Spilled::put`]).
//! 2. Only then is the table's resident horizon raised over its span (Release, `Idempotency::set_resident_horizon`), by the same thread.
//! 3. A claim loads the resident horizon (Acquire) or meets a table from which a maintainer, who had loaded it (Acquire), left the identity
//!    out (Release, Acquire: the table's invariant 5). Either way, if the table does not know the identity because it has moved, the
//!    publication of the list happened before.
//! 4. The list is loaded after the claim (Acquire): it holds that run, or a merged one in its place. Lists are swapped as a whole; what they
//!    share is immutable.
//!
//! An identity may be in both for a while; the table answers first. One that is claimed and whose record is durable may even be in a run
//! before its claim is finished: whoever comes second finds the claim in flight, and waits. `loom_tests` tries the handover in all orders.
//!
//! # Files
//! A run's name is its span, `<from>-<to>.ids`; no list of files is kept. A merged run covers those that it was made of: whatever lies
//! within another run that opens is a leftover, and is removed. What is missing between two runs, or before the first down to the horizon, is
//! a hole ([`Spilled::holes`]), and derived from the log again. Each run names the last frame that it was derived from, with a checksum
//! ([`Anchor`]): runs that outlived their log (one that was restored from a copy, say) are found out and removed.

mod check;
mod filter;
mod format;
mod front;
mod merge;
mod run;
mod shelf;

#[cfg(test)]
#[cfg(drawdown_loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests;

pub use check::{Checked, Damage, check};
pub use format::{EXTENSION, span_of};

use crate::store::{Guard, pin};
use drawdown_wal::Files;
use filter::{Filter, Unreadable};
use front::{Filling, Front, Refresh};
use merge::{Failed, Merge};
use run::{Run, Writer};
use shelf::Shelf;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A span of the log: from one LSN up to another, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first position.
    pub from: u64,
    /// The position behind the last one.
    pub to: u64,
}

/// A frame by which a run knows its log again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The last frame of the run's span.
    pub lsn: u64,
    /// A checksum of its contents.
    pub checksum: u32,
}

/// The identities whose records lie in a span of the log.
#[derive(Clone, Debug)]
pub struct Portion {
    /// The span.
    pub span: Span,
    /// Its last frame.
    pub anchor: Anchor,
    /// Fingerprints and LSNs, in any order, each once.
    pub identities: Vec<(u64, u64)>,
}

/// A run cannot be read where it was needed. It says so in the log, and is derived again by whoever calls [`Spilled::damaged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run of identities is damaged")]
pub struct Damaged;

/// Files of identities that could not be listed or read when they were opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct OpenError {
    /// Which.
    pub path: std::path::PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs.
    pub runs: u64,
    /// Identities in them, expired ones included.
    pub identities: u64,
    /// Bytes of their files.
    pub file_bytes: u64,
    /// Bytes of memory of their filters and indexes.
    pub memory_bytes: u64,
}

/// Entries that one step of merging, or of making a front, moves.
const STEP: usize = if cfg!(test) { 128 } else { 1 << 16 };
/// Fingerprints whose lines are requested before the first is looked at.
const GROUP: usize = 32;

/// All runs of a log. Anybody may look into them at any time; one thread at a time keeps them: writes, puts, expires, merges.
pub struct Spilled {
    files: Arc<dyn Files>,
    log_id: [u8; 16],
    shelf: Shelf<Runs>,
    keeper: Mutex<Keeper>,
}

impl std::fmt::Debug for Spilled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spilled").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Keeper {
    /// The runs as they are on the shelf.
    runs: Vec<Arc<Run>>,
    merging: Option<Merge>,
    front: Option<Filling>,
    refresh: Option<Refresh>,
    /// Runs and fronts that are no longer listed and that somebody may still be reading. Kept, so that their memory is given back here and
    /// not by whoever lets go of the last list.
    retired: (Vec<Arc<Run>>, Vec<Arc<Front>>),
}

/// The runs at one moment, oldest first. There is at least one.
pub struct Runs {
    runs: Vec<Arc<Run>>,
    /// A filter that holds whatever the runs hold, if there is one.
    front: Option<Arc<Front>>,
}

impl Runs {
    /// Calls `maybe` with the index of each fingerprint that some run may hold; the others are in none. One cache line for most fingerprints,
    /// one for each run for the rest, all of them requested ahead.
    #[inline]
    pub fn sift(&self, fingerprints: &[u64], maybe: impl FnMut(usize)) {
        match &self.front {
            None => self.sift_through_runs(fingerprints, maybe),
            Some(front) => {
                let mut passed = Vec::with_capacity(fingerprints.len() / 16);
                sift_through(&[&front.filter], fingerprints, |index| passed.push(index));
                self.sift_passed(fingerprints, &passed, maybe);
            }
        }
    }

    fn sift_passed(&self, fingerprints: &[u64], passed: &[usize], mut maybe: impl FnMut(usize)) {
        let fingerprints: Vec<u64> = passed.iter().map(|index| fingerprints[*index]).collect();
        self.sift_through_runs(&fingerprints, |index| maybe(passed[index]));
    }

    fn sift_through_runs(&self, fingerprints: &[u64], maybe: impl FnMut(usize)) {
        let filters: Vec<&Filter> = self.runs.iter().map(|run| run.filter()).collect();
        sift_through(&filters, fingerprints, maybe);
    }

    /// The LSNs that stand for a fingerprint, ascending. May read from the disk.
    pub fn lookup(&self, fingerprint: u64) -> Result<Vec<u64>, Damaged> {
        let mut lsns = Vec::new();
        for run in self.runs.iter().filter(|run| run.may_hold(fingerprint)) {
            run.lookup(fingerprint, &mut lsns)?;
        }
        Ok(lsns)
    }
}

/// Calls `maybe` with the index of each fingerprint that passes some filter.
#[inline]
fn sift_through(filters: &[&Filter], fingerprints: &[u64], mut maybe: impl FnMut(usize)) {
    let prefetch = |group: Option<&[u64]>| {
        for filter in filters {
            for fingerprint in group.unwrap_or_default() {
                filter.prefetch(*fingerprint);
            }
        }
    };
    let mut ahead = fingerprints.chunks(GROUP);
    prefetch(ahead.next());
    for (group, first) in fingerprints.chunks(GROUP).zip((0..).step_by(GROUP)) {
        prefetch(ahead.next());
        let mut hits = 0_u32;
        for filter in filters {
            for (bit, fingerprint) in group.iter().enumerate() {
                hits |= u32::from(filter.may_hold(*fingerprint)) << bit;
            }
        }
        while hits != 0 {
            maybe(first + hits.trailing_zeros() as usize);
            hits &= hits - 1;
        }
    }
}

impl Spilled {
    /// Opens the runs of a log, removing what is leftover, damaged or another log's; `is_genuine` is asked whether the log holds a run's
    /// anchor.
    pub fn open(
        files: Arc<dyn Files>,
        log_id: [u8; 16],
        mut is_genuine: impl FnMut(Span, Anchor) -> bool,
    ) -> Result<Self, OpenError> {
        let failed = |name: &str, source| OpenError { path: files.place(name), source };
        let names = files.names(format::EXTENSION).map_err(|source| failed("", source))?;
        let mut spans: Vec<Span> = names.iter().filter_map(|name| format::span_of(name)).collect();
        spans.sort_unstable_by_key(|span| (span.from, u64::MAX - span.to));
        let mut keeper = Keeper::default();
        for span in spans {
            let end = keeper.runs.last().map_or(0, |run: &Arc<Run>| run.span().to);
            let name = format::file_name(span);
            if span.to <= end {
                files.delete(&name).map_err(|source| failed(&name, source))?;
                continue;
            }
            let why = match Run::open(&*files, log_id, span) {
                Err(Unreadable::Io(source)) => return Err(failed(&name, source)),
                Err(Unreadable::Malformed(why)) => why.to_string(),
                Ok(_) if span.from < end => "it overlaps another run".to_owned(),
                Ok(run) if !is_genuine(span, run.anchor()) => "it was not derived from this log".to_owned(),
                Ok(run) => {
                    keeper.runs.push(Arc::new(run));
                    continue;
                }
            };
            tracing::warn!(file = %files.place(&name).display(), why, "removing a run of identities: it will be derived again");
            files.delete(&name).map_err(|source| failed(&name, source))?;
        }
        let spilled = Spilled::empty(files, log_id);
        spilled.publish(&keeper);
        *spilled.keeper() = keeper;
        Ok(spilled)
    }

    /// No runs; files that there may be are left alone.
    pub fn empty(files: Arc<dyn Files>, log_id: [u8; 16]) -> Self {
        Spilled { files, log_id, shelf: Shelf::empty(), keeper: Mutex::default() }
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs now, if there are any. To be loaded after the claims that are looked up in them.
    #[inline]
    pub fn runs<'g>(&'g self, guard: &'g Guard) -> Option<&'g Runs> {
        self.shelf.load(guard)
    }

    /// The position up to which runs reach.
    pub fn end(&self) -> Option<u64> {
        self.keeper().runs.last().map(|run| run.span().to)
    }

    /// The parts of the log from `from` on, up to where runs reach, that no run covers.
    pub fn holes(&self, from: u64) -> Vec<Span> {
        let mut holes = Vec::new();
        let mut covered = from;
        for run in &self.keeper().runs {
            let span = run.span();
            if covered < span.from {
                holes.push(Span { from: covered, to: span.from });
            }
            covered = covered.max(span.to);
        }
        holes
    }

    /// Writes a portion's run, which is not listed yet. None if the portion is empty.
    pub fn write(&self, mut portion: Portion) -> io::Result<Option<Written>> {
        portion.identities.sort_unstable();
        let count = portion.identities.len() as u64;
        let mut writer = Writer::create(&*self.files, self.log_id, portion.span, count)?;
        // Held throughout: nobody else needs the keeper but the thread that keeps.
        let mut keeper = self.keeper();
        let Keeper { front, refresh, .. } = &mut *keeper;
        let mut fillings: Vec<_> =
            front.iter_mut().chain(refresh.as_mut().map(|refresh| &mut refresh.filling)).collect();
        for identity in portion.identities {
            for filling in &mut fillings {
                filling.enter(identity.0);
            }
            writer.push(identity).map_err(|error| match error {
                Unreadable::Io(error) => error,
                Unreadable::Malformed(error) => io::Error::other(error),
            })?;
        }
        Ok(writer.finish(&*self.files, portion.anchor)?.map(Written))
    }

    /// Lists runs that were written in place of all that lie in `span`.
    pub fn put(&self, span: Span, written: Vec<Written>) {
        let mut keeper = self.keeper();
        let lies_within = |run: &mut Arc<Run>| span.from <= run.span().from && run.span().to <= span.to;
        let gone: Vec<_> = keeper.runs.extract_if(.., lies_within).collect();
        // What is being made of a run that is going would bring it back.
        keeper.merging.take_if(|merge| merge.inputs().iter().any(|run| gone.iter().any(|gone| Arc::ptr_eq(gone, run))));
        keeper.runs.extend(written.into_iter().map(|written| Arc::new(written.0)));
        keeper.runs.sort_unstable_by_key(|run| run.span());
        if keeper.runs.is_empty() {
            keeper.refresh = None;
            let front = keeper.front.take();
            keeper.retired.1.extend(front.map(|filling| filling.front));
        }
        self.publish(&keeper);
        let is_listed = |name: &str| keeper.runs.iter().any(|run| format::file_name(run.span()) == name);
        let names: Vec<_> = gone.iter().map(|run| format::file_name(run.span())).collect();
        names.iter().filter(|name| !is_listed(name)).for_each(|name| self.remove(name));
        keeper.retired.0.extend(gone);
    }

    /// Puts the keeper's runs on the shelf.
    fn publish(&self, keeper: &Keeper) {
        let (runs, guard) = (keeper.runs.clone(), pin());
        let front = keeper.front.as_ref().map(|filling| Arc::clone(&filling.front));
        self.shelf.replace((!runs.is_empty()).then_some(Runs { runs, front }), &guard);
        guard.flush();
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.files.delete(name) {
            // It is found out as a leftover when the files are opened again.
            tracing::warn!(file = %self.files.place(name).display(), %error, "a run of identities cannot be removed");
        }
    }

    /// A run that turned out to be damaged since it was opened: to be derived again and [`Spilled::put`] in its place.
    pub fn damaged(&self) -> Option<Span> {
        self.keeper().runs.iter().find(|run| run.is_damaged()).map(|run| run.span())
    }

    /// Lets go of what lies before `horizon` whole, and gives back the memory of what was let go. Answers whether anything was.
    pub fn expire(&self, horizon: u64) -> bool {
        let mut keeper = self.keeper();
        let (runs, fronts) = &mut keeper.retired;
        let retired = runs.len() + fronts.len();
        runs.retain(|run| Arc::strong_count(run) > 1);
        fronts.retain(|front| Arc::strong_count(front) > 1);
        let freed = runs.len() + fronts.len() < retired;
        let oldest = keeper.runs.first().map(|run| run.span());
        drop(keeper);
        match oldest {
            Some(span) if span.to <= horizon => {
                self.put(span, Vec::new());
                true
            }
            _ => freed,
        }
    }

    /// A bounded step of making the front and of merging. Answers whether there was anything to do.
    pub fn step(&self, horizon: u64) -> io::Result<bool> {
        let mut keeper = self.keeper();
        if keeper.runs.iter().any(|run| run.is_damaged()) {
            (keeper.merging, keeper.refresh) = (None, None);
            return Ok(false);
        }
        if keeper.refresh.is_none() {
            keeper.refresh = Refresh::if_needed(keeper.front.as_ref(), &keeper.runs, horizon);
        }
        if keeper.refresh.is_some() {
            self.step_refresh(&mut keeper);
            return Ok(true);
        }
        self.step_merge(keeper, horizon)
    }

    fn step_refresh(&self, keeper: &mut Keeper) {
        match keeper.refresh.as_mut().map(|refresh| refresh.step(STEP)) {
            Some(Ok(false)) => {
                let old = keeper.front.take();
                keeper.front = keeper.refresh.take().map(|refresh| refresh.filling.complete());
                self.publish(keeper);
                keeper.retired.1.extend(old.map(|filling| filling.front));
            }
            // Whoever looks finds the run marked.
            Some(Err(Damaged)) => keeper.refresh = None,
            Some(Ok(true)) | None => {}
        }
    }

    fn step_merge(&self, mut keeper: MutexGuard<'_, Keeper>, horizon: u64) -> io::Result<bool> {
        let merge = if let Some(merge) = keeper.merging.take() {
            Ok(merge)
        } else {
            let alive: Vec<u64> = keeper.runs.iter().map(|run| run.alive(horizon)).collect();
            let Some(range) = merge::choose(&alive) else { return Ok(false) };
            Merge::begin(&*self.files, self.log_id, keeper.runs[range].to_vec(), horizon)
        };
        match merge.and_then(|mut merge| Ok((merge.step(STEP)?, merge))) {
            Ok((true, merge)) => {
                keeper.merging = Some(merge);
                Ok(true)
            }
            Ok((false, merge)) => {
                drop(keeper);
                let (inputs, merged) = merge.finish(&*self.files)?;
                let span = Span { from: inputs[0].span().from, to: inputs[inputs.len() - 1].span().to };
                self.put(span, merged.map(Written).into_iter().collect());
                Ok(true)
            }
            // Whoever looks finds the run marked.
            Err(Failed::Damaged) => Ok(true),
            Err(Failed::Io(error)) => Err(error),
        }
    }

    /// What there is.
    pub fn figures(&self, guard: &Guard) -> Figures {
        let Some(listed) = self.runs(guard) else { return Figures::default() };
        let front_bytes = listed.front.as_ref().map_or(0, |front| front.filter.bytes());
        let none = Figures { memory_bytes: front_bytes, ..Figures::default() };
        let add = |figures: Figures, run: &Arc<Run>| Figures {
            runs: figures.runs + 1,
            identities: figures.identities + run.entries(),
            file_bytes: figures.file_bytes + run.file_bytes(),
            memory_bytes: figures.memory_bytes + run.memory_bytes(),
        };
        listed.runs.iter().fold(none, add)
    }
}

/// A run that was written and is not listed yet.
#[derive(Debug)]
pub struct Written(Run);
