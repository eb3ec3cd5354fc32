//! What each place in the code asked for.

use crate::event::origin::SiteId;
use crate::units::Bytes;

/// A place and its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteUse {
    /// The place; 0 is unknown.
    pub site: SiteId,
    /// Requests; a realloc counts as one.
    pub allocations: u64,
    /// Their sum.
    pub requested: Bytes,
    /// Blocks that were freed before their thread asked for another one.
    pub temporary: u64,
    /// Page faults that showed a first touch of its blocks.
    pub faults: u64,
    /// Requested bytes of its blocks at the moment when all live bytes together peaked.
    pub live_at_peak: Bytes,
    /// The same at the end.
    pub live_at_end: Bytes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    counts: SiteUse,
    now: u64,
    /// What was live at the peak of this number.
    at_peak: u64,
    peak: u64,
}

/// All places. A block belongs to the place that asked for it last.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// By place.
    entries: Vec<Entry>,
    /// Place and size by object id.
    blocks: Vec<Option<(SiteId, u64)>>,
    live: u64,
    highest: u64,
    /// Number of the peaks of live bytes so far.
    peak: u64,
}

impl Sites {
    /// A place asks for a block, or resizes one.
    pub fn alloc(&mut self, id: u32, site: SiteId, size: Bytes) {
        self.leave(id);
        let slot = id as usize;
        if slot >= self.blocks.len() {
            self.blocks.resize(slot + 1, None);
        }
        self.blocks[slot] = Some((site, size.0));
        let entry = self.change(site);
        entry.counts.allocations += 1;
        entry.counts.requested += size;
        entry.now += size.0;
        self.live += size.0;
        if self.live > self.highest {
            self.highest = self.live;
            self.peak += 1;
        }
    }

    /// A block ends.
    pub fn free(&mut self, id: u32, temporary: bool) {
        if let Some(site) = self.leave(id) {
            self.entries[site as usize].counts.temporary += u64::from(temporary);
        }
    }

    /// A page fault showed a first touch of a block.
    pub fn fault(&mut self, id: u32) {
        if let Some((site, _)) = self.blocks.get(id as usize).copied().flatten() {
            self.entries[site as usize].counts.faults += 1;
        }
    }

    /// Places that asked for anything, in the order of their numbers.
    pub fn rows(&self) -> Vec<SiteUse> {
        let row = |(site, entry): (usize, &Entry)| SiteUse {
            site: site as SiteId,
            live_at_peak: Bytes(if entry.peak == self.peak { entry.at_peak } else { entry.now }),
            live_at_end: Bytes(entry.now),
            ..entry.counts
        };
        self.entries.iter().enumerate().filter(|(_, entry)| entry.counts.allocations > 0).map(row).collect()
    }

    fn leave(&mut self, id: u32) -> Option<SiteId> {
        let (site, size) = self.blocks.get_mut(id as usize)?.take()?;
        self.change(site).now -= size;
        self.live -= size;
        Some(site)
    }

    /// What it has is about to change: what it had at the latest peak is remembered.
    fn change(&mut self, site: SiteId) -> &mut Entry {
        let slot = site as usize;
        if slot >= self.entries.len() {
            self.entries.resize(slot + 1, Entry::default());
        }
        let entry = &mut self.entries[slot];
        if entry.peak != self.peak {
            (entry.peak, entry.at_peak) = (self.peak, entry.now);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_at_the_peak() {
        let mut sites = Sites::default();
        sites.alloc(0, 5, Bytes(100));
        sites.alloc(1, 2, Bytes(50));
        sites.fault(0);
        sites.free(1, true);
        sites.alloc(1, 2, Bytes(20));
        sites.alloc(0, 2, Bytes(10));
        let row = |site, [allocations, requested, temporary, faults, peak, end]: [u64; 6]| SiteUse {
            site,
            allocations,
            requested: Bytes(requested),
            temporary,
            faults,
            live_at_peak: Bytes(peak),
            live_at_end: Bytes(end),
        };
        assert_eq!(sites.rows(), [row(2, [3, 80, 1, 0, 50, 30]), row(5, [1, 100, 0, 1, 100, 0])]);
    }
}
