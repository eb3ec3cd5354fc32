//! Segments: 32 MiB that are divided into spans of slices, or the mapping of one huge block. Where they come from and where they go.

use super::Mimalloc;
use super::commit::touch;
use super::mask::Mask;
use super::page::NOBODY;
use super::rules::{COMMIT_SLICES, ENTRIES, ENTRY, MIB, SEGMENT, SLICE, SLICES};
use super::system::{Memory, Wanted};
use crate::event::{Advice, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

pub(super) const ACCESS: u8 = PROT_READ | PROT_WRITE;

/// What a slice is, where it begins a span; of the others only `first` and `page` mean anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// Slices of the span.
    pub(super) count: u32,
    /// Where the span begins.
    pub(super) first: u16,
    pub(super) free: bool,
    /// The page on it.
    pub(super) page: u32,
    /// Neighbours in the queue of free spans.
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Slice {
    const UNUSED: Slice = Slice { count: 0, first: 0, free: false, page: NOBODY, previous: NOBODY, next: NOBODY };
}

/// A segment.
pub(super) struct Segment {
    pub(super) base: u64,
    /// Its whole length; beyond [`SEGMENT`] only with one huge block.
    pub(super) len: u64,
    pub(super) huge: bool,
    pub(super) memory: Memory,
    pub(super) allow_decommit: bool,
    pub(super) commit: Mask,
    /// What is to be returned, from this millisecond on; 0: no time was set.
    pub(super) decommit: Mask,
    pub(super) expire: i64,
    /// The thread it belongs to; [`NOBODY`] once that has ended.
    pub(super) owner: u32,
    /// Pages, and of those how many lost their thread.
    pub(super) used: u32,
    pub(super) abandoned: u32,
    /// How often threads looked at it since.
    pub(super) visits: u32,
    /// One more than there are: a huge block may be aligned to the end of the first 32 MiB.
    pub(super) slices: Vec<Slice>,
}

impl Segment {
    /// Slices that have an entry.
    pub(super) fn entries(&self) -> usize {
        SLICES.min((self.len / SLICE) as usize)
    }

    /// The page that holds an address.
    pub(super) fn page_at(&self, addr: u64) -> u32 {
        self.slices[((addr - self.base) / SLICE) as usize].page
    }

    /// Every span behind the header, by where it begins.
    pub(super) fn next_span(&self, slice: usize) -> Option<usize> {
        let next = if slice == 0 { 1 } else { slice + self.slices[slice].count as usize };
        (next < self.entries()).then_some(next)
    }
}

impl Segment {
    /// Another thread frees the block of a huge segment: its memory is returned at once but for the link, the mapping later by the owner.
    pub(super) fn forget_huge_block(&self, os: &mut dyn Os, addr: u64, size: u64) {
        let (from, to) = ((addr + 8).next_multiple_of(PAGE), (addr + size) / PAGE * PAGE);
        if self.huge && self.allow_decommit && from < to {
            os.madvise(Addr(from), Bytes(to - from), Advice::DontNeed);
        }
    }
}

/// What a segment starts with.
struct Start {
    base: u64,
    len: u64,
    memory: Memory,
    commit: Mask,
    decommit: Mask,
    zero: bool,
    slices: Vec<Slice>,
}

impl Mimalloc {
    /// A normal segment for a thread, all of it free.
    pub(super) fn normal_segment(&mut self, os: &mut dyn Os, heap: u32) -> Option<u32> {
        let lazy = self.is_lazy(heap);
        let start = match self.pop_cached(!lazy) {
            Some(cached) => {
                let Segment { base, memory, commit, decommit, slices, .. } = cached;
                Start { base, len: SEGMENT, memory, commit, decommit, zero: false, slices }
            }
            None => self.fresh(os, SEGMENT, SEGMENT, 0, !lazy && self.params.eager_commit, !lazy)?,
        };
        let segment = self.set_up(os, heap, start, false);
        self.free_span(os, segment, 1, SLICES - 1, false);
        Some(segment)
    }

    /// A segment with one page for `size` bytes at this alignment, 0 where it has none; answers with the page.
    pub(super) fn huge_segment(&mut self, os: &mut dyn Os, heap: u32, size: u64, align: u64) -> Option<u32> {
        let lead = if align > 0 { SEGMENT - SLICE } else { 0 };
        let len = size.checked_add(lead + SLICE)?.checked_next_multiple_of(SLICE)?;
        let lazy = self.is_lazy(heap);
        let offset = if align > 0 { SEGMENT } else { 0 };
        let start = self.fresh(os, len, align.max(SEGMENT), offset, true, !lazy)?;
        let segment = self.set_up(os, heap, start, true);
        let page = self.take_span(os, segment, 1, (len / SLICE) as usize - 1);
        if align > 0 && self.segments[segment as usize].allow_decommit {
            // All that lies in front of the aligned block, but for the first word, which is a link.
            let first = self.segments[segment as usize].base + SLICE;
            let (from, to) = ((first + 8).next_multiple_of(PAGE), first.next_multiple_of(align));
            if from < to {
                os.madvise(Addr(from), Bytes(to - from), Advice::DontNeed);
            }
        }
        Some(page)
    }

    /// Whether the next segment of a thread is committed piece by piece.
    fn is_lazy(&self, heap: u32) -> bool {
        self.threads.running > 1 && self.heaps[heap as usize].segments < self.params.eager_commit_delay
    }

    fn fresh(&mut self, os: &mut dyn Os, len: u64, align: u64, offset: u64, commit: bool, large: bool) -> Option<Start> {
        let wanted = Wanted { len, align, offset, commit, large };
        let (base, memory, zero) = self.system.segment(os, &self.params, wanted)?;
        let commit = if commit || memory.arena.is_some() { Mask::FULL } else { Mask::EMPTY };
        Some(Start { base, len, memory, commit, decommit: Mask::EMPTY, zero, slices: Vec::new() })
    }

    fn set_up(&mut self, os: &mut dyn Os, heap: u32, start: Start, huge: bool) -> u32 {
        let Start { base, len, memory, mut commit, decommit, mut zero, mut slices } = start;
        let header = Mask::range(0, 1);
        if !commit.has_all(&header) {
            os.mprotect(Addr(base), Bytes(SLICE), ACCESS);
            commit.add(&header);
            zero = false;
        }
        // What was not just mapped is cleared: all entries.
        let written = if zero { ENTRIES } else { ENTRIES + ENTRY * (len / SLICE + 1) };
        touch(os, base, written);
        let allow_decommit = self.params.allow_decommit && !memory.pinned;
        slices.clear();
        slices.resize(SLICES + 1, Slice::UNUSED);
        let decommit = if allow_decommit { decommit } else { Mask::EMPTY };
        let segment = Segment {
            base,
            len,
            huge,
            memory,
            allow_decommit,
            commit,
            decommit,
            expire: 0,
            owner: heap,
            used: 0,
            abandoned: 0,
            visits: 0,
            slices,
        };
        self.heaps[heap as usize].segments += 1;
        self.totals.segments += 1;
        self.totals.segment_bytes += len;
        let at = self.keep_segment(segment);
        self.ensure_committed(os, at, 0, 1);
        self.write_span(os, at, 0, 1);
        at
    }

    fn keep_segment(&mut self, segment: Segment) -> u32 {
        let number = segment.base / SEGMENT;
        let at = match self.idle_segments.pop() {
            Some(at) => {
                self.segments[at as usize] = segment;
                at
            }
            None => {
                self.segments.push(segment);
                self.segments.len() as u32 - 1
            }
        };
        self.places.insert(number, at);
        at
    }

    /// An empty segment goes to the cache, or back to the system.
    pub(super) fn release_segment(&mut self, os: &mut dyn Os, at: u32) {
        let segment = &self.segments[at as usize];
        if !segment.huge {
            let mut next = segment.next_span(0);
            while let Some(slice) = next {
                self.unqueue(at, slice);
                next = self.segments[at as usize].next_span(slice);
            }
        }
        let segment = &mut self.segments[at as usize];
        let slices = std::mem::take(&mut segment.slices);
        let taken = Segment { slices, ..*segment };
        self.idle_segments.push(at);
        self.places.remove(taken.base / SEGMENT);
        self.heaps[taken.owner as usize].segments -= 1;
        self.totals.segments -= 1;
        self.totals.segment_bytes -= taken.len;
        if taken.huge {
            return self.system.release(os, taken.memory);
        }
        if let Some(refused) = self.push_cached(os, taken) {
            self.system.release(os, refused.memory);
        }
    }
}

/// Widens `from..to` to what is committed in one go. Slice 0 is only in where it was.
pub(super) fn widened(from: usize, to: usize) -> (usize, usize) {
    let start = from / COMMIT_SLICES * COMMIT_SLICES;
    (start.max(from.min(1)), to.next_multiple_of(COMMIT_SLICES).min(SLICES))
}

const _: () = assert!(COMMIT_SLICES as u64 * SLICE == MIB);
