//! Segments with live blocks of threads that ended: other threads look at them when they need a segment, and take them over.

use super::Mimalloc;
use super::page::{Delayed, NOBODY};
use super::rules::BIN_LARGE;
use crate::vm::os::Os;

/// A segment is taken over when it was looked at more often than this, counted from 1.
const MOST_VISITS: u32 = 3;
/// Segments that are looked at when a thread ends.
const COLLECTED: usize = 1024;

/// What a thread got that looked for a segment.
pub(super) enum Reclaimed {
    /// A page with blocks of the size it needs, which is in its queue.
    Page,
    /// A segment with room for a page.
    Segment,
    Nothing,
}

/// Segments without a thread; in both lists the latest is last.
#[derive(Default)]
pub(super) struct Abandoned {
    waiting: Vec<u32>,
    /// Looked at and left: they wait again when no other does.
    visited: Vec<u32>,
}

impl Abandoned {
    fn pop(&mut self) -> Option<u32> {
        if self.waiting.is_empty() {
            std::mem::swap(&mut self.waiting, &mut self.visited);
        }
        self.waiting.pop()
    }
}

impl Mimalloc {
    /// All pages of a segment lost their thread.
    pub(super) fn abandon_segment(&mut self, os: &mut dyn Os, at: u32) {
        let mut next = self.segments[at as usize].next_span(0);
        while let Some(slice) = next {
            if self.segments[at as usize].slices[slice].free {
                self.unqueue(at, slice);
                self.segments[at as usize].slices[slice].free = true;
            }
            next = self.segments[at as usize].next_span(slice);
        }
        let segment = &mut self.segments[at as usize];
        segment.return_waiting(os, self.params.abandoned_page_decommit);
        self.heaps[segment.owner as usize].segments -= 1;
        (segment.owner, segment.visits) = (NOBODY, 1);
        self.abandoned.waiting.push(at);
    }

    /// Looks for a segment with room for `slices` or with a free block of that size.
    pub(super) fn reclaim(&mut self, os: &mut dyn Os, heap: u32, slices: usize, block_size: u64) -> Reclaimed {
        for _ in 0..self.params.max_segment_reclaim {
            let Some(at) = self.abandoned.pop() else { break };
            self.segments[at as usize].visits += 1;
            let useful = self.clear_empty_pages(os, at, slices, block_size);
            let segment = &mut self.segments[at as usize];
            if segment.used > 0 && useful {
                let right = self.take_over(os, heap, at, block_size);
                return if right { Reclaimed::Page } else { Reclaimed::Segment };
            }
            if segment.used == 0 || segment.visits > MOST_VISITS {
                self.take_over(os, heap, at, 0);
            } else {
                segment.return_waiting(os, true);
                self.abandoned.visited.push(at);
            }
        }
        Reclaimed::Nothing
    }

    /// Frees the pages of a segment that others have emptied; answers whether it could serve such a request.
    fn clear_empty_pages(&mut self, os: &mut dyn Os, at: u32, slices: usize, block_size: u64) -> bool {
        let mut useful = false;
        let mut next = self.segments[at as usize].next_span(0);
        while let Some(mut slice) = next {
            let found = self.segments[at as usize].slices[slice];
            if !found.free {
                let page = &mut self.pages[found.page as usize];
                page.collect(false);
                if page.all_free() {
                    self.segments[at as usize].abandoned -= 1;
                    slice = self.clear_page(os, found.page);
                } else {
                    useful |= page.block_size == block_size && page.has_room();
                }
            }
            let span = self.segments[at as usize].slices[slice];
            useful |= span.free && span.count as usize >= slices;
            next = self.segments[at as usize].next_span(slice);
        }
        useful
    }

    /// Makes a segment a thread's own; answers whether one of its pages has free blocks of that size. An empty one is released.
    fn take_over(&mut self, os: &mut dyn Os, heap: u32, at: u32, block_size: u64) -> bool {
        let segment = &mut self.segments[at as usize];
        (segment.owner, segment.visits) = (heap, 0);
        self.heaps[heap as usize].segments += 1;
        let mut right = false;
        let mut next = self.segments[at as usize].next_span(0);
        while let Some(mut slice) = next {
            let found = self.segments[at as usize].slices[slice];
            if !found.free {
                self.segments[at as usize].abandoned -= 1;
                let page = &mut self.pages[found.page as usize];
                (page.heap, page.delayed) = (heap, Delayed::Use);
                page.collect(false);
                if page.all_free() {
                    slice = self.clear_page(os, found.page);
                } else {
                    right |= page.block_size == block_size && page.has_room();
                    let bin = usize::from(page.bin);
                    self.enqueue_first(heap, bin, found.page);
                }
            } else if !self.segments[at as usize].huge {
                slice = self.merge_span(os, at, slice);
            }
            next = self.segments[at as usize].next_span(slice);
        }
        if self.segments[at as usize].used == 0 {
            self.release_segment(os, at);
            return false;
        }
        right
    }

    /// Looks at abandoned segments: a thread ends, or memory ran out (`force`).
    pub(super) fn collect_abandoned(&mut self, os: &mut dyn Os, heap: u32, force: bool) {
        if force {
            let visited = std::mem::take(&mut self.abandoned.visited);
            self.abandoned.waiting.extend(visited);
        }
        // Those in the lists come round and round; nothing more happens to one after the first look.
        let all = self.abandoned.waiting.len() + self.abandoned.visited.len();
        let mut seen = 0;
        for _ in 0..if force { 16 * COLLECTED } else { COLLECTED } {
            let Some(at) = self.abandoned.pop() else { break };
            if seen < 2 * all {
                self.clear_empty_pages(os, at, 0, 0);
                seen += 1;
            }
            if self.segments[at as usize].used == 0 {
                self.take_over(os, heap, at, 0);
            } else {
                self.segments[at as usize].return_waiting(os, force);
                self.abandoned.visited.push(at);
            }
        }
    }

    /// Takes over every abandoned segment.
    pub(super) fn reclaim_all(&mut self, os: &mut dyn Os, heap: u32) {
        while let Some(at) = self.abandoned.pop() {
            self.take_over(os, heap, at, 0);
        }
    }

    /// A page in use loses its thread.
    pub(super) fn abandon_page(&mut self, os: &mut dyn Os, at: u32) {
        self.leave_queue(at);
        let page = &mut self.pages[at as usize];
        page.heap = NOBODY;
        debug_assert!(usize::from(page.bin) <= BIN_LARGE);
        let at = page.segment;
        let segment = &mut self.segments[at as usize];
        segment.abandoned += 1;
        if segment.used == segment.abandoned {
            self.abandon_segment(os, at);
        }
    }
}
