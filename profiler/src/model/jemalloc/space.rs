//! Extents of an arena: taken from what is free, cut to length, mapped when nothing fits, grown and shrunk in place.

use super::arena::Arena;
use super::classes::{page_class_of, pages_of};
use super::store::{Extent, Id, State};
use super::{Jemalloc, advise_huge, map_pages};
use crate::event::{Access, Advice, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Bytes of a descriptor, and their alignment.
const DESCRIPTOR: u64 = 128;

/// What an extent is needed for.
#[derive(Clone, Copy)]
pub(super) struct Need {
    pub(super) pages: u64,
    /// In pages, a power of two.
    pub(super) align: u64,
    pub(super) zeroed: bool,
}

impl Jemalloc {
    /// An extent for use: dirty pages first, then muzzy ones, address space that is kept, and new mappings.
    pub(super) fn take_extent(&mut self, os: &mut dyn Os, a: usize, need: Need) -> Option<Id> {
        need.pages.checked_add(need.align - 1)?;
        for state in [State::Dirty, State::Muzzy, State::Retained] {
            let skipped = state == State::Muzzy && self.arenas[a].decay_muzzy.millis == 0;
            if !skipped && let Some(id) = self.reuse(os, a, state, need) {
                return Some(id);
            }
        }
        self.map_extent(os, a, need)
    }

    fn reuse(&mut self, os: &mut dyn Os, a: usize, state: State, need: Need) -> Option<Id> {
        let max_fit = if state == State::Dirty { self.params.max_fit } else { 63 };
        let cache = self.arenas[a].cache(state);
        let found = cache.fit(&self.store, need.pages, need.align, max_fit)?;
        cache.remove(&mut self.store, found);
        let (lead, id, trail) = self.carve(os, a, found, need);
        for rest in [lead, trail].into_iter().flatten() {
            self.arenas[a].cache(state).insert(&mut self.store, rest);
        }
        self.clear(os, id, need.zeroed);
        Some(id)
    }

    /// Makes sure that an extent is zero where that is needed.
    fn clear(&mut self, os: &mut dyn Os, id: Id, zeroed: bool) {
        let extent = &self.store[id];
        if zeroed && !extent.zeroed {
            let (addr, len) = (Addr(extent.addr), Bytes(extent.bytes()));
            match self.params.thp {
                super::settings::Thp::Always => os.touch(addr, len, Access::Write),
                _ => os.madvise(addr, len, Advice::DontNeed),
            }
        }
    }

    /// Cuts what is needed out of an extent: what is before, the piece, what is behind.
    fn carve(&mut self, os: &mut dyn Os, a: usize, id: Id, need: Need) -> (Option<Id>, Id, Option<Id>) {
        let first = self.store[id].first_page();
        let lead = first.next_multiple_of(need.align) - first;
        let (before, piece) = if lead > 0 { (Some(id), self.split(os, a, id, lead)) } else { (None, id) };
        let rest = self.store[piece].pages - need.pages;
        let behind = (rest > 0).then(|| self.split(os, a, piece, need.pages));
        (before, piece, behind)
    }

    /// Leaves an extent its first `pages`; answers with the rest.
    pub(super) fn split(&mut self, os: &mut dyn Os, a: usize, id: Id, pages: u64) -> Id {
        self.new_descriptor(os, a);
        let extent = &mut self.store[id];
        let (addr, rest) = (extent.addr + pages * PAGE, extent.pages - pages);
        extent.pages = pages;
        let trail = Extent { addr, pages: rest, serial: extent.serial, arena: extent.arena, zeroed: extent.zeroed, ..Extent::default() };
        let trail = self.store.add(trail);
        self.register(os, id);
        self.register(os, trail);
        trail
    }

    /// Two neighbours become one, the lower of them.
    pub(super) fn merge(&mut self, os: &mut dyn Os, a: usize, low: Id, high: Id) {
        let (pages, serial, zeroed) = (self.store[high].pages, self.store[high].serial, self.store[high].zeroed);
        let extent = &mut self.store[low];
        extent.pages += pages;
        extent.serial = extent.serial.min(serial);
        extent.zeroed &= zeroed;
        self.drop_descriptor(a, high);
        self.register(os, low);
    }

    /// Writes the ends of an extent into the map.
    fn register(&mut self, os: &mut dyn Os, id: Id) {
        let (first, pages) = (self.store[id].first_page(), self.store[id].pages);
        for page in [first, first + pages - 1] {
            self.map.set(os, &mut self.arenas[0].base, &self.params, page, id);
        }
    }

    /// Writes what lies between the ends.
    pub(super) fn register_inside(&mut self, os: &mut dyn Os, id: Id) {
        let (first, pages) = (self.store[id].first_page(), self.store[id].pages);
        for page in first + 1..(first + pages).saturating_sub(1) {
            self.map.set(os, &mut self.arenas[0].base, &self.params, page, id);
        }
    }

    /// A descriptor that was used before, or a new one: read first and then written, as bit by bit.
    fn new_descriptor(&mut self, os: &mut dyn Os, a: usize) {
        let arena = &mut self.arenas[a];
        if arena.descriptors > 0 {
            arena.descriptors -= 1;
        } else if let Some(at) = arena.base.alloc(os, &self.params, DESCRIPTOR, DESCRIPTOR) {
            os.touch(Addr(at), Bytes(DESCRIPTOR), Access::Read);
            os.touch(Addr(at), Bytes(DESCRIPTOR), Access::Write);
        }
    }

    pub(super) fn drop_descriptor(&mut self, a: usize, id: Id) {
        self.arenas[a].descriptors += 1;
        self.store.remove(id);
    }

    /// A new mapping: with `retain` a long one, of which the rest is kept.
    fn map_extent(&mut self, os: &mut dyn Os, a: usize, need: Need) -> Option<Id> {
        if self.params.retain
            && let Some(class) = self.arenas[a].growth(need.pages + need.align - 1)
            && let Some(id) = self.map_new(os, a, pages_of(class), 1, true)
        {
            self.arenas[a].next_growth = class + 1;
            let (lead, id, trail) = self.carve(os, a, id, need);
            for rest in [lead, trail].into_iter().flatten() {
                self.keep(os, a, rest, State::Retained);
            }
            return Some(id);
        }
        self.map_new(os, a, need.pages, need.align, self.params.retain)
    }

    fn map_new(&mut self, os: &mut dyn Os, a: usize, pages: u64, align: u64, head: bool) -> Option<Id> {
        let bytes = pages.checked_mul(PAGE)?;
        self.new_descriptor(os, a);
        let Some(addr) = map_pages(os, bytes, align * PAGE, self.params.thp) else {
            self.arenas[a].descriptors += 1;
            return None;
        };
        Some(self.admit(os, a, addr, pages, head))
    }

    /// The extent of a new mapping.
    fn admit(&mut self, os: &mut dyn Os, a: usize, addr: u64, pages: u64, head: bool) -> Id {
        let arena = &mut self.arenas[a];
        arena.mapped += pages * PAGE;
        arena.next_serial += 1;
        let extent = Extent { addr, pages, serial: arena.next_serial, arena: a as u32, head, zeroed: true, ..Extent::default() };
        let id = self.store.add(extent);
        self.register(os, id);
        id
    }

    /// The free neighbour of an extent that it could be merged with: of the same arena, and no other mapping.
    pub(super) fn neighbour(&mut self, os: &mut dyn Os, id: Id, state: State, forward: bool) -> Option<Id> {
        let extent = &self.store[id];
        let page = if forward { extent.first_page() + extent.pages } else { extent.first_page() - 1 };
        let (arena, head) = (extent.arena, extent.head);
        let found = self.map.look(os, page);
        let other = &self.store[found];
        let upper_is_head = if forward { other.head } else { head };
        (found != 0 && other.state == state && other.arena == arena && !upper_is_head).then_some(found)
    }

    /// Makes an extent in use longer, if what follows is free and long enough.
    pub(super) fn expand(&mut self, os: &mut dyn Os, a: usize, id: Id, more: u64) -> bool {
        for state in [State::Dirty, State::Muzzy, State::Retained] {
            let Some(next) = self.neighbour(os, id, state, true).filter(|&next| self.store[next].pages >= more) else { continue };
            self.arenas[a].cache(state).remove(&mut self.store, next);
            let (_, taken, rest) = self.carve(os, a, next, Need { pages: more, align: 1, zeroed: false });
            if let Some(rest) = rest {
                self.arenas[a].cache(state).insert(&mut self.store, rest);
            }
            self.merge(os, a, id, taken);
            return true;
        }
        !self.params.retain && self.map_behind(os, a, id, more)
    }

    /// Maps the pages behind an extent, if the kernel has them.
    fn map_behind(&mut self, os: &mut dyn Os, a: usize, id: Id, pages: u64) -> bool {
        let (end, bytes) = (self.store[id].end(), Bytes(pages * PAGE));
        self.new_descriptor(os, a);
        let found = os.mmap_near(Addr(end), bytes, PROT_READ | PROT_WRITE);
        if found != Some(Addr(end)) {
            if let Some(elsewhere) = found {
                os.munmap(elsewhere, bytes);
            }
            self.arenas[a].descriptors += 1;
            return false;
        }
        advise_huge(os, self.params.thp, end, bytes.0);
        let behind = self.admit(os, a, end, pages, false);
        self.merge(os, a, id, behind);
        true
    }
}

impl Arena {
    /// Class of the next mapping in the series that holds so many pages.
    fn growth(&self, pages: u64) -> Option<usize> {
        let class = self.next_growth.max(page_class_of(pages));
        (class < super::classes::PAGE_CLASSES - 1).then_some(class)
    }
}
