//! The account of every event.

use std::collections::BTreeMap;

/// What became of an event.
pub(super) enum Fate {
    /// Became operations.
    Lifted,
    /// Changed memory that is not malloc's, which every policy carries.
    Carried,
    /// Neither, for this reason.
    SetAside(&'static str),
}

pub(super) const OWN_CALL: &str = "the allocator's own system call";
pub(super) const OWN_TOUCH: &str = "the allocator's own touch";
/// A call of the malloc family that gave nothing.
pub const FAILED: &str = "failed call";
/// A call that was on its way when the window of the recording ended.
pub(super) const OUTSIDE: &str = "call at the very end of a window";
pub(super) const WINDOW: &str = "begin or end of a window";
pub(super) const FREE_NULL: &str = "free of NULL";
/// A block that nobody saw being given out.
pub const FREE_UNKNOWN: &str = "free of a block that is older than the recording or was freed before";
/// A block that a forked child has from its parent.
pub const FREE_INHERITED: &str = "free of a block inherited at fork";
pub(super) const FREE_AT_EXIT: &str = "free in a thread's teardown: the cache of what it had freed before";
pub(super) const IDLE_FAULT: &str = "fault on a page that was there already (two threads at once)";
pub(super) const STRAY_FAULT: &str = "fault where nothing is mapped that could be touched";
pub(super) const RECORDERS_FAULT: &str = "fault on a page of the recorder's own";
pub(super) const THREAD_START: &str = "start of a thread";
pub(super) const PAUSE: &str = "pause that the recorder made: taken off the clock";
pub(super) const SWAP: &str = "swapped out pages: told, not modelled";
pub(super) const IMPOSSIBLE: &str = "address or length that no process can have";
pub(super) const LATE: &str = "after the end of the process";

/// The count of everything that was fed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Events of the selected process.
    pub events: u64,
    /// Events that became operations.
    pub lifted: u64,
    /// Events that changed memory carried by every policy.
    pub carried: u64,
    /// Events that are not part of the workload, by reason.
    pub set_aside: BTreeMap<&'static str, u64>,
    /// Blocks whose address was given out again although no `free` or `realloc` was seen: taken as freed.
    pub implicitly_freed: u64,
    /// Blocks that were live when a window of the recording ended: nobody knows for how long after.
    pub closed: u64,
    /// Blocks resized that were older than the recording: taken as new.
    pub adopted: u64,
}

impl Books {
    /// Later events have shown what these were.
    pub(super) fn rename(&mut self, from: &'static str, to: &'static str, count: u64) {
        if count > 0 {
            *self.set_aside.entry(from).or_default() -= count;
            *self.set_aside.entry(to).or_default() += count;
            self.set_aside.retain(|_, count| *count > 0);
        }
    }

    pub(super) fn enter(&mut self, fate: Fate) {
        self.events += 1;
        match fate {
            Fate::Lifted => self.lifted += 1,
            Fate::Carried => self.carried += 1,
            Fate::SetAside(reason) => *self.set_aside.entry(reason).or_default() += 1,
        }
    }
}
