//! Spans: runs of pages, the lists they are on, and the map from a page to its span.
//!
//! A span's number is also the place of its descriptor in the metadata. Number 0 is never a span: the library takes that descriptor for
//! itself.

use super::metadata::{Metadata, Pool};
use super::system::System;
use crate::vm::os::Os;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The allocator's page: 8 KiB.
pub(super) const PAGE_SHIFT: u32 = 13;
/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 48;
/// Pages of a region, each with a table of its own: 32 MiB.
const REGION: u32 = 12;
const RECENT: usize = 64;

pub(super) type SpanId = u32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Location {
    #[default]
    InUse,
    /// Free, and as resident as it was left.
    Normal,
    /// Free, and given back to the kernel.
    Returned,
}

#[derive(Default)]
pub(super) struct Span {
    /// First page.
    pub(super) start: u64,
    /// Pages.
    pub(super) len: u64,
    next: SpanId,
    previous: SpanId,
    pub(super) location: Location,
    /// Its size class; 0 where it is handed out as pages.
    pub(super) class: u8,
    /// Objects that are not in `objects`.
    pub(super) taken: u32,
    /// Free objects by their place in the span; the last one is the head of the list.
    pub(super) objects: Vec<u16>,
    /// Its place in the set of large free spans.
    pub(super) node: u32,
}

/// A list of spans; 0 is none.
#[derive(Clone, Copy, Default)]
pub(super) struct List {
    first: SpanId,
    last: SpanId,
}

impl List {
    pub(super) fn first(&self) -> Option<SpanId> {
        (self.first != 0).then_some(self.first)
    }

    pub(super) fn last(&self) -> Option<SpanId> {
        (self.last != 0).then_some(self.last)
    }
}

pub(super) struct Spans {
    spans: Vec<Span>,
    descriptors: Pool,
    map: PageMap,
}

impl Spans {
    pub(super) fn new(os: &mut dyn Os, system: &mut System, metadata: &mut Metadata) -> Option<Spans> {
        let mut descriptors = Pool::new(os, system, metadata, DESCRIPTOR)?;
        descriptors.take(os, system, metadata)?;
        descriptors.take(os, system, metadata)?;
        Some(Spans { spans: Vec::new(), descriptors, map: PageMap::default() })
    }

    /// A span that is in use. Its descriptor is cleared.
    pub(super) fn make(&mut self, os: &mut dyn Os, system: &mut System, metadata: &mut Metadata, start: u64, len: u64) -> Option<SpanId> {
        let id = self.descriptors.take(os, system, metadata)?;
        self.descriptors.write(os, id, 0, DESCRIPTOR);
        if id as usize >= self.spans.len() {
            self.spans.resize_with(id as usize + 1, Span::default);
        }
        self.spans[id as usize] = Span { start, len, ..Span::default() };
        self.map.set(start, id);
        self.map.set(start + len - 1, id);
        Some(id)
    }

    /// A merged span's descriptor goes back.
    pub(super) fn forget(&mut self, os: &mut dyn Os, id: SpanId) {
        self.descriptors.give(os, id);
    }

    pub(super) fn get(&self, id: SpanId) -> &Span {
        &self.spans[id as usize]
    }

    /// The spans of a list.
    pub(super) fn along(&self, list: &List) -> impl Iterator<Item = &Span> {
        let known = |id: SpanId| (id != 0).then(|| self.get(id));
        std::iter::successors(known(list.first), move |span| known(span.next))
    }

    pub(super) fn get_mut(&mut self, id: SpanId) -> &mut Span {
        &mut self.spans[id as usize]
    }

    /// The span that a page was last made known to belong to.
    pub(super) fn at(&self, page: u64) -> Option<SpanId> {
        Some(self.map.get(page)).filter(|&id| id != 0)
    }

    /// Makes known where a span begins and ends.
    pub(super) fn place(&mut self, id: SpanId, start: u64, len: u64) {
        let span = &mut self.spans[id as usize];
        (span.start, span.len) = (start, len);
        self.map.set(start, id);
        self.map.set(start + len - 1, id);
    }

    /// Makes all pages of a span known: objects begin anywhere in it.
    pub(super) fn register(&mut self, id: SpanId, class: usize) {
        let span = &mut self.spans[id as usize];
        span.class = class as u8;
        (span.start..span.start + span.len).for_each(|page| self.map.set(page, id));
    }

    pub(super) fn prepend(&mut self, list: &mut List, id: SpanId) {
        let first = list.first;
        let span = &mut self.spans[id as usize];
        (span.next, span.previous) = (first, 0);
        list.first = id;
        match first {
            0 => list.last = id,
            _ => self.spans[first as usize].previous = id,
        }
    }

    pub(super) fn remove(&mut self, list: &mut List, id: SpanId) {
        let Span { next, previous, .. } = self.spans[id as usize];
        match previous {
            0 => list.first = next,
            _ => self.spans[previous as usize].next = next,
        }
        match next {
            0 => list.last = previous,
            _ => self.spans[next as usize].previous = previous,
        }
    }
}

/// Page → span, in tables of 32 MiB of addresses each.
struct PageMap {
    tables: Vec<Box<[SpanId; 1 << REGION]>>,
    index: BTreeMap<u64, u32>,
    recent: [Cell<(u64, u32)>; RECENT],
}

impl Default for PageMap {
    fn default() -> PageMap {
        PageMap { tables: Vec::new(), index: BTreeMap::new(), recent: [const { Cell::new((u64::MAX, 0)) }; RECENT] }
    }
}

impl PageMap {
    fn get(&self, page: u64) -> SpanId {
        self.table(page >> REGION).map_or(0, |table| self.tables[table as usize][within(page)])
    }

    fn set(&mut self, page: u64, id: SpanId) {
        let region = page >> REGION;
        let table = self.table(region).unwrap_or_else(|| {
            self.tables.push(Box::new([0; 1 << REGION]));
            let table = self.tables.len() as u32 - 1;
            self.index.insert(region, table);
            table
        });
        self.tables[table as usize][within(page)] = id;
    }

    fn table(&self, region: u64) -> Option<u32> {
        let recent = &self.recent[region as usize % RECENT];
        let (number, table) = recent.get();
        if number == region {
            return Some(table);
        }
        let table = *self.index.get(&region)?;
        recent.set((region, table));
        Some(table)
    }
}

fn within(page: u64) -> usize {
    page as usize % (1 << REGION)
}
