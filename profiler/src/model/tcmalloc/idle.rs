//! Caches, free spans and bookkeeping, by address.

use super::calls::Heap;
use super::spans::PAGE_SHIFT;
use crate::model::{Idle, Visit};
use crate::units::{Addr, Bytes};

impl Heap {
    pub(super) fn visit_idle(&self, visit: &mut Visit) {
        let mut cached = |class, object: u64| visit(Idle::Cache, Addr(object), Bytes(self.classes.get(class).size));
        self.threads.each_cached(&mut cached);
        self.central.each_batched(&mut cached);
        let pages = &self.pages;
        pages.metadata.chunks().for_each(|(start, len)| visit(Idle::Metadata, Addr(start), Bytes(len)));
        pages.normal.each(&pages.spans, |span| visit(Idle::Waiting, Addr(span.start << PAGE_SHIFT), Bytes(span.len << PAGE_SHIFT)));
    }

    /// The span of a block.
    pub(super) fn unit(&self, addr: u64) -> Option<(Addr, Bytes)> {
        let span = self.pages.spans.get(self.pages.spans.at(addr >> PAGE_SHIFT)?);
        Some((Addr(span.start << PAGE_SHIFT), Bytes(span.len << PAGE_SHIFT)))
    }
}
