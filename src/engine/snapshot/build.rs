//! Making a snapshot: the one before it, and the log from there on, folded range of slots by range of slots.
//!
//! Each range takes as many wallets as fit in the memory that is set apart, and a walk over the new part of the log of its own. What does
//! not go by slots is sorted outside of memory: identities, and the numbers of the grants and holds that wallets have. A last walk picks their
//! declarations from the snapshot before and from the log, in which both stand in the order of their numbers.

use super::cursor::{Cursor, all};
use super::part::{Common, Earlier, Part};
use super::sorter::{Pair, Sorted, Sorter};
use super::{Progress, SnapshotFailure};
use crate::engine::catalog::Catalog;
use crate::engine::fold::{Fold, Loose, Share};
use crate::engine::repairs::Repairs;
use crate::engine::{OpenError, first_record};
use crate::journal::admin::{AdminRecord, Genesis, GrantRecord};
use crate::journal::billing::{BillingKey, BillingRecord};
use crate::journal::control::CustomerRecord;
use crate::journal::snapshot::entry::{self, Fixed, Identity, LooseDebit, Mark, Mended, PendingGrant, Unattached};
use crate::journal::snapshot::file::{BLOCK_BYTES, SnapshotFile, Writer};
use crate::journal::snapshot::{Head, Section, SnapshotError, Sums};
use crate::journal::{self, Corrupt, Record};
use crate::ledger::{GrantId, Timestamp};
use crate::store::hash::Seed;
use drawdown_wal::{Files, Log, Lsn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

/// A snapshot to be made.
pub(super) struct Job<'a> {
    pub(super) log: &'a Log,
    pub(super) files: &'a dyn Files,
    /// The snapshot to go on from; without one, the log is folded from its beginning.
    pub(super) previous: Option<&'a SnapshotFile>,
    /// Everything below is to be folded: the start of a frame, and durable.
    pub(super) upto: Lsn,
    /// Everything that was reserved when `upto` had become durable lies below, and is durable by now.
    pub(super) durable: Lsn,
    pub(super) made: Timestamp,
    pub(super) forget: Forget,
    /// The head of the log's hash chain at `upto`; zeroes where it is not known.
    pub(super) chain: [u8; 32],
    /// Identities recorded below are left out: files of their own hold them, and hold them again when they were lost.
    pub(super) identities_from: u64,
    pub(super) memory_bytes: u64,
    pub(super) progress: &'a Progress,
}

/// Which identities are left out for their age.
#[derive(Clone, Copy, Debug)]
pub(super) enum Forget {
    /// Those recorded so many ms or more before the latest time in the log.
    Older(u64),
    /// Those that another snapshot of this position has left out, which remembers since this instant.
    As(Timestamp),
}

/// Where the entries go.
pub(super) trait Sink {
    /// Takes the next entry of a section. Keys do not fall within one.
    fn put(&mut self, section: Section, key: u64, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()>;
}

impl Sink for Writer {
    fn put(&mut self, section: Section, key: u64, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        Writer::put(self, section, key, write)
    }
}

/// Bytes of log between two looks at whether to stop, after each of which other threads come first.
const STEP_BYTES: u64 = 1 << 20;
/// Entries between two such looks.
const STEP_ENTRIES: u64 = 1 << 14;

/// What the passes leave for the end.
#[derive(Default)]
struct Left {
    unopened: Vec<LooseDebit>,
    unattached: Vec<Unattached>,
    pending: Vec<PendingGrant>,
    repairs: Repairs,
    marks: Vec<Mark>,
    /// The latest time and the last run below the snapshot before.
    begun: (Timestamp, u32),
    /// The same below the new one.
    ended: (Timestamp, u32),
    slots: u64,
    wallets: u64,
}

/// Makes the snapshot. Answers its length in bytes.
pub(super) fn build(job: &Job<'_>) -> Result<u64, SnapshotFailure> {
    let head = Head { log_id: job.log.id(), lsn: job.upto, chain: job.chain };
    let block_bytes = BLOCK_BYTES.min((job.memory_bytes / 1024) as usize).max(256);
    let mut writer = Writer::begin(job.files, &head, block_bytes)?;
    let sums = fold_into(job, &mut writer)?;
    Ok(writer.finish(&sums)?)
}

/// Folds what the snapshot is to hold, and hands it over entry by entry.
pub(super) fn fold_into(job: &Job<'_>, writer: &mut impl Sink) -> Result<Sums, SnapshotFailure> {
    let genesis = match job.previous {
        Some(previous) => genesis(previous)?,
        None => first_record(job.log)?.ok_or(OpenError::NotALedger("it is empty"))?,
    };
    let seed = Seed::new(genesis.seed);
    let common = Common {
        catalog: RefCell::new(Catalog::default()),
        api_keys: RefCell::new(BTreeMap::new()),
        defaults: RefCell::new(BTreeMap::new()),
        runway_cursor: Cell::new(None),
        customers: RefCell::new(BTreeMap::new()),
        billing: RefCell::new(BTreeMap::new()),
        webhooks: RefCell::default(),
        identities: RefCell::new(Sorter::new(job.files, job.memory_bytes / 8)),
        redeclared: RefCell::new(BTreeMap::new()),
        failure: RefCell::new(None),
    };
    let mut held = Sorter::new(job.files, job.memory_bytes / 16);
    let mut left = job.begin(&common)?;
    let mut earlier = job.previous.map(|previous| {
        let cursor = |section| Cursor::new(previous, section);
        Earlier::new(cursor(Section::Wallets), cursor(Section::Metadata), cursor(Section::Recurring))
    });
    let mut first = 0;
    loop {
        let (part, behind) = Part::fill(first, job.memory_bytes / 4 * 3, earlier.as_mut(), &common)?;
        let leads = first == 0;
        job.fold_part(&part, &seed, first..behind, leads, &common, &mut left)?;
        part.each(|wallet| {
            left.wallets += 1;
            wallet.declared().try_for_each(|declared| held.push((declared, 0)))?;
            writer.put(Section::Wallets, wallet.slot.into(), |out| wallet.write(out))
        })?;
        for (slot, record) in part.metadata() {
            writer.put(Section::Metadata, slot.into(), |out| entry::write_record(&record, out))?;
        }
        for (schedule, record) in part.recurring() {
            let slot = record.slot.into();
            writer.put(Section::Recurring, slot, |out| entry::write_recurring(schedule, record, out))?;
        }
        first = behind;
        if u64::from(first) >= left.slots && earlier.as_ref().is_none_or(Earlier::is_at_end) {
            break;
        }
        job.progress.expect_parts(left.slots.div_ceil(u64::from(first)));
    }
    left.pending.iter().try_for_each(|pending| held.push((pending.grant, 0)))?;
    let mut sums = Sums {
        durable: job.durable,
        latest: left.ended.0,
        remembered_since: job.previous.map_or(Timestamp::EPOCH, |previous| previous.sums().remembered_since),
        made: job.made,
        wallets: left.wallets,
        slots: left.slots,
        run: left.ended.1,
        ..Sums::default()
    };
    let horizon = left.forget(job.forget, &mut sums);
    // What the snapshot before left out, this one cannot have.
    let left_out = job.previous.map_or(0, |previous| previous.sums().identities_from);
    sums.identities_from = job.identities_from.min(job.upto.get()).max(left_out);
    write_records(writer, genesis, &common)?;
    job.write_customers(writer, common.customers.take())?;
    job.write_billing(writer, common.billing.take())?;
    for (number, record) in (0..).zip(common.webhooks.borrow().records()) {
        let record = AdminRecord::Webhook(record);
        writer.put(Section::Webhooks, number, |out| entry::write_record(&record, out))?;
    }
    left.write(writer)?;
    let identities = common.identities.into_inner().finish()?;
    sums.identities = job.write_identities(writer, identities, horizon.max(sums.identities_from))?;
    sums.grants = job.write_grants(writer, held.finish()?, common.redeclared.into_inner())?;
    Ok(sums)
}

/// The ledger's first record, from a snapshot.
pub(in crate::engine) fn genesis(file: &SnapshotFile) -> Result<Genesis, SnapshotError> {
    for record in all(file, Section::Records, |rest| entry::read_record(rest, Timestamp::EPOCH))? {
        if let AdminRecord::Genesis(genesis) = record {
            return Ok(genesis);
        }
    }
    Err(SnapshotError::Damaged("it does not say what the ledger began with"))
}

impl Job<'_> {
    /// Where the new part of the log begins.
    fn from(&self) -> Lsn {
        self.previous.map_or(self.log.first(), SnapshotFile::lsn)
    }

    /// What the snapshot before leaves.
    fn begin(&self, common: &Common<'_>) -> Result<Left, SnapshotFailure> {
        let mut left = Left::default();
        let Some(previous) = self.previous else { return Ok(left) };
        for section in [Section::Records, Section::Webhooks] {
            for record in all(previous, section, |rest| entry::read_record(rest, Timestamp::EPOCH))? {
                if !common.enter(record) {
                    return Err(SnapshotError::Damaged("its catalogue has a gap").into());
                }
            }
        }
        left.unopened = all(previous, Section::Unopened, LooseDebit::read)?;
        left.unattached = all(previous, Section::Unattached, Unattached::read)?;
        left.pending = all(previous, Section::Pending, PendingGrant::read)?;
        all(previous, Section::Repairs, Mended::read)?.into_iter().for_each(|mended| left.repairs.enter(mended));
        left.marks = all(previous, Section::Marks, Mark::read)?;
        let sums = previous.sums();
        (left.begun, left.slots) = ((sums.latest, sums.run), sums.slots);
        Ok(left)
    }

    /// Folds the new part of the log into a range of wallets.
    fn fold_part(
        &self,
        part: &Part<'_, '_>,
        seed: &Seed,
        slots: std::ops::Range<u32>,
        leads: bool,
        common: &Common<'_>,
        left: &mut Left,
    ) -> Result<(), SnapshotFailure> {
        let share = Share::Between(slots.start, slots.end);
        let loose = left.take(&share, leads);
        let mut fold = Fold::new(self.log, seed, part, share, leads, loose);
        self.walk(|frame| {
            fold.frame(frame)?;
            match common.failure.borrow_mut().take() {
                Some(failure) => Err(failure.into()),
                None => Ok(()),
            }
        })?;
        fold.settle()?;
        if let Some(failure) = common.failure.borrow_mut().take() {
            return Err(failure.into());
        }
        left.slots = left.slots.max(fold.slots);
        left.put(fold.loose, leads);
        Ok(())
    }

    /// Visits the frames of the new part of the log.
    fn walk(
        &self,
        mut visit: impl FnMut(&drawdown_wal::FrameRef<'_>) -> Result<(), SnapshotFailure>,
    ) -> Result<(), SnapshotFailure> {
        let mut reader = self.log.reader(self.from());
        let mut seen = self.from();
        while let Some(frame) = reader.next()? {
            if frame.lsn >= self.upto {
                break;
            }
            visit(&frame)?;
            if frame.end.get() - seen.get() >= STEP_BYTES {
                self.progress.advance(frame.end.get() - seen.get());
                seen = frame.end;
                self.pause()?;
            }
        }
        Ok(())
    }

    /// Lets others go first, and ends the making if it is to end.
    fn pause(&self) -> Result<(), SnapshotFailure> {
        std::thread::yield_now();
        if self.progress.is_stopped() { Err(SnapshotFailure::Stopped) } else { Ok(()) }
    }

    fn write_identities(&self, writer: &mut impl Sink, mut new: Sorted, horizon: u64) -> Result<u64, SnapshotFailure> {
        let mut old = self.previous.map(|previous| Cursor::new(previous, Section::Identities));
        let mut next_old = || match &mut old {
            Some(old) => old.next(Identity::read),
            None => Ok(None),
        };
        let mut count = 0;
        let (mut one, mut other) = (next_old()?, new.next()?);
        loop {
            let (fingerprint, lsn) = match (one, other) {
                (Some(old), new) if new.is_none_or(|new| (old.fingerprint, old.lsn) <= new) => {
                    one = next_old()?;
                    (old.fingerprint, old.lsn)
                }
                (_, Some(pair)) => {
                    other = new.next()?;
                    pair
                }
                (_, None) => return Ok(count),
            };
            if lsn >= horizon {
                count += 1;
                if count.is_multiple_of(STEP_ENTRIES) {
                    self.pause()?;
                }
                writer.put(Section::Identities, fingerprint, |out| Identity { fingerprint, lsn }.write(out))?;
            }
        }
    }

    /// Writes the customers by id: those of the snapshot before, and in their places those of whom the log has said something since.
    fn write_customers(
        &self,
        writer: &mut impl Sink,
        new: BTreeMap<String, CustomerRecord>,
    ) -> Result<(), SnapshotFailure> {
        let mut new = new.into_values().peekable();
        let mut number = 0;
        let mut put = |customer| {
            number += 1;
            let record = AdminRecord::Customer(customer);
            writer.put(Section::Customers, number - 1, |out| entry::write_record(&record, out))
        };
        let mut old = self.previous.map(|previous| Cursor::new(previous, Section::Customers));
        while let Some(record) = match &mut old {
            Some(old) => old.next(|rest| entry::read_record(rest, Timestamp::EPOCH))?,
            None => None,
        } {
            let AdminRecord::Customer(old) = record else {
                return Err(SnapshotError::Damaged("a customer is none").into());
            };
            while let Some(before) = new.next_if(|new| new.id < old.id) {
                put(before)?;
            }
            put(new.next_if(|new| new.id == old.id).unwrap_or(old))?;
        }
        Ok(new.try_for_each(put)?)
    }

    /// Writes what there is of money in, as [`Job::write_customers`] does customers.
    fn write_billing(
        &self,
        writer: &mut impl Sink,
        new: BTreeMap<BillingKey, BillingRecord>,
    ) -> Result<(), SnapshotFailure> {
        let mut new = new.into_iter().peekable();
        let mut number = 0;
        let mut put = |record: BillingRecord| {
            if record.is_over() {
                return Ok(());
            }
            number += 1;
            let record = AdminRecord::Billing(record);
            writer.put(Section::Billing, number - 1, |out| entry::write_record(&record, out))
        };
        let mut old = self.previous.map(|previous| Cursor::new(previous, Section::Billing));
        while let Some(record) = match &mut old {
            Some(old) => old.next(|rest| entry::read_record(rest, Timestamp::EPOCH))?,
            None => None,
        } {
            let AdminRecord::Billing(old) = record else {
                return Err(SnapshotError::Damaged("a record of money in is none").into());
            };
            let key = old.key();
            while let Some((_, before)) = new.next_if(|(new, _)| *new < key) {
                put(before)?;
            }
            put(new.next_if(|(new, _)| *new == key).map_or(old, |(_, new)| new))?;
        }
        Ok(new.try_for_each(|(_, record)| put(record))?)
    }

    /// Writes the declarations of the grants and holds whose numbers `held` has. `redeclared` are those that were said once more in the new
    /// part of the log: of grants that were opened again, the snapshot before need not have any.
    fn write_grants(
        &self,
        writer: &mut impl Sink,
        held: Sorted,
        redeclared: BTreeMap<u64, GrantRecord>,
    ) -> Result<u64, SnapshotFailure> {
        let mut held = Held { sorted: held, next: None, redeclared, count: 0 };
        held.next = held.sorted.next()?;
        if let Some(previous) = self.previous {
            let (mut old, mut bytes, mut seen) = (Cursor::new(previous, Section::Grants), Vec::new(), 0_u64);
            let mut next = |bytes: &mut Vec<u8>| {
                old.next(|rest| {
                    let (number, entry) = entry::take_grant(rest)?;
                    bytes.clear();
                    bytes.extend_from_slice(entry);
                    Ok(number)
                })
            };
            while let Some(number) = next(&mut bytes)? {
                if held.has(number, writer)? {
                    writer.put(Section::Grants, number, |out| out.extend_from_slice(&bytes))?;
                }
                seen += 1;
                if seen.is_multiple_of(STEP_ENTRIES) {
                    self.pause()?;
                }
            }
        }
        self.walk(|frame| {
            let corrupt = |source: Corrupt| OpenError::Record { lsn: frame.lsn, source };
            let records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
            let time = records.prelude().time;
            for record in records.only(|_| false) {
                let (lsn, record) = record.map_err(corrupt)?;
                let Record::Admin(declaration @ (AdminRecord::Grant(_) | AdminRecord::Hold(_))) = record else {
                    continue;
                };
                if held.has(lsn.get(), writer)? {
                    let put = |out: &mut Vec<u8>| entry::write_declaration(lsn.get(), time, &declaration, out);
                    writer.put(Section::Grants, lsn.get(), put)?;
                }
            }
            Ok(())
        })?;
        held.write_redeclared(u64::MAX, writer)?;
        Ok(held.count)
    }
}

/// The numbers of the grants and holds that wallets have, while the declarations go by in the same order.
struct Held {
    sorted: Sorted,
    next: Option<Pair>,
    redeclared: BTreeMap<u64, GrantRecord>,
    count: u64,
}

impl Held {
    /// Whether the grant declared next is held, or what has rolled over of it: that has the number behind. One that was held and has not
    /// been declared by now never was, unless it was said once more.
    fn has(&mut self, declared: u64, writer: &mut impl Sink) -> Result<bool, SnapshotFailure> {
        self.write_redeclared(declared, writer)?;
        match self.next {
            Some((held, _)) if is_of(held, declared) => {
                self.pass(declared)?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Writes what was said once more of the grants that are held and were declared before `declared`, which are due by now.
    fn write_redeclared(&mut self, declared: u64, writer: &mut impl Sink) -> Result<(), SnapshotFailure> {
        while let Some((held, _)) = self.next.filter(|(held, _)| *held < declared) {
            let parent = GrantId::new(held).rolled_from().get();
            let mut again =
                [held, parent].into_iter().filter_map(|number| Some((number, self.redeclared.remove(&number)?)));
            let (number, again) = again.next().ok_or_else(|| undeclared(held))?;
            let (time, again) = (again.created_at, AdminRecord::Grant(again));
            writer.put(Section::Grants, number, |out| entry::write_declaration(number, time, &again, out))?;
            self.pass(number)?;
        }
        Ok(())
    }

    /// Goes on behind what a declaration is of: a grant and what rolled over of it. Either may be there more than once: what several holds
    /// have credits of comes as often, and what is about to be opened again is in no wallet only as long as nobody else opens it.
    fn pass(&mut self, declared: u64) -> Result<(), SnapshotFailure> {
        self.count += 1;
        while self.next.is_some_and(|(held, _)| is_of(held, declared)) {
            self.next = self.sorted.next()?;
        }
        Ok(())
    }
}

/// Whether what is declared at `declared` is the grant or hold `held`, or the grant of which that was the remainder.
fn is_of(held: u64, declared: u64) -> bool {
    held == declared || held == GrantId::new(declared).rolled_over().get()
}

fn undeclared(grant: u64) -> SnapshotFailure {
    let what = "a wallet has a grant or a hold that was never declared";
    SnapshotFailure::Fold(Box::new(OpenError::Inconsistent { lsn: Lsn::new(grant), what }))
}

fn write_records(writer: &mut impl Sink, genesis: Genesis, common: &Common<'_>) -> Result<(), SnapshotFailure> {
    let catalog = common.catalog.borrow();
    let currencies = catalog.currencies().iter().map(|currency| AdminRecord::Currency((**currency).clone()));
    let meters = catalog.meters().iter().map(|meter| AdminRecord::Meter((**meter).clone()));
    let api_keys = common.api_keys.borrow();
    let keys = api_keys.values().map(|key| AdminRecord::ApiKey(key.clone()));
    let defaults = common.defaults.borrow();
    let defaults = defaults.values().map(|record| AdminRecord::DefaultLevels(record.clone()));
    let cursor = common.runway_cursor.get().map(AdminRecord::RunwayCursor);
    let records = std::iter::once(AdminRecord::Genesis(genesis)).chain(currencies).chain(meters).chain(keys);
    let records = records.chain(defaults).chain(cursor);
    for (number, record) in (0..).zip(records) {
        writer.put(Section::Records, number, |out| entry::write_record(&record, out))?;
    }
    Ok(())
}

impl Left {
    /// What of it belongs to the wallets of a share.
    fn take(&mut self, share: &Share, leads: bool) -> Loose {
        let (latest, run) = self.begun;
        let mut loose = Loose { latest, run, ..Loose::default() };
        for debit in self.unopened.extract_if(.., |debit| share.owns(debit.slot)) {
            loose.unopened.entry(debit.slot).or_default().push(debit);
        }
        for record in self.unattached.extract_if(.., |record| share.owns(record.slot)) {
            loose.unattached.insert((record.slot, record.previous), record.lsn);
        }
        for pending in self.pending.extract_if(.., |pending| share.owns(pending.slot)) {
            loose.pending.insert(pending.grant, pending);
        }
        if leads {
            loose.marks = std::mem::take(&mut self.marks);
        }
        loose
    }

    /// Takes back what a fold left of it.
    fn put(&mut self, loose: Loose, leads: bool) {
        self.unopened.extend(loose.unopened.into_values().flatten());
        let unattached = loose.unattached.into_iter();
        self.unattached.extend(unattached.map(|((slot, previous), lsn)| Unattached { slot, previous, lsn }));
        self.pending.extend(loose.pending.into_values());
        self.repairs.merge(loose.repairs);
        if leads {
            self.marks = loose.marks;
        }
        // Every range has walked the same frames, so these are the same each time; they stand where they stood for the next one.
        self.ended = (loose.latest, loose.run);
    }

    /// Leaves out what lies before the idempotency window; the position below which identities are forgotten.
    fn forget(&mut self, forget: Forget, sums: &mut Sums) -> u64 {
        let past = match forget {
            Forget::Older(window_ms) => {
                self.marks.iter().rposition(|mark| mark.end.saturating_add(window_ms) < sums.latest)
            }
            // What remembers since the end of a minute begins with the mark of that.
            Forget::As(since) => self.marks.iter().position(|mark| mark.end == since),
        };
        let Some(past) = past else { return 0 };
        self.marks.drain(..past);
        sums.remembered_since = sums.remembered_since.max(self.marks[0].end);
        self.marks[0].lsn
    }

    fn write(&mut self, writer: &mut impl Sink) -> Result<(), SnapshotFailure> {
        #[cfg(drawdown_planted)]
        if drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::ForgetsUnopenedDebits) {
            self.unopened.clear();
        }
        self.unopened.sort_unstable_by_key(|debit| (debit.slot, debit.lsn));
        self.unattached.sort_unstable_by_key(|record| (record.slot, record.lsn));
        self.pending.sort_unstable_by_key(|pending| pending.grant);
        for debit in &self.unopened {
            writer.put(Section::Unopened, debit.slot.into(), |out| debit.write(out))?;
        }
        for record in &self.unattached {
            writer.put(Section::Unattached, record.slot.into(), |out| record.write(out))?;
        }
        for pending in &self.pending {
            writer.put(Section::Pending, pending.grant, |out| pending.write(out))?;
        }
        for (number, mended) in (0..).zip(self.repairs.all()) {
            writer.put(Section::Repairs, number, |out| mended.write(out))?;
        }
        for mark in &self.marks {
            writer.put(Section::Marks, mark.lsn, |out| mark.write(out))?;
        }
        Ok(())
    }
}
