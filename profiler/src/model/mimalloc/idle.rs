//! Memory that waits for being returned, and bookkeeping, by address.

use super::Mimalloc;
use super::rules::{SEGMENT, SLICE};
use crate::model::{Idle, Visit};
use crate::units::{Addr, Bytes};

impl Mimalloc {
    pub(super) fn visit_idle(&self, visit: &mut Visit) {
        self.cache.each_base(|base| visit(Idle::Waiting, Addr(base), Bytes(SEGMENT)));
        for segment in self.places.each().map(|at| &self.segments[at as usize]) {
            visit(Idle::Metadata, Addr(segment.base), Bytes(SLICE));
            for (slice, count) in segment.decommit.runs() {
                visit(Idle::Waiting, Addr(segment.base + slice as u64 * SLICE), Bytes(count as u64 * SLICE));
            }
        }
    }

    /// The page of a block.
    pub(super) fn around(&self, addr: u64) -> Option<(Addr, Bytes)> {
        let segment = &self.segments[self.places.find((addr - 1) / SEGMENT)? as usize];
        let page = self.pages.get(segment.page_at(addr) as usize)?;
        let start = segment.base + u64::from(page.slice) * SLICE;
        Some((Addr(start), Bytes(u64::from(page.slices) * SLICE)))
    }
}
