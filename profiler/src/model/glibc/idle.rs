//! Caches and bookkeeping, by address.

use super::Glibc;
use super::chunk::WORD;
use crate::model::{Idle, Visit};
use crate::units::{Addr, Bytes};

impl Glibc {
    /// What no live block has. The bins and the top are left out: they are what lies free among the blocks.
    pub(super) fn visit_idle(&self, visit: &mut Visit) {
        // The first word of a chunk is the last usable one of the chunk below.
        let mut tell = |idle, chunk: u64, size| visit(idle, Addr(chunk + WORD), Bytes(size));
        for cache in self.threads.iter().filter_map(|thread| thread.tcache.as_ref()) {
            tell(Idle::Metadata, cache.chunk, self.memory.size(cache.chunk));
            cache.each(&self.memory, |chunk, size| tell(Idle::Cache, chunk, size));
        }
        for mut link in self.arenas.iter().flat_map(|arena| arena.fast) {
            while link != 0 {
                tell(Idle::Cache, self.memory.chunk(link), self.memory.size_at(link));
                link = self.memory.next(link);
            }
        }
        self.heap_starts().for_each(|(base, len)| visit(Idle::Metadata, Addr(base), Bytes(len)));
    }
}
