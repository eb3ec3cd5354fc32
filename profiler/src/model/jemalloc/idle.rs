//! Caches, decaying extents and bookkeeping, by address.

use super::Jemalloc;
use super::cache::Cache;
use super::classes::size_of;
use crate::model::{Idle, Visit};
use crate::units::{Addr, Bytes};

impl Jemalloc {
    pub(super) fn visit_idle(&self, visit: &mut Visit) {
        for cache in self.threads.iter().filter_map(|thread| thread.cache.as_ref()) {
            for (class, stack) in cache.stacks.iter().enumerate() {
                stack.blocks.iter().for_each(|&block| visit(Idle::Cache, Addr(block), Bytes(size_of(class))));
            }
        }
        for arena in &self.arenas {
            arena.base.each(|start, len| visit(Idle::Metadata, Addr(start), Bytes(len)));
            [&arena.dirty, &arena.muzzy].into_iter().for_each(|cache| self.visit_waiting(cache, visit));
        }
    }

    fn visit_waiting(&self, cache: &Cache, visit: &mut Visit) {
        let mut id = cache.oldest;
        while id != 0 {
            let extent = &self.store[id];
            visit(Idle::Waiting, Addr(extent.addr), Bytes(extent.bytes()));
            id = extent.newer;
        }
    }
}
