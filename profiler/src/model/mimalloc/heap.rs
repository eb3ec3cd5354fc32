//! Pages of a thread, in queues by the size of their blocks: where a request finds a free one.

use super::Mimalloc;
use super::commit::touch;
use super::page::{Delayed, NOBODY, NONE};
use super::rules::{BIN_FULL, BIN_LARGE, BINS, LARGE, MEDIUM, MEDIUM_PAGE, SLICE, SMALL, bin, bin_size, good, retirement};
use super::spans::{NO_SPANS, SpanQueues};
use crate::vm::os::Os;

/// What a thread has.
pub(super) struct Heap {
    /// First and last page of each queue.
    pub(super) queues: [(u32, u32); BINS],
    /// Bins in which empty pages may wait.
    retired: (usize, usize),
    pub(super) spans: SpanQueues,
    /// Segments it has now.
    pub(super) segments: u64,
    /// Blocks in its pages of which other threads told that they are free.
    pub(super) delayed: Vec<(u32, u16)>,
    /// Its mapping; none for the first thread.
    pub(super) data: Option<u64>,
}

const NO_RETIRED: (usize, usize) = (BIN_FULL, 0);

impl Heap {
    pub(super) fn new(data: Option<u64>) -> Heap {
        let queues = [(NOBODY, NOBODY); BINS];
        Heap { queues, retired: NO_RETIRED, spans: NO_SPANS, segments: 0, delayed: Vec::new(), data }
    }
}

impl Mimalloc {
    /// A page with a free block of `size` bytes; with `align`, in a segment of its own.
    pub(super) fn find_page(&mut self, os: &mut dyn Os, heap: u32, size: u64, align: u64) -> Option<u32> {
        self.free_delayed(os, heap);
        if size > MEDIUM || align > 0 {
            let block_size = good(size);
            return self.fresh_page(os, heap, BIN_LARGE, block_size, align);
        }
        let bin = bin(size);
        let first = self.heaps[heap as usize].queues[bin].0;
        if first != NOBODY {
            let page = &mut self.pages[first as usize];
            page.collect(false);
            if page.free != NONE {
                page.retire = 0;
                return Some(first);
            }
        }
        // A thread that ended may have left a page, which is then in the queue.
        self.search(os, heap, bin).or_else(|| self.search(os, heap, bin))
    }

    fn search(&mut self, os: &mut dyn Os, heap: u32, bin: usize) -> Option<u32> {
        let mut at = self.heaps[heap as usize].queues[bin].0;
        while at != NOBODY {
            let page = &mut self.pages[at as usize];
            page.collect(false);
            let next = page.next;
            if page.free == NONE && page.capacity < page.reserved {
                self.extend(os, at);
            }
            let page = &mut self.pages[at as usize];
            if page.free != NONE {
                page.retire = 0;
                return Some(at);
            }
            self.dequeue(heap, bin, at);
            self.enqueue_last(heap, BIN_FULL, at);
            at = next;
        }
        self.sweep_retired(os, heap, false);
        self.fresh_page(os, heap, bin, bin_size(bin), 0)
    }

    fn extend(&mut self, os: &mut dyn Os, page: u32) {
        let page = &mut self.pages[page as usize];
        let (first, count) = page.extend();
        let (start, size) = (page.address(first), page.block_size);
        if size <= crate::units::PAGE {
            return touch(os, start, (u64::from(count) - 1) * size + 8);
        }
        (0..u64::from(count)).for_each(|block| touch(os, start + block * size, 8));
    }

    /// A page that nobody used before, the first of its queue.
    fn fresh_page(&mut self, os: &mut dyn Os, heap: u32, bin: usize, block_size: u64, align: u64) -> Option<u32> {
        let page = match (block_size, align) {
            (_, 1..) => self.huge_segment(os, heap, block_size, align)?,
            (..=SMALL, _) => self.page_of(os, heap, SLICE, block_size)?,
            (..=MEDIUM, _) => self.page_of(os, heap, MEDIUM_PAGE, block_size)?,
            (..=LARGE, _) => self.page_of(os, heap, block_size, block_size)?,
            _ => self.huge_segment(os, heap, block_size, 0)?,
        };
        let found = &mut self.pages[page as usize];
        if bin != BIN_LARGE {
            found.divide(block_size);
        }
        (found.heap, found.bin) = (heap, bin as u8);
        self.totals.area += found.area();
        self.extend(os, page);
        self.enqueue_first(heap, bin, page);
        Some(page)
    }

    /// Memory for a page, out of the thread's segments, those of threads that ended, or a new one.
    fn page_of(&mut self, os: &mut dyn Os, heap: u32, len: u64, block_size: u64) -> Option<u32> {
        let unit = if len > MEDIUM_PAGE { MEDIUM_PAGE } else { SLICE };
        let slices = (len.next_multiple_of(unit) / SLICE) as usize;
        loop {
            if let Some(page) = self.find_span(os, heap, slices) {
                let segment = self.pages[page as usize].segment;
                self.segments[segment as usize].return_waiting(os, false);
                return Some(page);
            }
            match self.reclaim(os, heap, slices, block_size) {
                super::abandoned::Reclaimed::Page => return None,
                super::abandoned::Reclaimed::Segment => {}
                super::abandoned::Reclaimed::Nothing => _ = self.normal_segment(os, heap)?,
            }
        }
    }

    /// The owner frees a block.
    pub(super) fn free_local(&mut self, os: &mut dyn Os, at: u32, block: u16) {
        let page = &mut self.pages[at as usize];
        touch(os, page.address(block), 8);
        page.push(block);
        if page.all_free() {
            self.retire(os, at);
        } else if page.in_full {
            let (heap, bin) = (page.heap, usize::from(page.bin));
            self.dequeue(heap, BIN_FULL, at);
            self.enqueue_last(heap, bin, at);
        }
    }

    /// Another thread than the owner frees a block.
    pub(super) fn free_remote(&mut self, os: &mut dyn Os, at: u32, block: u16) {
        let page = &mut self.pages[at as usize];
        let addr = page.address(block);
        self.segments[page.segment as usize].forget_huge_block(os, addr, page.block_size);
        touch(os, addr, 8);
        if page.delayed == Delayed::Use {
            page.delayed = Delayed::Told;
            self.heaps[page.heap as usize].delayed.push((at, block));
        } else {
            page.push_remote(block);
        }
    }

    /// Frees what others told of, the latest first.
    pub(super) fn free_delayed(&mut self, os: &mut dyn Os, heap: u32) {
        while let Some((at, block)) = self.heaps[heap as usize].delayed.pop() {
            let page = &mut self.pages[at as usize];
            if page.delayed != Delayed::Never {
                page.delayed = Delayed::Use;
            }
            page.collect(false);
            self.free_local(os, at, block);
        }
    }

    /// An empty page is kept for a while where it is the only one of its size.
    fn retire(&mut self, os: &mut dyn Os, at: u32) {
        let page = &mut self.pages[at as usize];
        let (heap, bin) = (page.heap, usize::from(page.bin));
        if bin < BIN_LARGE && !page.in_full && self.heaps[heap as usize].queues[bin] == (at, at) {
            page.retire = retirement(page.block_size);
            let retired = &mut self.heaps[heap as usize].retired;
            *retired = (retired.0.min(bin), retired.1.max(bin));
            return;
        }
        self.free_page(os, at);
    }

    /// An empty page leaves its queue and goes.
    pub(super) fn free_page(&mut self, os: &mut dyn Os, at: u32) {
        self.leave_queue(at);
        self.release_page(os, at);
    }

    /// Counts the empty pages down, and frees those whose count is over; with `force`, all of them.
    pub(super) fn sweep_retired(&mut self, os: &mut dyn Os, heap: u32, force: bool) {
        let (low, high) = self.heaps[heap as usize].retired;
        let mut kept = NO_RETIRED;
        for bin in low..=high {
            let at = self.heaps[heap as usize].queues[bin].0;
            let Some(page) = self.pages.get_mut(at as usize).filter(|page| page.retire > 0) else { continue };
            if !page.all_free() {
                page.retire = 0;
                continue;
            }
            page.retire -= 1;
            if force || page.retire == 0 {
                self.free_page(os, at);
            } else {
                kept = (kept.0.min(bin), kept.1.max(bin));
            }
        }
        self.heaps[heap as usize].retired = kept;
    }

    /// Takes a page out of whatever queue of its thread it is in.
    pub(super) fn leave_queue(&mut self, at: u32) {
        let page = &self.pages[at as usize];
        let queue = if page.in_full { BIN_FULL } else { usize::from(page.bin) };
        self.dequeue(page.heap, queue, at);
        self.pages[at as usize].in_full = false;
    }

    fn dequeue(&mut self, heap: u32, queue: usize, at: u32) {
        let page = &mut self.pages[at as usize];
        let (previous, next) = (page.previous, page.next);
        (page.previous, page.next) = (NOBODY, NOBODY);
        let ends = &mut self.heaps[heap as usize].queues[queue];
        match self.pages.get_mut(previous as usize) {
            Some(page) => page.next = next,
            None => ends.0 = next,
        }
        match self.pages.get_mut(next as usize) {
            Some(page) => page.previous = previous,
            None => ends.1 = previous,
        }
    }

    pub(super) fn enqueue_first(&mut self, heap: u32, queue: usize, at: u32) {
        let ends = &mut self.heaps[heap as usize].queues[queue];
        let next = std::mem::replace(&mut ends.0, at);
        match self.pages.get_mut(next as usize) {
            Some(page) => page.previous = at,
            None => ends.1 = at,
        }
        let page = &mut self.pages[at as usize];
        (page.previous, page.next, page.in_full) = (NOBODY, next, false);
    }

    fn enqueue_last(&mut self, heap: u32, queue: usize, at: u32) {
        let ends = &mut self.heaps[heap as usize].queues[queue];
        let previous = std::mem::replace(&mut ends.1, at);
        match self.pages.get_mut(previous as usize) {
            Some(page) => page.next = at,
            None => ends.0 = at,
        }
        let page = &mut self.pages[at as usize];
        (page.previous, page.next, page.in_full) = (previous, NOBODY, queue == BIN_FULL);
    }
}
