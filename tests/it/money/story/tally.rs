//! What happened in stories, counted.

/// How often what happened: a simulation that never gets to the interesting places is none.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::money) struct Tally {
    pub(in crate::money) stories: u64,
    pub(in crate::money) steps: u64,
    pub(in crate::money) crashes: u64,
    pub(in crate::money) lost_steps: u64,
    pub(in crate::money) snapshots: u64,
    pub(in crate::money) by_rules: u64,
    pub(in crate::money) paid: u64,
    pub(in crate::money) late: u64,
    pub(in crate::money) refunds: u64,
    pub(in crate::money) disputes: u64,
    pub(in crate::money) lost_disputes: u64,
    pub(in crate::money) parts: u64,
    pub(in crate::money) ended: u64,
    pub(in crate::money) suspended: u64,
    pub(in crate::money) skipped: u64,
    pub(in crate::money) asked_again: u64,
}

impl Tally {
    pub(in crate::money) fn add(&mut self, other: &Tally) {
        self.stories += other.stories;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.lost_steps += other.lost_steps;
        self.snapshots += other.snapshots;
        self.by_rules += other.by_rules;
        self.paid += other.paid;
        self.late += other.late;
        self.refunds += other.refunds;
        self.disputes += other.disputes;
        self.lost_disputes += other.lost_disputes;
        self.parts += other.parts;
        self.ended += other.ended;
        self.suspended += other.suspended;
        self.skipped += other.skipped;
        self.asked_again += other.asked_again;
    }
}
