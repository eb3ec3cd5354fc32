//! Threads: which arena one gets, the start and the end of its cache.

use super::Glibc;
use super::chunk::{HEADER, chunk_size};
use super::memory::write;
use super::tcache::Tcache;
use crate::event::Tid;
use crate::vm::os::Os;

/// Arenas per CPU where nothing else is set.
const ARENAS_PER_CPU: u64 = 8;

/// What the allocator knows about a thread.
pub(super) struct Thread {
    tid: Tid,
    /// Its arena, from its first request on.
    pub(super) arena: Option<usize>,
    pub(super) tcache: Option<Tcache>,
}

impl Thread {
    pub(super) fn is(&self, tid: Tid) -> bool {
        self.tid == tid
    }

    /// Bytes that its cache keeps.
    pub(super) fn cached_bytes(&self) -> u64 {
        self.tcache.as_ref().map_or(0, |cache| cache.bytes)
    }
}

impl Glibc {
    /// The thread of a call. The first one ever is the program's first, which has the main arena.
    pub(super) fn thread(&mut self, tid: Tid) -> usize {
        if let Some(thread) = self.threads.get(self.latest_thread)
            && thread.tid == tid
        {
            return self.latest_thread;
        }
        let known = self.threads.iter().position(|thread| thread.tid == tid);
        self.latest_thread = known.unwrap_or_else(|| {
            let arena = self.threads.is_empty().then_some(0);
            self.threads.push(Thread { tid, arena, tcache: None });
            self.threads.len() - 1
        });
        self.latest_thread
    }

    /// The arena of a thread, chosen at its first need; a new one is made large enough for a chunk of `need` bytes.
    pub(super) fn arena_of(&mut self, os: &mut dyn Os, thread: usize, need: u64) -> usize {
        if let Some(arena) = self.threads[thread].arena {
            return arena;
        }
        let arena = match self.free_arenas.pop() {
            Some(arena) => {
                self.arenas[arena].attached += 1;
                arena
            }
            None => self.new_or_shared_arena(os, need),
        };
        self.threads[thread].arena = Some(arena);
        arena
    }

    fn new_or_shared_arena(&mut self, os: &mut dyn Os, need: u64) -> usize {
        let made = if (self.arenas.len() as u64) < self.arena_limit() { self.new_arena(os, need) } else { None };
        made.unwrap_or_else(|| {
            // Round robin, from the main arena to the newest and on to the oldest. Whether another thread holds a lock is not known.
            let arena = self.next_shared;
            self.next_shared = if arena == 0 { self.arenas.len() - 1 } else { arena - 1 };
            self.free_arenas.retain(|&free| free != arena);
            self.arenas[arena].attached += 1;
            arena
        })
    }

    fn arena_limit(&mut self) -> u64 {
        if self.params.arena_max > 0 {
            return self.params.arena_max;
        }
        if self.arenas.len() as u64 > self.params.arena_test {
            // Asked once, and then kept.
            self.params.arena_max = ARENAS_PER_CPU * u64::from(self.cpus.max(1));
            return self.params.arena_max;
        }
        u64::MAX
    }

    /// Makes sure that a thread has its cache.
    pub(super) fn ensure_tcache(&mut self, os: &mut dyn Os, thread: usize) {
        if self.threads[thread].tcache.is_some() {
            return;
        }
        let bytes = self.version.tcache_bytes();
        let Some(need) = chunk_size(bytes) else { return };
        let arena = self.arena_of(os, thread, bytes);
        let Some(chunk) = self.core_malloc(os, arena, thread, need, bytes) else { return };
        write(os, chunk + HEADER, bytes);
        self.threads[thread].tcache = Some(Tcache::new(chunk, chunk + HEADER + self.version.tcache_heads()));
    }

    /// A thread ends: what its cache holds goes back to the arenas, and its arena to whoever comes next.
    pub(super) fn end_thread(&mut self, os: &mut dyn Os, tid: Tid) {
        let Some(thread) = self.threads.iter().position(|thread| thread.tid == tid) else { return };
        if let Some(mut cache) = self.threads[thread].tcache.take() {
            for chunk in cache.drain(&self.memory) {
                self.free_uncached(os, chunk);
            }
            self.free_uncached(os, cache.chunk);
        }
        let arena = self.threads.remove(thread).arena;
        self.latest_thread = 0;
        if let Some(arena) = arena {
            self.arenas[arena].attached = self.arenas[arena].attached.saturating_sub(1);
            if self.arenas[arena].attached == 0 {
                self.free_arenas.push(arena);
            }
        }
    }

    fn free_uncached(&mut self, os: &mut dyn Os, chunk: u64) {
        let arena = self.arena_at(chunk);
        self.core_free(os, arena, None, chunk);
    }
}
