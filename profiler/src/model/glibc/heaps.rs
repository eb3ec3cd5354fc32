//! The heaps of further arenas: aligned reservations of address space that become usable step by step. (`arena.c` in glibc.)
//!
//! ```text
//! first heap of an arena   | heap_info | state of the arena | chunks …  | top    | not usable yet … 64 MiB |
//! further heaps            | heap_info | chunks …                       | top    | not usable yet … 64 MiB |
//! ```

use super::Glibc;
use super::arena::Arena;
use super::chunk::{HEADER, MINSIZE, align_down, align_up};
use super::memory::write;
use super::rules::{HUGE, Hugetlb};
use crate::event::{Advice, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

const HEAP_MIN: u64 = 32 << 10;
const HEAP_MAX: u64 = 64 << 20;
/// With `hugetlb=2`: four huge pages. (2.42 keeps the usual size.)
const HEAP_MAX_POOLED: u64 = 8 << 20;
/// `malloc_state`
const ARENA_STATE: u64 = 0x898;

/// One heap.
pub(super) struct Heap {
    pub(super) arena: usize,
    size: u64,
    /// Made accessible so far; stays when the heap shrinks.
    pub(super) usable: u64,
    /// The heap that the arena had before.
    previous: Option<u64>,
}

impl Glibc {
    /// Largest heap, and what its address is a multiple of.
    pub(super) fn heap_max(&self) -> u64 {
        let pooled = self.params.hugetlb == Hugetlb::Pool && !self.version.late_tcache();
        if pooled { HEAP_MAX_POOLED } else { HEAP_MAX }
    }

    fn heap_base(&self, chunk: u64) -> u64 {
        align_down(chunk, self.heap_max())
    }

    /// The arena that a chunk in no mapping of its own belongs to.
    pub(super) fn arena_at(&self, chunk: u64) -> usize {
        if self.heaps.is_empty() {
            return 0;
        }
        self.heaps.get(&self.heap_base(chunk)).map_or(0, |heap| heap.arena)
    }

    /// A further arena, with room for a chunk of `need` bytes.
    pub(super) fn new_arena(&mut self, os: &mut dyn Os, need: u64) -> Option<usize> {
        let info = self.version.heap_info() + ARENA_STATE;
        let room = need.checked_add(info + 16)?;
        let pad = self.params.top_pad;
        let base = self.new_heap(os, room, pad).or_else(|| self.new_heap(os, info + 16, pad))?;
        write(os, base, info);
        let a = self.arenas.len();
        let arena = Arena::new(&mut self.memory, false);
        self.arenas.push(arena);
        self.add_heap(base, a, None);
        let top = align_up(base + info, 16);
        let end = base + self.heaps[&base].size;
        self.set_top(os, a, top, end - top);
        Some(a)
    }

    fn add_heap(&mut self, base: u64, arena: usize, previous: Option<u64>) {
        if let Some(heap) = self.heaps.get_mut(&base) {
            (heap.arena, heap.previous) = (arena, previous);
        }
    }

    /// Reserves a heap and makes its beginning usable; it belongs to nobody yet.
    fn new_heap(&mut self, os: &mut dyn Os, size: u64, pad: u64) -> Option<u64> {
        let max = self.heap_max();
        let least = if max < HEAP_MAX { HUGE } else { HEAP_MIN };
        let size = match size.saturating_add(pad) {
            padded if padded < least => least,
            padded if padded <= max => padded,
            _ if size <= max => max,
            _ => return None,
        };
        let size = align_up(size, PAGE);
        if self.params.hugetlb == Hugetlb::Pool {
            // First where a neighbour was seen, then with room to align, then for the chance that it is aligned.
            if self.neighbour.take().is_some() {
                os.mmap_huge(Bytes(max));
            }
            os.mmap_huge(Bytes(2 * max));
            os.mmap_huge(Bytes(max));
        }
        let base = self.reserve(os, max)?;
        os.mprotect(Addr(base), Bytes(size), PROT_READ | PROT_WRITE);
        self.advise_huge(os, base, size);
        write(os, base, self.version.heap_info());
        self.heaps.insert(base, Heap { arena: 0, size, usable: size, previous: None });
        Some(base)
    }

    /// Address space of `max` bytes at a multiple of `max`.
    fn reserve(&mut self, os: &mut dyn Os, max: u64) -> Option<u64> {
        if let Some(hint) = self.neighbour.take()
            && let Some(got) = os.mmap_near(Addr(hint), Bytes(max), 0)
        {
            if got.0.is_multiple_of(max) {
                return Some(got.0);
            }
            os.munmap(got, Bytes(max));
        }
        let got = os.mmap(Bytes(2 * max), 0)?.0;
        let base = align_up(got, max);
        if base > got {
            os.munmap(Addr(got), Bytes(base - got));
        } else {
            self.neighbour = Some(base + max);
        }
        os.munmap(Addr(base + max), Bytes(max - (base - got)));
        Some(base)
    }

    /// More room at the top of an arena that is not the main one: its heap grows, or it gets another.
    pub(super) fn grow_heap_or_add(&mut self, os: &mut dyn Os, a: usize, need: u64) -> bool {
        let (top, top_size) = (self.arenas[a].top, self.arenas[a].top_size);
        let base = self.heap_base(top);
        if let Some(grown) = self.grow_heap(os, base, MINSIZE + need - top_size) {
            self.set_top(os, a, top, top_size + grown);
            return true;
        }
        let info = self.version.heap_info();
        let Some(new) = self.new_heap(os, need + MINSIZE + info, self.params.top_pad) else { return false };
        self.add_heap(new, a, Some(base));
        let end = new + self.heaps[&new].size;
        self.set_top(os, a, new + info, end - new - info);
        self.fence_heap(os, a, top, top_size);
        true
    }

    /// Makes more of a heap usable; answers with how much.
    fn grow_heap(&mut self, os: &mut dyn Os, base: u64, more: u64) -> Option<u64> {
        let max = self.heap_max();
        let heap = self.heaps.get_mut(&base)?;
        let more = align_up(more, PAGE);
        let size = heap.size.checked_add(more).filter(|&size| size <= max)?;
        if size > heap.usable {
            os.mprotect(Addr(base + heap.usable), Bytes(size - heap.usable), PROT_READ | PROT_WRITE);
            heap.usable = size;
        }
        heap.size = size;
        Some(more)
    }

    /// Closes the old top of a full heap, and frees what is below the closing chunks.
    fn fence_heap(&mut self, os: &mut dyn Os, a: usize, top: u64, size: u64) {
        let keep = align_down(size - MINSIZE, 16);
        self.memory.set_head(os, top + keep + HEADER, 0, true);
        self.fenced += if keep < MINSIZE { size } else { size - keep };
        if keep < MINSIZE {
            self.memory.set_head(os, top, keep + HEADER, true);
            self.memory.set_foot(os, top, keep + HEADER);
            return;
        }
        self.memory.set_head(os, top + keep, HEADER, true);
        self.memory.set_foot(os, top + keep, HEADER);
        self.memory.set_head(os, top, keep, true);
        let thread = self.caching_thread();
        self.core_free(os, a, thread, top);
    }

    /// Gives back heaps that are all top, then the end of the top.
    pub(super) fn trim_heaps(&mut self, os: &mut dyn Os, a: usize) {
        let mut base = self.heap_base(self.arenas[a].top);
        while let Some(previous) = self.drop_heap(os, a, base) {
            base = previous;
        }
        let (top, size) = (self.arenas[a].top, self.arenas[a].top_size);
        let pad = self.params.top_pad;
        if size < self.params.trim_threshold {
            return;
        }
        let Some(spare) = size.checked_sub(MINSIZE + 1).filter(|&spare| spare > pad) else { return };
        let extra = align_down(spare - pad, PAGE);
        let Some(heap) = self.heaps.get_mut(&base).filter(|_| extra > 0) else { return };
        heap.size -= extra;
        let end = base + heap.size;
        os.madvise(Addr(end), Bytes(extra), Advice::DontNeed);
        self.memory.forget(end, end + extra);
        self.set_top(os, a, top, size - extra);
    }

    /// Gives a heap back that holds nothing but the top, unless the one before it is nearly full; answers with that one.
    fn drop_heap(&mut self, os: &mut dyn Os, a: usize, base: u64) -> Option<u64> {
        let max = self.heap_max();
        if self.arenas[a].top != base + self.version.heap_info() {
            return None;
        }
        let previous = self.heaps.get(&base)?.previous?;
        let previous_size = self.heaps.get(&previous)?.size;
        // The closing chunks end 16 bytes below the end of the heap.
        let fence = align_down(previous + previous_size - HEADER, 16);
        let mut start = fence - self.memory.size_below(fence);
        let mut size = previous + previous_size - start;
        let below = if self.memory.below_used(start) { 0 } else { self.memory.size_below(start) };
        if size + below + (max - previous_size) < self.params.top_pad + MINSIZE + PAGE {
            return None;
        }
        self.heaps.remove(&base);
        if self.neighbour == Some(base + max) {
            self.neighbour = None;
        }
        os.munmap(Addr(base), Bytes(max));
        self.memory.forget(base, base + max);
        self.fenced -= size;
        if below > 0 {
            start -= below;
            size += below;
            let link = self.memory.link(start);
            self.arenas[a].unlink(&mut self.memory, os, link);
        }
        self.set_top(os, a, start, size);
        Some(previous)
    }

    /// Bytes reserved for heaps, and how many of them are not usable yet.
    pub(super) fn reserved(&self) -> (u64, u64) {
        let max = self.heap_max();
        self.heaps.values().fold((0, 0), |(all, idle), heap| (all + max, idle + max - heap.size))
    }

    /// Bytes that the allocator keeps about arenas in heaps.
    pub(super) fn heap_metadata(&self) -> u64 {
        self.heap_starts().map(|start| start.1).sum()
    }

    /// Where each heap begins, and what the allocator keeps there.
    pub(super) fn heap_starts(&self) -> impl Iterator<Item = (u64, u64)> {
        let info = self.version.heap_info();
        let first = align_up(info + ARENA_STATE, 16);
        self.heaps.iter().map(move |(&base, heap)| (base, if heap.previous.is_none() { first } else { info }))
    }
}
