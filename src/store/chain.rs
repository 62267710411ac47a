//! The tables of one shard, newest first: a lock-free list that grows at the head and is shortened at the tail.
//!
//! While a shard grows it has more than one table. Readers take a consistent [`View`] of them; a maintainer publishes a new
//! table in front and, once nothing in the oldest is needed any more, unlinks that one. An unlinked table lives until every
//! thread that could have seen it has let go of its guard, and is then unmapped by [`Chain::sweep`], on a background thread and
//! not in the middle of a batch.
//!
//! # Invariants
//! 1. A table's link to the next older one is set before the table is published and changes at most once, to null.
//! 2. A view is what the chain was at one moment during the call: see [`Chain::view`].
//! 3. A table is freed only after it was unlinked and every guard that existed at that moment is gone.

use super::sync::{AtomicPtr, Guard, Ordering};
use std::ptr;

/// More tables than a shard ever needs at once: each is larger than all that was in use when it was made.
pub(super) const TABLES_MAX: usize = 8;

pub(super) struct Chain<T> {
    /// Written by `publish` (Release), read by `view` (Acquire). Never null. Owned.
    newest: AtomicPtr<Node<T>>,
    graves: Graves<T>,
}

struct Node<T> {
    /// Written before publication and by `unlink_oldest` (Release), read by `view` (Acquire). Owned.
    older: AtomicPtr<Node<T>>,
    table: T,
}

/// The tables of a shard at one moment, oldest first. There is at least one.
pub(super) struct View<'g, T> {
    tables: [Option<&'g T>; TABLES_MAX],
    newest: &'g T,
    older_count: usize,
}

impl<'g, T> View<'g, T> {
    /// The table that takes new entries.
    #[inline]
    pub(super) fn newest(&self) -> &'g T {
        self.newest
    }

    /// The tables being migrated from, oldest first.
    #[inline]
    pub(super) fn older(&self) -> impl Iterator<Item = &'g T> {
        self.tables[TABLES_MAX - self.older_count..].iter().flatten().copied()
    }

    /// The table to migrate from.
    pub(super) fn oldest(&self) -> Option<&'g T> {
        self.older().next()
    }

    pub(super) fn len(&self) -> usize {
        self.older_count + 1
    }
}

impl<T: Send + Sync + 'static> Chain<T> {
    pub(super) fn new(first: T) -> Self {
        Chain { newest: AtomicPtr::new(Node::boxed(first, ptr::null_mut())), graves: Graves::default() }
    }

    /// The newest table alone: good for hints, not for deciding that something is absent.
    #[inline]
    pub(super) fn newest<'g>(&'g self, _guard: &'g Guard) -> &'g T {
        // Acquire, with publish: the table is complete.
        let newest = self.newest.load(Ordering::Acquire);
        // SAFETY: never null, and by invariant 3 not freed while the guard, which was there first, exists.
        unsafe { &(*newest).table }
    }

    /// The newest table, if it is the only one: then it is the whole view. The usual case, at less cost than [`Chain::view`].
    #[inline]
    pub(super) fn sole<'g>(&'g self, _guard: &'g Guard) -> Option<&'g T> {
        // Orderings and argument as in view.
        let head = self.newest.load(Ordering::Acquire);
        // SAFETY: never null, and by invariant 3 not freed while the guard, which was there first, exists.
        let node = unsafe { &*head };
        let sole = node.older.load(Ordering::Acquire).is_null() && self.newest.load(Ordering::Acquire) == head;
        sole.then_some(&node.table)
    }

    /// The tables of this moment.
    ///
    /// Reading the links one after the other could miss a table: between two reads another one may be published, the
    /// oldest moved into that and unlinked. So the head is read again at the end. Had the tail been cut after a publication that
    /// the first read did not see, then reading the cut link (Acquire, with the Release of `unlink_oldest`, which follows that
    /// publication) makes the second read see it.
    #[inline]
    pub(super) fn view<'g>(&'g self, guard: &'g Guard) -> View<'g, T> {
        loop {
            // Acquire, with publish: the table is complete, its link set.
            let head = self.newest.load(Ordering::Acquire);
            // SAFETY: never null, and by invariant 3 not freed while the guard, which was there first, exists.
            let node = unsafe { &*head };
            let mut view = View { tables: [None; TABLES_MAX], newest: &node.table, older_count: 0 };
            // Acquire, with unlink_oldest: if the older table is gone, what was moved out of it is in a newer one.
            let older = node.older.load(Ordering::Acquire);
            if !older.is_null() {
                collect(older, &mut view, guard);
            }
            // Acquire, with publish; see above.
            if self.newest.load(Ordering::Acquire) == head {
                return view;
            }
        }
    }

    /// Puts a table in front; the previous newest becomes the one next older. The caller holds the shard's lock: only one
    /// thread at a time publishes or unlinks.
    pub(super) fn publish(&self, table: T) {
        // Relaxed: under the lock, the value is this thread's or was handed over by the lock.
        let previous = self.newest.load(Ordering::Relaxed);
        let node = Node::boxed(table, previous);
        // Release, with view: the table and its link are complete. The compare cannot fail under the lock; were the lock
        // forgotten, it would keep the chain whole.
        let published = self.newest.compare_exchange(previous, node, Ordering::Release, Ordering::Relaxed);
        assert!(published.is_ok(), "two threads maintain one shard");
    }

    /// Takes the oldest table out and retires it. All that is needed of it must be in newer ones. The caller holds the shard's
    /// lock.
    pub(super) fn unlink_oldest(&self, guard: &Guard) {
        let mut last = self.newest.load(Ordering::Relaxed); // under the lock
        let mut before = None;
        loop {
            // SAFETY: part of the chain; the guard keeps it alive even if it is unlinked meanwhile.
            let node = unsafe { &*last };
            let older = node.older.load(Ordering::Relaxed); // under the lock
            if older.is_null() {
                break;
            }
            before = Some(node);
            last = older;
        }
        let before = before.expect("a shard keeps its newest table");
        // Release, with view: the moved entries are visible to whoever sees the table gone. Swapping takes the ownership, once.
        let unlinked = before.older.swap(ptr::null_mut(), Ordering::AcqRel);
        if !unlinked.is_null() {
            self.graves.retire(unlinked, guard);
        }
    }

    /// Frees one unlinked table that nobody can see any more, if there is one.
    pub(super) fn sweep(&self) -> bool {
        self.graves.sweep()
    }
}

/// Follows the links from `node` to the tail.
#[cold]
fn collect<'g, T>(mut node: *mut Node<T>, view: &mut View<'g, T>, _guard: &'g Guard) {
    while !node.is_null() {
        // SAFETY: read from a link of a live table while the guard existed, hence by invariant 3 not freed while it does.
        let live: &'g Node<T> = unsafe { &*node };
        view.older_count += 1;
        view.tables[TABLES_MAX - view.older_count] = Some(&live.table);
        node = live.older.load(Ordering::Acquire); // as in view
    }
}

impl<T> Node<T> {
    fn boxed(table: T, older: *mut Node<T>) -> *mut Node<T> {
        Box::into_raw(Box::new(Node { older: AtomicPtr::new(older), table }))
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        let mut node = self.newest.load(Ordering::Relaxed); // alone: `&mut self`
        while !node.is_null() {
            // SAFETY: the chain owns its nodes, each linked once, and nobody else is left.
            let owned = unsafe { Box::from_raw(node) };
            node = owned.older.load(Ordering::Relaxed);
        }
    }
}

#[cfg(not(drawdown_loom))]
use reclaim::Graves;

#[cfg(drawdown_loom)]
use leak::Graves;

#[cfg(not(drawdown_loom))]
mod reclaim {
    use super::{Guard, Node};
    use crossbeam::queue::SegQueue;
    use std::sync::Arc;

    /// Tables that no thread can see, waiting to be freed. The epochs run their deferred work on whichever thread comes by; so
    /// that work only moves the table here.
    pub(super) struct Graves<T>(Arc<SegQueue<Box<Node<T>>>>);

    /// The only link to a table that others may still be reading; hence not a box yet.
    struct Unlinked<T>(*mut Node<T>);

    // SAFETY: it stands for an owned table, and tables are Send.
    unsafe impl<T: Send> Send for Unlinked<T> {}

    impl<T> Unlinked<T> {
        /// Nobody else sees the table any more.
        fn into_box(self) -> Box<Node<T>> {
            // SAFETY: came from `Node::boxed`, and its only link was taken out by a swap.
            unsafe { Box::from_raw(self.0) }
        }
    }

    impl<T> Default for Graves<T> {
        fn default() -> Self {
            Graves(Arc::default())
        }
    }

    impl<T: Send + 'static> Graves<T> {
        pub(super) fn retire(&self, node: *mut Node<T>, guard: &Guard) {
            let graves = Arc::clone(&self.0);
            let unlinked = Unlinked(node);
            // SAFETY: the closure owns all that it uses, and it runs once every guard is gone that could have led to the table.
            unsafe { guard.defer(move || graves.push(unlinked.into_box())) };
            guard.flush();
        }

        pub(super) fn sweep(&self) -> bool {
            self.0.pop().is_some()
        }
    }
}

#[cfg(drawdown_loom)]
mod leak {
    use super::{Guard, Node};
    use std::marker::PhantomData;

    /// Under loom unlinked tables are leaked.
    pub(super) struct Graves<T>(PhantomData<fn() -> T>);

    impl<T> Default for Graves<T> {
        fn default() -> Self {
            Graves(PhantomData)
        }
    }

    impl<T> Graves<T> {
        #[expect(clippy::unused_self, reason = "stands for the real one")]
        pub(super) fn retire(&self, _node: *mut Node<T>, _guard: &Guard) {}

        #[expect(clippy::unused_self, reason = "stands for the real one")]
        pub(super) fn sweep(&self) -> bool {
            false
        }
    }
}
