//! Free spans of the segments of a thread, in queues by length; pages are made of them.

use super::Mimalloc;
use super::commit::touch;
use super::page::{NOBODY, Page};
use super::rules::{ENTRY, ENTRY_LINKS, ENTRY_SIZES, OFFSETS, PAGE_OFFSET, SLICE, SLICES, SPAN_BINS, entry, span_bin};
use crate::event::Advice;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// First and last span of each queue.
pub(super) type SpanQueues = [(u32, u32); SPAN_BINS];

pub(super) const NO_SPANS: SpanQueues = [(NOBODY, NOBODY); SPAN_BINS];

/// Segments and slices share a number in queues.
const SHIFT: u32 = 9;
const _: () = assert!(1 << SHIFT == SLICES);

fn span_of(segment: u32, slice: usize) -> u32 {
    (segment << SHIFT) + slice as u32
}

fn place_of(span: u32) -> (usize, usize) {
    ((span >> SHIFT) as usize, span as usize % SLICES)
}

impl Mimalloc {
    /// A page on so many slices out of the free spans of a thread: the shortest class that has one, and there the latest.
    pub(super) fn find_span(&mut self, os: &mut dyn Os, heap: u32, slices: usize) -> Option<u32> {
        for bin in span_bin(slices)..SPAN_BINS {
            let mut span = self.heaps[heap as usize].spans[bin].0;
            while span != NOBODY {
                let (segment, slice) = place_of(span);
                let found = self.segments[segment].slices[slice];
                let count = found.count as usize;
                if count >= slices {
                    let segment = segment as u32;
                    self.unqueue(segment, slice);
                    if count > slices {
                        self.free_span(os, segment, slice + slices, count - slices, false);
                    }
                    return Some(self.take_span(os, segment, slice, slices));
                }
                span = found.next;
            }
        }
        None
    }

    /// Makes a page of a span that is in no queue.
    pub(super) fn take_span(&mut self, os: &mut dyn Os, segment: u32, slice: usize, count: usize) -> u32 {
        self.ensure_committed(os, segment, slice, count);
        self.write_span(os, segment, slice, count);
        let page = self.idle_pages.pop().unwrap_or_else(|| {
            self.pages.push(Page::default());
            self.pages.len() as u32 - 1
        });
        let owner = &mut self.segments[segment as usize];
        owner.used += 1;
        let end = (slice + count).min(SLICES + 1);
        owner.slices[slice..end].iter_mut().for_each(|each| each.page = page);
        self.pages[page as usize].renew(segment, slice, count, owner.base + slice as u64 * SLICE);
        touch(os, owner.base + entry(slice), ENTRY);
        self.totals.page_bytes += count as u64 * SLICE;
        page
    }

    /// Writes down a span that is used.
    pub(super) fn write_span(&mut self, os: &mut dyn Os, segment: u32, slice: usize, count: usize) {
        let segment = &mut self.segments[segment as usize];
        let entries = segment.entries();
        let end = (slice + count).min(SLICES + 1);
        for each in &mut segment.slices[slice..end] {
            (each.first, each.free, each.count) = (slice as u16, false, 0);
        }
        segment.slices[slice].count = count as u32;
        let base = segment.base;
        let last_offset = slice + (count - 1).min(OFFSETS).min(entries - slice - 1);
        touch(os, base + entry(slice), entry(last_offset) + ENTRY_SIZES - entry(slice));
        touch(os, base + entry((slice + count - 1).min(entries)), ENTRY_SIZES);
    }

    /// Writes down a free span and queues it where its segment has a thread.
    pub(super) fn free_span(&mut self, os: &mut dyn Os, at: u32, slice: usize, count: usize, give_back: bool) {
        let segment = &mut self.segments[at as usize];
        segment.slices[slice] =
            super::segment::Slice { count: count as u32, first: slice as u16, free: true, page: NOBODY, previous: NOBODY, next: NOBODY };
        let last = &mut segment.slices[slice + count - 1];
        (last.first, last.free) = (slice as u16, true);
        touch(os, segment.base + entry(slice), ENTRY_LINKS);
        touch(os, segment.base + entry(slice + count - 1), ENTRY_SIZES);
        if give_back {
            self.perhaps_return(os, at, slice, count);
        }
        let owner = self.segments[at as usize].owner;
        if owner != NOBODY {
            self.queue(owner, at, slice);
        }
    }

    fn queue(&mut self, heap: u32, segment: u32, slice: usize) {
        let span = span_of(segment, slice);
        let count = self.segments[segment as usize].slices[slice].count as usize;
        let queue = &mut self.heaps[heap as usize].spans[span_bin(count)];
        let second = std::mem::replace(&mut queue.0, span);
        if second == NOBODY {
            queue.1 = span;
        } else {
            let (segment, slice) = place_of(second);
            self.segments[segment].slices[slice].previous = span;
        }
        self.segments[segment as usize].slices[slice].next = second;
    }

    /// Takes a span out of its queue. One that is in none, as happens while a segment changes its thread, stays as it is.
    pub(super) fn unqueue(&mut self, segment: u32, slice: usize) {
        let span = span_of(segment, slice);
        let owner = &mut self.segments[segment as usize];
        let heap = owner.owner as usize;
        let found = &mut owner.slices[slice];
        let (previous, next, count) = (found.previous, found.next, found.count as usize);
        (found.previous, found.next, found.free) = (NOBODY, NOBODY, false);
        let queue = &mut self.heaps[heap].spans[span_bin(count)];
        if queue.0 == span {
            queue.0 = next;
        }
        if queue.1 == span {
            queue.1 = previous;
        }
        if previous != NOBODY {
            let (segment, slice) = place_of(previous);
            self.segments[segment].slices[slice].next = next;
        }
        if next != NOBODY {
            let (segment, slice) = place_of(next);
            self.segments[segment].slices[slice].previous = previous;
        }
    }

    /// Merges a span that is in no queue with free neighbours, and frees the whole; answers with where that begins.
    pub(super) fn merge_span(&mut self, os: &mut dyn Os, at: u32, mut slice: usize) -> usize {
        let segment = &self.segments[at as usize];
        let orphan = segment.owner == NOBODY;
        let mut count = segment.slices[slice].count as usize;
        let next = slice + count;
        if next < segment.entries() && segment.slices[next].free {
            count += segment.slices[next].count as usize;
            if !orphan {
                self.unqueue(at, next);
            }
        }
        let slices = &self.segments[at as usize].slices;
        let below = usize::from(slices[slice - 1].first);
        if slices[below].free {
            count += slices[below].count as usize;
            if !orphan {
                self.unqueue(at, below);
            }
            slice = below;
        }
        self.free_span(os, at, slice, count, true);
        slice
    }

    /// An empty page becomes a free span; answers with where that begins.
    pub(super) fn clear_page(&mut self, os: &mut dyn Os, at: u32) -> usize {
        let page = &self.pages[at as usize];
        let (segment, slice, slices) = (page.segment, usize::from(page.slice), page.slices);
        let (area, whole) = (page.area(), u64::from(slices) * SLICE);
        let owner = &self.segments[segment as usize];
        let base = owner.base;
        if self.params.page_reset && !owner.memory.pinned {
            let from = base + slice as u64 * SLICE + if page.start % SLICE == PAGE_OFFSET { PAGE } else { 0 };
            os.madvise(Addr(from), Bytes(base + slice as u64 * SLICE + whole - from), Advice::Free);
        }
        touch(os, base + entry(slice) + 8, ENTRY - 8);
        self.totals.page_bytes -= whole;
        self.totals.area -= area;
        self.idle_pages.push(at);
        let start = if owner.huge {
            self.segments[segment as usize].slices[slice].free = true;
            slice
        } else {
            self.merge_span(os, segment, slice)
        };
        self.segments[segment as usize].used -= 1;
        start
    }

    /// An empty page that is in no queue goes, and its segment with it where it was the last.
    pub(super) fn release_page(&mut self, os: &mut dyn Os, page: u32) {
        let segment = self.pages[page as usize].segment;
        self.clear_page(os, page);
        let owner = &self.segments[segment as usize];
        if owner.used == 0 {
            self.release_segment(os, segment);
        } else if owner.used == owner.abandoned {
            self.abandon_segment(os, segment);
        }
    }
}
