//! The calls of a program, down to the core routines.

use super::Glibc;
use super::chunk::{HEADER, MINSIZE, WORD, align_up, chunk_size};
use super::memory::write;
use super::tcache::bin_of;
use crate::event::{Access, Advice};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// `malloc_trim` looks at unsorted chunks and at bins of whole pages.
const TRIMMED_BINS: std::ops::RangeInclusive<u32> = 99..=126;
/// Words at the beginning of a free chunk that must stay.
const FREE_HEADER: u64 = 48;

impl Glibc {
    pub(super) fn malloc_chunk(&mut self, os: &mut dyn Os, thread: usize, request: u64) -> Option<u64> {
        let need = chunk_size(request)?;
        if let Some(chunk) = self.take_from_tcache(os, thread, need) {
            return Some(chunk);
        }
        let arena = self.arena_of(os, thread, request);
        self.malloc_somewhere(os, arena, thread, need, request)
    }

    /// From an arena, or else from the main one. A heap that was just made may be given back at once: the old top, freed, is then so large
    /// that trimming takes the new heap for unused.
    fn malloc_somewhere(&mut self, os: &mut dyn Os, a: usize, thread: usize, need: u64, request: u64) -> Option<u64> {
        let chunk = self.core_malloc(os, a, thread, need, request);
        if a == 0 { chunk } else { chunk.or_else(|| self.core_malloc(os, 0, thread, need, request)) }
    }

    /// Makes the thread's cache if it is time for that, and looks there.
    fn take_from_tcache(&mut self, os: &mut dyn Os, thread: usize, need: u64) -> Option<u64> {
        let bin = bin_of(need).filter(|&bin| bin < self.params.tcache_bins);
        if bin.is_some() || !self.version.late_tcache() {
            self.ensure_tcache(os, thread);
        }
        self.threads[thread].tcache.as_mut()?.get(&mut self.memory, os, bin?)
    }

    pub(super) fn calloc_chunk(&mut self, os: &mut dyn Os, thread: usize, request: u64, first: bool) -> Option<u64> {
        let need = chunk_size(request)?;
        if first && self.version.has_hooks() {
            let chunk = self.malloc_chunk(os, thread, request)?;
            write(os, chunk + HEADER, request);
            return Some(chunk);
        }
        if self.version.calloc_from_tcache() {
            if let Some(chunk) = self.take_from_tcache(os, thread, need) {
                write(os, chunk + HEADER, self.memory.size(chunk) - WORD);
                return Some(chunk);
            }
        } else {
            self.ensure_tcache(os, thread);
        }
        let a = self.arena_of(os, thread, request);
        let (old_top, old_size) = (self.arenas[a].top, self.used_top(a));
        let chunk = self.malloc_somewhere(os, a, thread, need, request)?;
        if self.mapped.size(chunk).is_some() {
            return Some(chunk);
        }
        let size = self.memory.size(chunk);
        // What the top got just now is zero already.
        let grown = chunk == old_top && size > old_size && !self.params.perturb;
        write(os, chunk + HEADER, if grown { old_size } else { size } - WORD);
        Some(chunk)
    }

    /// Bytes from the top on that may hold something: in heaps, what was ever made usable.
    fn used_top(&self, a: usize) -> u64 {
        let arena = &self.arenas[a];
        if arena.is_main {
            return arena.top_size;
        }
        let base = arena.top / self.heap_max() * self.heap_max();
        self.heaps.get(&base).map_or(arena.top_size, |heap| arena.top_size.max((base + heap.usable).saturating_sub(arena.top)))
    }

    pub(super) fn free_chunk(&mut self, os: &mut dyn Os, thread: usize, chunk: u64) {
        if self.mapped.size(chunk).is_some() {
            return self.unmap_chunk(os, chunk);
        }
        if !self.version.late_tcache() {
            self.ensure_tcache(os, thread);
        }
        let arena = self.arena_at(chunk);
        self.core_free(os, arena, Some(thread), chunk);
    }

    pub(super) fn realloc_chunk(&mut self, os: &mut dyn Os, thread: usize, old: u64, request: u64) -> Option<u64> {
        let need = chunk_size(request)?;
        let mapped = self.mapped.size(old);
        let size = mapped.unwrap_or_else(|| self.memory.size(old));
        let usable = size - if mapped.is_some() { HEADER } else { WORD };
        if self.version.shrinks_rarely() && request <= usable && usable - request <= self.params.trim_threshold {
            return Some(old);
        }
        if mapped.is_none() {
            if !self.version.late_tcache() {
                self.ensure_tcache(os, thread);
            }
            return self.realloc_in_arena(os, thread, old, size, need);
        }
        if let Some(chunk) = self.remap_chunk(os, old, need) {
            return Some(chunk);
        }
        if usable + WORD >= need {
            return Some(old);
        }
        let new = self.malloc_chunk(os, thread, request)?;
        copy(os, old, new, usable);
        self.unmap_chunk(os, old);
        Some(new)
    }

    fn realloc_in_arena(&mut self, os: &mut dyn Os, thread: usize, old: u64, size: u64, need: u64) -> Option<u64> {
        let a = self.arena_at(old);
        let next = old + size;
        let mut available = size;
        if size < need {
            if next == self.arenas[a].top && size + self.arenas[a].top_size >= need + MINSIZE {
                let rest = size + self.arenas[a].top_size - need;
                self.resize(os, old, need);
                self.set_top(os, a, old + need, rest);
                return Some(old);
            }
            if let Some(more) = self.absorb_next(os, a, next, need - size) {
                available += more;
            } else {
                // Where its arena has no room it is asked for as any other block; not in a program of one thread.
                let here = self.core_malloc(os, a, thread, need, need - WORD);
                let new = if a == 0 { here } else { here.or_else(|| self.malloc_chunk(os, thread, need - WORD)) }?;
                if new != next {
                    copy(os, old, new, size - WORD);
                    self.free_inside(os, a, thread, old);
                    return Some(new);
                }
                available += self.memory.size(new);
            }
        }
        let rest = available - need;
        if rest < MINSIZE {
            self.resize(os, old, available);
            self.memory.set_below_used(os, old + available, true);
            return Some(old);
        }
        self.resize(os, old, need);
        self.memory.set_head(os, old + need, rest, true);
        if old + available != self.arenas[a].top {
            self.memory.set_below_used(os, old + available, true);
        }
        self.free_inside(os, a, thread, old + need);
        Some(old)
    }

    /// Frees a chunk on the allocator's own behalf.
    fn free_inside(&mut self, os: &mut dyn Os, a: usize, thread: usize, chunk: u64) {
        let cache = (!self.version.late_tcache()).then_some(thread);
        self.core_free(os, a, cache, chunk);
    }

    /// A new size for a chunk that stays where it is.
    fn resize(&mut self, os: &mut dyn Os, chunk: u64, size: u64) {
        let below_used = self.memory.below_used(chunk);
        self.memory.set_head(os, chunk, size, below_used);
    }

    pub(super) fn memalign_chunk(&mut self, os: &mut dyn Os, thread: usize, request: u64, align: u64) -> Option<u64> {
        let align = align.max(MINSIZE);
        let need = chunk_size(request)?;
        if self.version.memalign_from_tcache()
            && let Some(bin) = bin_of(need).filter(|&bin| bin < self.params.tcache_bins)
        {
            if self.version.late_tcache() {
                self.ensure_tcache(os, thread);
            }
            let cache = self.threads[thread].tcache.as_mut();
            if let Some(chunk) = cache.and_then(|cache| cache.get_aligned(&mut self.memory, os, bin, align)) {
                return Some(chunk);
            }
        }
        let wide = need.checked_add(align)?.checked_add(MINSIZE)?;
        let a = self.arena_of(os, thread, wide);
        let chunk = self.malloc_somewhere(os, a, thread, chunk_size(wide)?, wide)?;
        let mut aligned = align_up(chunk + HEADER, align) - HEADER;
        if aligned != chunk && aligned - chunk < MINSIZE {
            aligned += align;
        }
        if self.mapped.size(chunk).is_some() {
            if aligned != chunk {
                self.shift_mapped(os, chunk, aligned);
            }
            return Some(aligned);
        }
        let size = self.memory.size(chunk);
        if aligned != chunk {
            self.memory.set_head(os, aligned, size - (aligned - chunk), true);
            self.resize(os, chunk, aligned - chunk);
            self.free_cut_off(os, a, thread, chunk);
        }
        self.cut_tail(os, a, thread, aligned, need);
        Some(aligned)
    }

    fn cut_tail(&mut self, os: &mut dyn Os, a: usize, thread: usize, chunk: u64, need: u64) {
        let size = self.memory.size(chunk);
        let rest = size - need;
        let worth = if self.version.memalign_merges_rests() {
            rest >= MINSIZE || rest > 0 && self.borders_free(a, chunk + size)
        } else {
            rest > MINSIZE
        };
        if worth {
            self.memory.set_head(os, chunk + need, rest, true);
            self.resize(os, chunk, need);
            self.free_cut_off(os, a, thread, chunk + need);
        }
    }

    fn free_cut_off(&mut self, os: &mut dyn Os, a: usize, thread: usize, chunk: u64) {
        if !self.version.memalign_merges_rests() {
            return self.core_free(os, a, Some(thread), chunk);
        }
        let size = self.memory.size(chunk);
        self.merge_and_free(os, a, chunk, size);
    }

    /// `malloc_trim`: whole free pages go back, and the end of the main arena's top.
    pub(super) fn trim_all(&mut self, os: &mut dyn Os, pad: u64) {
        for step in 0..self.arenas.len() {
            // The main arena, then from the newest to the oldest.
            let a = if step == 0 { 0 } else { self.arenas.len() - step };
            self.consolidate(os, a);
            for bin in std::iter::once(super::arena::UNSORTED).chain(TRIMMED_BINS) {
                self.release_pages(os, a, bin);
            }
            if a == 0 {
                self.trim_main(os, a, pad);
            }
        }
    }

    fn release_pages(&self, os: &mut dyn Os, a: usize, bin: u32) {
        let head = self.arenas[a].head(bin);
        let mut link = self.memory.previous(head);
        while link != head {
            let (chunk, size) = (self.memory.chunk(link), self.memory.size_at(link));
            let start = align_up(chunk + FREE_HEADER, PAGE);
            let len = (chunk + size).saturating_sub(start) / PAGE * PAGE;
            if len > 0 {
                os.madvise(Addr(start), Bytes(len), Advice::DontNeed);
            }
            link = self.memory.previous(link);
        }
    }
}

fn copy(os: &mut dyn Os, from: u64, to: u64, len: u64) {
    os.touch(Addr(from + HEADER), Bytes(len), Access::Read);
    os.touch(Addr(to + HEADER), Bytes(len), Access::Write);
}
