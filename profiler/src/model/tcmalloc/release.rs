//! How the page heap grows, and what it gives back. (Fact sheet, section 4.)

use super::metadata::write;
use super::page_heap::{LISTED, PageHeap};
use super::spans::{Location, PAGE_SHIFT, SpanId};
use crate::event::Advice;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// Least growth.
const LEAST: u64 = LISTED;
/// A release of everything is tried before the heap grows over a multiple of this.
const FORCED_RELEASE: u64 = 128 << 20;
/// Pages freed until the next try, where nothing could be released.
const DEFAULT_DELAY: i64 = 1 << 18;
/// The longest delay, in pages.
const LONGEST_DELAY: f64 = (1 << 20) as f64;
/// Pages that a piece of the page map stands for, and its bytes.
const LEAF_PAGES: u32 = 18;
const LEAF: u64 = 8 << LEAF_PAGES;

impl PageHeap {
    /// Whether much is free, in pieces that cannot merge because some are returned and others not.
    pub(super) fn release_would_help(&self, len: u64) -> bool {
        let (normal, returned) = (self.normal.bytes, self.returned.bytes);
        let after = self.grown.saturating_add(len.saturating_mul(1 << PAGE_SHIFT));
        normal != 0 && returned != 0 && normal + returned >= self.grown / 4 && self.grown / FORCED_RELEASE != after / FORCED_RELEASE
    }

    /// More memory, as a free span.
    pub(super) fn grow(&mut self, os: &mut dyn Os, len: u64) -> Option<()> {
        let found = match self.ask_system(os, len.max(LEAST)) {
            None if len < LEAST => self.ask_system(os, len),
            found => found,
        };
        let (start, bytes) = found?;
        self.grown += bytes;
        // Without memory for its descriptors the library ends the process.
        if let Some(note) = self.growths.take(os, &mut self.system, &mut self.metadata) {
            self.growths.write(os, note, 0, 264);
        }
        let (page, pages) = (start >> PAGE_SHIFT, bytes >> PAGE_SHIFT);
        // A page more at both ends, so that a look at the neighbours needs no test.
        for leaf in (page - 1) >> LEAF_PAGES..=(page + pages) >> LEAF_PAGES {
            if self.leaves.insert(leaf) {
                let at = self.metadata.allocate(os, &mut self.system, LEAF)?;
                write(os, at, LEAF);
            }
        }
        let id = self.make(os, page, pages)?;
        self.delete(os, id);
        Some(())
    }

    fn ask_system(&mut self, os: &mut dyn Os, len: u64) -> Option<(u64, u64)> {
        let bytes = len.checked_mul(1 << PAGE_SHIFT)?;
        if !self.below_limit(os, len, true) {
            return None;
        }
        self.system.allocate(os, bytes, 1 << PAGE_SHIFT)
    }

    /// Whether `len` more pages keep within the limit of the heap, if need be after a release.
    pub(super) fn below_limit(&mut self, os: &mut dyn Os, len: u64, releasing: bool) -> bool {
        let limit = self.flags.limit_pages;
        if limit == 0 {
            return true;
        }
        let mut taken = (self.system.taken >> PAGE_SHIFT) - (self.returned.bytes >> PAGE_SHIFT);
        if taken + len > limit && releasing {
            taken -= self.release(os, taken + len - limit);
        }
        taken + len <= limit
    }

    /// So many pages were freed: now and then that releases a span.
    pub(super) fn count_down(&mut self, os: &mut dyn Os, len: u64) {
        self.countdown -= len as i64;
        if self.countdown >= 0 {
            return;
        }
        let rate = self.flags.release_rate;
        let released = if rate <= 1e-6 { 0 } else { self.release(os, 1) };
        self.countdown = match released {
            0 => DEFAULT_DELAY,
            _ => (1000.0 / rate * released as f64).min(LONGEST_DELAY) as i64,
        };
    }

    /// Releases whole spans, one of each length in turn, until it is `least` pages or nothing is left; answers with the pages.
    pub(super) fn release(&mut self, os: &mut dyn Os, least: u64) -> u64 {
        let mut released = 0;
        // Whole rounds, unless it is enough in the middle of one.
        while released < least && self.normal.bytes > 0 {
            for _ in 0..=LISTED {
                if released >= least {
                    break;
                }
                if let Some(id) = self.oldest(self.cursor) {
                    let len = self.release_span(os, id);
                    if len == 0 {
                        return released;
                    }
                    released += len;
                }
                self.cursor = (self.cursor + 1) % (LISTED + 1);
            }
        }
        released
    }

    fn oldest(&self, cursor: u64) -> Option<SpanId> {
        match cursor {
            LISTED => self.normal.large().next().map(|&(_, _, id)| id),
            _ => self.normal.list(cursor + 1).last(),
        }
    }

    /// Answers with its pages, or 0 where nothing may be released.
    fn release_span(&mut self, os: &mut dyn Os, id: SpanId) -> u64 {
        let (start, len) = (self.spans.get(id).start, self.spans.get(id).len);
        if !self.decommit(os, start, len) {
            return 0;
        }
        self.take_out(os, id);
        self.spans.get_mut(id).location = Location::Returned;
        self.merge(os, id);
        len
    }

    pub(super) fn decommit(&mut self, os: &mut dyn Os, start: u64, len: u64) -> bool {
        if !self.flags.never_release {
            os.madvise(Addr(start << PAGE_SHIFT), Bytes(len << PAGE_SHIFT), Advice::DontNeed);
        }
        !self.flags.never_release
    }
}
