//! What each thread asked for and freed.

use crate::event::Tid;
use crate::units::Bytes;
use std::collections::BTreeMap;

/// A thread and its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// The kernel's number for it.
    pub tid: Tid,
    /// Requests; a realloc counts as one.
    pub allocations: u64,
    /// Their sum.
    pub requested: Bytes,
    /// Blocks that it freed.
    pub frees: u64,
    /// Of those, blocks that another thread had asked for.
    pub foreign_frees: u64,
    /// Blocks that it freed before it asked for the next one.
    pub temporary: u64,
    /// Requested bytes of its blocks at the moment when all live bytes together peaked.
    pub live_at_peak: Bytes,
    /// The same at the end.
    pub live_at_end: Bytes,
}

/// A thread in the making.
#[derive(Clone, Debug, Default)]
struct Entry {
    counts: ThreadUse,
    now: u64,
    /// What was live at the peak of this number.
    at_peak: u64,
    peak: u64,
    /// What it asked for last, if that is live and its own.
    latest: Option<u32>,
}

/// All threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    entries: Vec<Entry>,
    by_tid: BTreeMap<Tid, usize>,
    recent: Option<(Tid, usize)>,
    /// Number of the peaks of live bytes so far.
    peak: u64,
}

impl Threads {
    /// A thread asks for a block, or resizes it; answers with the thread's number here.
    pub(super) fn alloc(&mut self, id: u32, tid: Tid, size: Bytes) -> u32 {
        let at = self.find(tid);
        let entry = self.change(at);
        entry.counts.allocations += 1;
        entry.counts.requested += size;
        entry.now += size.0;
        entry.latest = Some(id);
        at as u32
    }

    /// A block of a thread is gone.
    pub(super) fn leave(&mut self, id: u32, owner: u32, size: Bytes) {
        let entry = self.change(owner as usize);
        entry.now -= size.0;
        entry.latest = entry.latest.filter(|&latest| latest != id);
    }

    /// A thread frees a block, before it leaves; answers whether it was temporary.
    pub(super) fn free(&mut self, id: u32, tid: Tid, owner: u32) -> bool {
        let at = self.find(tid);
        let entry = &mut self.entries[at];
        let own = at == owner as usize;
        let temporary = own && entry.latest == Some(id);
        entry.counts.frees += 1;
        entry.counts.foreign_frees += u64::from(!own);
        entry.counts.temporary += u64::from(temporary);
        temporary
    }

    /// All live bytes together are at a new peak.
    pub(super) fn at_peak(&mut self) {
        self.peak += 1;
    }

    /// In the order in which they first did anything.
    pub(super) fn rows(&self) -> Vec<ThreadUse> {
        let row = |entry: &Entry| ThreadUse {
            live_at_peak: Bytes(if entry.peak == self.peak { entry.at_peak } else { entry.now }),
            live_at_end: Bytes(entry.now),
            ..entry.counts
        };
        self.entries.iter().map(row).collect()
    }

    fn find(&mut self, tid: Tid) -> usize {
        if let Some((_, at)) = self.recent.filter(|recent| recent.0 == tid) {
            return at;
        }
        let at = *self.by_tid.entry(tid).or_insert(self.entries.len());
        if at == self.entries.len() {
            self.entries.push(Entry { counts: ThreadUse { tid, ..ThreadUse::default() }, peak: self.peak, ..Entry::default() });
        }
        self.recent = Some((tid, at));
        at
    }

    /// What it has is about to change: what it had at the latest peak is remembered.
    fn change(&mut self, at: usize) -> &mut Entry {
        let entry = &mut self.entries[at];
        if entry.peak != self.peak {
            (entry.peak, entry.at_peak) = (self.peak, entry.now);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Blocks;
    use super::*;
    use crate::units::Nanos;

    #[test]
    fn threads_are_told_apart_at_the_peak() {
        let mut blocks = Blocks::default();
        let (time, bytes) = (Nanos(0), Bytes);
        blocks.alloc(0, 7, bytes(100), time);
        blocks.alloc(1, 8, bytes(50), time);
        blocks.free(0, 8, time);
        blocks.alloc(0, 8, bytes(10), time);
        blocks.free(0, 8, time);
        blocks.alloc(0, 7, bytes(10), time);
        blocks.alloc(2, 7, bytes(20), time);
        blocks.free(0, 7, time);
        blocks.realloc(1, 7, bytes(60));
        let row = |tid, [allocations, requested, frees, foreign, temporary, peak, end]: [u64; 7]| ThreadUse {
            tid,
            allocations,
            requested: Bytes(requested),
            frees,
            foreign_frees: foreign,
            temporary,
            live_at_peak: Bytes(peak),
            live_at_end: Bytes(end),
        };
        assert_eq!(blocks.threads(), [row(7, [4, 190, 1, 0, 0, 100, 80]), row(8, [2, 60, 2, 1, 1, 50, 0])]);
        let temporary: u64 = blocks.size_classes().iter().map(|class| class.temporary).sum();
        assert_eq!(temporary, 1);
    }
}
