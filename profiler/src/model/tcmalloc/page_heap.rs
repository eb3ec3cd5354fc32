//! Spans out of free memory and back into it. (Fact sheet, section 4; `PageHeap` in the source.)
//!
//! Free spans are *normal* (as they were left) or *returned* (given back to the kernel). They lie on lists by length up to 128 pages, and
//! in ordered sets above. Only neighbours of the same kind merge. Growth and release are in [`super::release`].

use super::metadata::{Metadata, Pool};
use super::rules::Flags;
use super::spans::{List, Location, PAGE_SHIFT, Span, SpanId, Spans};
use super::system::System;
use crate::vm::os::Os;
use std::collections::{BTreeSet, btree_set};
use std::ops::Bound;

/// Longest span that has a list of its own.
pub(super) const LISTED: u64 = 128;
/// Bytes of a node of a set.
const NODE: u64 = 48;
/// Bytes of the note that is kept about each growth.
const GROWTH_NOTE: u64 = 264;

/// Free spans of one kind.
#[derive(Default)]
pub(super) struct Shelf {
    lists: Vec<List>,
    /// Which lists are not empty.
    filled: u128,
    /// Longer ones: length, first page, span.
    large: BTreeSet<(u64, u64, SpanId)>,
    pub(super) bytes: u64,
}

impl Shelf {
    fn new() -> Shelf {
        Shelf { lists: vec![List::default(); LISTED as usize], ..Shelf::default() }
    }

    pub(super) fn list(&self, len: u64) -> &List {
        &self.lists[len as usize - 1]
    }

    /// Every span.
    pub(super) fn each(&self, spans: &Spans, mut visit: impl FnMut(&Span)) {
        for list in &self.lists {
            spans.along(list).for_each(&mut visit);
        }
        self.large.iter().for_each(|&(_, _, id)| visit(spans.get(id)));
    }

    pub(super) fn large(&self) -> btree_set::Iter<'_, (u64, u64, SpanId)> {
        self.large.iter()
    }

    /// The shortest of the large spans with at least `len` pages, the lowest of those.
    fn best(&self, len: u64) -> Option<(u64, u64, SpanId)> {
        self.large.range((Bound::Included((len, 0, 0)), Bound::Unbounded)).next().copied()
    }
}

pub(super) struct PageHeap {
    pub(super) system: System,
    pub(super) metadata: Metadata,
    pub(super) spans: Spans,
    pub(super) normal: Shelf,
    pub(super) returned: Shelf,
    /// Descriptors of the sets' entries, once there was one.
    nodes: Option<Pool>,
    pub(super) growths: Pool,
    /// Pieces of the page map that exist.
    pub(super) leaves: BTreeSet<u64>,
    /// Bytes that ever came from the system.
    pub(super) grown: u64,
    /// Pages that may still be freed before the next release.
    pub(super) countdown: i64,
    /// Where the round over the lists goes on: the length of a list less one, or 128 for the large spans.
    pub(super) cursor: u64,
    pub(super) aggressive: bool,
    pub(super) flags: Flags,
}

impl PageHeap {
    pub(super) fn new(os: &mut dyn Os, aggressive: bool) -> Option<PageHeap> {
        let (mut system, mut metadata) = (System::default(), Metadata::default());
        let spans = Spans::new(os, &mut system, &mut metadata)?;
        let growths = Pool::new(os, &mut system, &mut metadata, GROWTH_NOTE)?;
        Some(PageHeap {
            system,
            metadata,
            spans,
            normal: Shelf::new(),
            returned: Shelf::new(),
            nodes: None,
            growths,
            leaves: BTreeSet::new(),
            grown: 0,
            countdown: 0,
            cursor: LISTED,
            aggressive,
            flags: Flags::default(),
        })
    }

    /// The library's variables have their values now.
    pub(super) fn settle(&mut self, flags: Flags) {
        self.flags = flags;
        (self.system.skip_break, self.system.skip_mappings) = (flags.skip_break, flags.skip_mappings);
    }

    /// A span of `len` pages.
    pub(super) fn allocate(&mut self, os: &mut dyn Os, len: u64) -> Option<SpanId> {
        if let Some(found) = self.search(os, len) {
            return Some(found);
        }
        if self.release_would_help(len) {
            self.release(os, u64::MAX);
            if let Some(found) = self.search(os, len) {
                return Some(found);
            }
        }
        self.grow(os, len)?;
        self.search(os, len)
    }

    fn search(&mut self, os: &mut dyn Os, len: u64) -> Option<SpanId> {
        let mut at = len;
        while at <= LISTED {
            let filled = (self.normal.filled | self.returned.filled) >> (at - 1);
            if filled == 0 {
                break;
            }
            at += u64::from(filled.trailing_zeros());
            if let Some(id) = self.normal.list(at).first() {
                return self.carve(os, id, len);
            }
            // Making room below the limit may have merged the span away.
            if self.below_limit(os, len, true)
                && let Some(id) = self.returned.list(at).first()
            {
                return self.carve(os, id, len);
            }
            at += 1;
        }
        self.search_large(os, len)
    }

    fn search_large(&mut self, os: &mut dyn Os, len: u64) -> Option<SpanId> {
        let (normal, returned) = (self.normal.best(len), self.returned.best(len));
        let better = |found: &(u64, u64, SpanId)| normal.is_none_or(|normal| (found.0, found.1) < (normal.0, normal.1));
        let Some(returned) = returned.filter(better) else {
            return normal.and_then(|normal| self.carve(os, normal.2, len));
        };
        if self.below_limit(os, len, false) {
            return self.carve(os, returned.2, len);
        }
        if self.below_limit(os, len, true) { self.search_large(os, len) } else { None }
    }

    /// Takes the front of a free span; the rest keeps its kind.
    fn carve(&mut self, os: &mut dyn Os, id: SpanId, len: u64) -> Option<SpanId> {
        let (start, whole, location) = self.facts(id);
        self.take_out(os, id);
        self.spans.get_mut(id).location = Location::InUse;
        if whole > len {
            let rest = self.make(os, start + len, whole - len)?;
            self.spans.get_mut(rest).location = location;
            self.put_in(os, rest);
            self.spans.place(id, start, len);
        }
        Some(id)
    }

    /// Cuts a span in use after `len` pages; answers with the second part.
    pub(super) fn split(&mut self, os: &mut dyn Os, id: SpanId, len: u64) -> Option<SpanId> {
        let (start, whole, _) = self.facts(id);
        let rest = self.make(os, start + len, whole - len)?;
        self.spans.place(id, start, len);
        Some(rest)
    }

    /// Takes a span back.
    pub(super) fn delete(&mut self, os: &mut dyn Os, id: SpanId) {
        let span = self.spans.get_mut(id);
        (span.class, span.location) = (0, Location::Normal);
        let len = span.len;
        self.merge(os, id);
        self.count_down(os, len);
    }

    /// Puts a free span on its shelf, together with the neighbours of its kind.
    pub(super) fn merge(&mut self, os: &mut dyn Os, id: SpanId) {
        let (mut start, mut len, location) = self.facts(id);
        if self.aggressive && location == Location::Normal && self.decommit(os, start, len) {
            self.spans.get_mut(id).location = Location::Returned;
        }
        let (below, above) = (self.spans.at(start - 1), self.spans.at(start + len));
        for (neighbour, is_below) in [(below, true), (above, false)] {
            let Some(other) = neighbour.filter(|&other| self.joins(os, id, other)) else { continue };
            let (other_start, other_len, _) = self.facts(other);
            self.take_out(os, other);
            self.spans.forget(os, other);
            start = if is_below { other_start } else { start };
            len += other_len;
        }
        self.spans.place(id, start, len);
        self.put_in(os, id);
    }

    /// Whether a neighbour is free and of the same kind, or can be made so.
    fn joins(&mut self, os: &mut dyn Os, id: SpanId, other: SpanId) -> bool {
        let (start, len, location) = self.facts(other);
        let own = self.spans.get(id).location;
        if self.aggressive && location == Location::Normal && own == Location::Returned {
            return self.decommit(os, start, len);
        }
        location == own
    }

    fn put_in(&mut self, os: &mut dyn Os, id: SpanId) {
        let (start, len, location) = self.facts(id);
        let shelf = if location == Location::Normal { &mut self.normal } else { &mut self.returned };
        shelf.bytes += len << PAGE_SHIFT;
        if len <= LISTED {
            shelf.filled |= 1 << (len - 1);
            self.spans.prepend(&mut shelf.lists[len as usize - 1], id);
            return;
        }
        shelf.large.insert((len, start, id));
        let pool = match &mut self.nodes {
            Some(pool) => Some(pool),
            none => Pool::new(os, &mut self.system, &mut self.metadata, NODE).map(|pool| none.insert(pool)),
        };
        // Without memory for its descriptors the library ends the process.
        if let Some(pool) = pool
            && let Some(node) = pool.take(os, &mut self.system, &mut self.metadata)
        {
            pool.write(os, node, 0, NODE);
            self.spans.get_mut(id).node = node;
        }
    }

    pub(super) fn take_out(&mut self, os: &mut dyn Os, id: SpanId) {
        let (start, len, location) = self.facts(id);
        let shelf = if location == Location::Normal { &mut self.normal } else { &mut self.returned };
        shelf.bytes -= len << PAGE_SHIFT;
        if len > LISTED {
            shelf.large.remove(&(len, start, id));
            if let Some(pool) = &mut self.nodes {
                pool.give(os, self.spans.get(id).node);
            }
            return;
        }
        let list = &mut shelf.lists[len as usize - 1];
        self.spans.remove(list, id);
        if list.first().is_none() {
            shelf.filled &= !(1 << (len - 1));
        }
    }

    pub(super) fn make(&mut self, os: &mut dyn Os, start: u64, len: u64) -> Option<SpanId> {
        self.spans.make(os, &mut self.system, &mut self.metadata, start, len)
    }

    fn facts(&self, id: SpanId) -> (u64, u64, Location) {
        let span = self.spans.get(id);
        (span.start, span.len, span.location)
    }
}
