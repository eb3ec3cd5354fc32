//! The two routines at the heart: a chunk out of an arena, and back into it. (`_int_malloc` and `_int_free` in glibc.)

use super::Glibc;
use super::arena::UNSORTED;
use super::chunk::{HEADER, LARGE, LIMIT, MINSIZE, bin_index};
use super::memory::{Link, write};
use super::tcache;
use crate::vm::os::Os;

/// Chunks that one search moves from the unsorted list to the bins at most.
const MOST_SORTED: u32 = 10_000;
/// Freeing a chunk that merges to at least this much tidies up and looks whether memory can go back.
const CONSOLIDATION: u64 = 64 << 10;

/// What a search may put into the calling thread's cache: its bin, and room for how many.
#[derive(Clone, Copy)]
struct Stash {
    thread: usize,
    bin: usize,
}

impl Glibc {
    /// A chunk of `need` bytes (or 16 more) from arena `a`, searched for by `thread`.
    pub(super) fn core_malloc(&mut self, os: &mut dyn Os, a: usize, thread: usize, need: u64, request: u64) -> Option<u64> {
        let chunk = self.search(os, a, thread, need)?;
        if self.params.perturb {
            write(os, chunk + HEADER, request);
        }
        Some(chunk)
    }

    fn search(&mut self, os: &mut dyn Os, a: usize, thread: usize, need: u64) -> Option<u64> {
        if need >= LIMIT {
            return self.grow(os, a, need);
        }
        let stash = self.stash(thread, need);
        if need <= self.params.max_fast
            && let Some(chunk) = self.take_from_fastbin(os, a, stash, need)
        {
            return Some(chunk);
        }
        if need < LARGE {
            if let Some(chunk) = self.take_from_small_bin(os, a, stash, need) {
                return Some(chunk);
            }
        } else if self.arenas[a].have_fast {
            self.consolidate(os, a);
        }
        let mut sorted = 0;
        loop {
            let found = self.take_from_unsorted(os, a, stash, need, &mut sorted);
            if let Some(chunk) = found.or_else(|| self.take_from_bins(os, a, need)).or_else(|| self.take_from_top(os, a, need)) {
                return Some(chunk);
            }
            if !self.arenas[a].have_fast {
                return self.grow(os, a, need);
            }
            self.consolidate(os, a);
        }
    }

    fn stash(&self, thread: usize, need: u64) -> Option<Stash> {
        let bin = tcache::bin_of(need).filter(|&bin| bin < self.params.tcache_bins)?;
        self.threads[thread].tcache.is_some().then_some(Stash { thread, bin })
    }

    fn has_room(&self, stash: Option<Stash>) -> bool {
        stash.is_some_and(|Stash { thread, bin }| {
            self.threads[thread].tcache.as_ref().is_some_and(|cache| cache.count(bin) < self.params.tcache_count)
        })
    }

    fn put(&mut self, os: &mut dyn Os, stash: Option<Stash>, chunk: u64) {
        let Some(Stash { thread, bin }) = stash else { return };
        if let Some(cache) = &mut self.threads[thread].tcache {
            cache.put(&mut self.memory, os, bin, chunk);
        }
    }

    fn pop_fast(&mut self, a: usize, need: u64) -> Option<u64> {
        let arena = &mut self.arenas[a];
        let head = &mut arena.fast[(need >> 4) as usize - 2];
        if *head == 0 {
            return None;
        }
        let chunk = self.memory.chunk(*head);
        *head = self.memory.next(*head);
        arena.fast_bytes -= need;
        Some(chunk)
    }

    fn take_from_fastbin(&mut self, os: &mut dyn Os, a: usize, stash: Option<Stash>, need: u64) -> Option<u64> {
        let chunk = self.pop_fast(a, need)?;
        while self.has_room(stash)
            && let Some(more) = self.pop_fast(a, need)
        {
            self.put(os, stash, more);
        }
        Some(chunk)
    }

    fn pop_small(&mut self, os: &mut dyn Os, a: usize, need: u64) -> Option<u64> {
        let link = self.arenas[a].last(&self.memory, bin_index(need))?;
        self.arenas[a].take(&mut self.memory, os, link);
        let chunk = self.memory.chunk(link);
        self.memory.set_below_used(os, chunk + need, true);
        Some(chunk)
    }

    fn take_from_small_bin(&mut self, os: &mut dyn Os, a: usize, stash: Option<Stash>, need: u64) -> Option<u64> {
        let chunk = self.pop_small(os, a, need)?;
        while self.has_room(stash)
            && let Some(more) = self.pop_small(os, a, need)
        {
            self.put(os, stash, more);
        }
        Some(chunk)
    }

    /// Goes through the unsorted chunks, oldest first: what fits exactly is taken or cached, the rest sorted into bins.
    fn take_from_unsorted(&mut self, os: &mut dyn Os, a: usize, stash: Option<Stash>, need: u64, sorted: &mut u64) -> Option<u64> {
        let mut cached = false;
        for _ in 0..MOST_SORTED {
            let link = loop {
                let Some(link) = self.arenas[a].last(&self.memory, UNSORTED) else { return self.cached(os, stash, cached) };
                let size = self.memory.size_at(link);
                if self.is_last_remainder(a, link, need, size) {
                    return Some(self.split_last_remainder(os, a, link, need, size));
                }
                self.arenas[a].take(&mut self.memory, os, link);
                if size != need {
                    break link;
                }
                let chunk = self.memory.chunk(link);
                self.memory.set_below_used(os, chunk + size, true);
                if !self.has_room(stash) {
                    return Some(chunk);
                }
                self.put(os, stash, chunk);
                cached = true;
            };
            let size = self.memory.size_at(link);
            self.arenas[a].sort_in(&mut self.memory, os, link, size);
            *sorted += 1;
            let limit = self.params.tcache_unsorted_limit;
            if cached && limit > 0 && *sorted > limit {
                break;
            }
        }
        self.cached(os, stash, cached)
    }

    fn cached(&mut self, os: &mut dyn Os, stash: Option<Stash>, cached: bool) -> Option<u64> {
        let Stash { thread, bin } = stash.filter(|_| cached)?;
        self.threads[thread].tcache.as_mut()?.get(&mut self.memory, os, bin)
    }

    /// Whether small requests go on being cut from the same chunk.
    fn is_last_remainder(&self, a: usize, link: Link, need: u64, size: u64) -> bool {
        let arena = &self.arenas[a];
        need < LARGE
            && self.memory.previous(link) == arena.head(UNSORTED)
            && self.memory.chunk(link) == arena.last_remainder
            && size > need + MINSIZE
    }

    fn split_last_remainder(&mut self, os: &mut dyn Os, a: usize, link: Link, need: u64, size: u64) -> u64 {
        let arena = &mut self.arenas[a];
        arena.take(&mut self.memory, os, link);
        let chunk = self.memory.chunk(link);
        self.split(os, a, chunk, need, size, true)
    }

    /// Hands out the low end of a chunk that is in no list; what is left waits among the unsorted.
    fn split(&mut self, os: &mut dyn Os, a: usize, chunk: u64, need: u64, size: u64, remember: bool) -> u64 {
        let (memory, arena) = (&mut self.memory, &mut self.arenas[a]);
        let rest = size - need;
        if rest < MINSIZE {
            memory.set_below_used(os, chunk + size, true);
            return chunk;
        }
        let remainder = chunk + need;
        if remember {
            arena.last_remainder = remainder;
        }
        memory.set_head(os, chunk, need, true);
        memory.set_head(os, remainder, rest, true);
        memory.set_foot(os, remainder, rest);
        arena.push(memory, os, UNSORTED, remainder, rest);
        chunk
    }

    fn take_from_bins(&mut self, os: &mut dyn Os, a: usize, need: u64) -> Option<u64> {
        let (memory, arena) = (&mut self.memory, &mut self.arenas[a]);
        let own = if need >= LARGE { arena.best_in_bin(memory, need) } else { None };
        let (link, remember) = match own {
            Some(link) => (link, false),
            None => (arena.next_larger(memory, bin_index(need) + 1)?, need < LARGE),
        };
        let chunk = memory.chunk(link);
        let size = arena.unlink(memory, os, link);
        Some(self.split(os, a, chunk, need, size, remember))
    }

    pub(super) fn take_from_top(&mut self, os: &mut dyn Os, a: usize, need: u64) -> Option<u64> {
        let arena = &mut self.arenas[a];
        if arena.top_size < need + MINSIZE {
            return None;
        }
        let chunk = arena.top;
        let rest = arena.top_size - need;
        self.memory.set_head(os, chunk, need, true);
        self.set_top(os, a, chunk + need, rest);
        Some(chunk)
    }

    pub(super) fn set_top(&mut self, os: &mut dyn Os, a: usize, top: u64, size: u64) {
        (self.arenas[a].top, self.arenas[a].top_size) = (top, size);
        // The size of the top has no limit, and is not read from there.
        self.memory.set_head(os, top, 0, true);
    }

    /// Whether the chunk at `chunk`, which is not the top, is free.
    fn is_free(&self, a: usize, chunk: u64, size: u64) -> bool {
        chunk + size != self.arenas[a].top && !self.memory.below_used(chunk + size)
    }

    /// Takes a chunk back into arena `a`; with a `thread`, its cache may keep it.
    pub(super) fn core_free(&mut self, os: &mut dyn Os, a: usize, thread: Option<usize>, chunk: u64) {
        let size = self.memory.size(chunk);
        let stash = thread.and_then(|thread| self.stash(thread, size));
        if self.has_room(stash) {
            return self.put(os, stash, chunk);
        }
        if self.params.perturb {
            write(os, chunk + HEADER, size - HEADER);
        }
        if size <= self.params.max_fast {
            let link = self.memory.link(chunk);
            let arena = &mut self.arenas[a];
            let head = &mut arena.fast[(size >> 4) as usize - 2];
            self.memory.set_next(os, link, *head);
            *head = link;
            arena.have_fast = true;
            arena.fast_bytes += size;
            return;
        }
        self.merge_and_free(os, a, chunk, size);
    }

    /// Merges a chunk with free neighbours, files the result, and gives memory back where there is enough.
    pub(super) fn merge_and_free(&mut self, os: &mut dyn Os, a: usize, chunk: u64, size: u64) {
        let (chunk, size) = self.merge(os, a, chunk, size);
        let merged = if chunk == self.arenas[a].top { self.arenas[a].top_size } else { size };
        if chunk != self.arenas[a].top {
            let bin = if size < LARGE && self.version.bins_small_at_once() { bin_index(size) } else { UNSORTED };
            self.arenas[a].push(&mut self.memory, os, bin, chunk, size);
        }
        if merged < CONSOLIDATION {
            return;
        }
        if self.arenas[a].have_fast {
            self.consolidate(os, a);
        }
        self.give_back(os, a);
    }

    /// Merges with free neighbours or the top; what is not merged into the top has head and foot, but is in no list.
    fn merge(&mut self, os: &mut dyn Os, a: usize, chunk: u64, size: u64) -> (u64, u64) {
        let (mut chunk, mut size, next) = (chunk, size, chunk + size);
        let (memory, arena) = (&mut self.memory, &mut self.arenas[a]);
        if !memory.below_used(chunk) && memory.size_below(chunk) + size < LIMIT {
            let below = memory.size_below(chunk);
            (chunk, size) = (chunk - below, size + below);
            let link = memory.link(chunk);
            arena.unlink(memory, os, link);
        }
        if next == arena.top {
            let whole = size + arena.top_size;
            self.set_top(os, a, chunk, whole);
            return (chunk, whole);
        }
        let next_size = memory.size(next);
        if self.is_free(a, next, next_size) && size + next_size < LIMIT {
            let (memory, arena) = (&mut self.memory, &mut self.arenas[a]);
            let link = memory.link(next);
            size += arena.unlink(memory, os, link);
        } else {
            self.memory.set_below_used(os, next, false);
        }
        self.memory.set_head(os, chunk, size, true);
        self.memory.set_foot(os, chunk, size);
        (chunk, size)
    }

    /// Empties the fastbins: every chunk is merged and waits among the unsorted. (`malloc_consolidate`)
    pub(super) fn consolidate(&mut self, os: &mut dyn Os, a: usize) {
        self.arenas[a].have_fast = false;
        self.arenas[a].fast_bytes = 0;
        for bin in 0..self.arenas[a].fast.len() {
            let mut link = std::mem::take(&mut self.arenas[a].fast[bin]);
            while link != 0 {
                let (chunk, size) = (self.memory.chunk(link), self.memory.size_at(link));
                link = self.memory.next(link);
                let (chunk, size) = self.merge(os, a, chunk, size);
                if chunk != self.arenas[a].top {
                    self.arenas[a].push(&mut self.memory, os, UNSORTED, chunk, size);
                }
            }
        }
    }

    /// Unlinks the free chunk that follows, so that one in use can grow over it; answers with its size.
    pub(super) fn absorb_next(&mut self, os: &mut dyn Os, a: usize, next: u64, wanted: u64) -> Option<u64> {
        let size = self.memory.size(next);
        if !self.is_free(a, next, size) || size < wanted {
            return None;
        }
        let link = self.memory.link(next);
        Some(self.arenas[a].unlink(&mut self.memory, os, link))
    }

    /// Whether the chunk that follows a block is free or the top.
    pub(super) fn borders_free(&self, a: usize, next: u64) -> bool {
        next == self.arenas[a].top || self.is_free(a, next, self.memory.size(next))
    }
}
