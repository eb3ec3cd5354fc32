//! Which mapping is whose.

use crate::units::Nanos;
use crate::vm::range_map::clip;
use crate::vm::{RangeMap, Syscall};
use std::ops::Range;

/// Whose a mapping or a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Carried over into every policy.
    Program,
    /// Replaced by every policy.
    Allocator,
}

/// How a region came to be, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Usual,
    /// Mapped without access.
    Reserved,
    /// By the program's own `brk`: the break of every policy moves alike, so that its size need not be carried.
    BySbrk,
}

/// One mapping call's outcome, or what is left of it.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) owner: Owner,
    pub(super) born: Nanos,
    pub(super) made: Made,
    /// Pages still mapped; at 0 the number is used again.
    pages: u64,
    /// Everything it ever spanned lies in here.
    pub(super) hull: Range<u64>,
    /// What was carried for it, to be taken back should it turn out to be the allocator's.
    pub(super) faults: i64,
    pub(super) calls: (Syscall, i64),
}

impl Region {
    /// The outcome of a call that is counted in `calls`.
    pub(super) fn new(owner: Owner, born: Nanos, made: Made, calls: (Syscall, i64)) -> Region {
        Region { owner, born, made, pages: 0, hull: 0..0, faults: 0, calls }
    }

    /// Whether the program made it by its own `brk`.
    pub(super) fn is_by_sbrk(&self) -> bool {
        self.owner == Owner::Program && self.made == Made::BySbrk
    }

    /// Whether every policy must add its size.
    fn is_carried(&self) -> bool {
        self.owner == Owner::Program && self.made != Made::BySbrk
    }
}

/// All mapped pages, by the call that mapped them.
#[derive(Clone, Default)]
pub(super) struct Regions {
    map: RangeMap<u32>,
    table: Vec<Region>,
    vacant: Vec<u32>,
    /// Mapped pages of regions whose size is carried.
    own_pages: u64,
}

impl Regions {
    /// The region that holds `page`.
    pub(super) fn at(&self, page: u64) -> Option<u32> {
        self.map.get(page).map(|(_, id)| id)
    }

    /// The same, and where its piece that holds `page` begins.
    pub(super) fn piece_at(&self, page: u64) -> Option<(u64, u32)> {
        self.map.get(page).map(|(range, id)| (range.start, id))
    }

    /// The lowest region above `page`, and where it starts.
    pub(super) fn above(&self, page: u64) -> Option<(u64, u32)> {
        self.map.next_from(page).map(|(range, &id)| (range.start, id))
    }

    /// The parts of regions in `range`.
    pub(super) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, u32)> {
        self.map.overlaps(range.clone()).map(move |(whole, &id)| (clip(&whole, &range), id))
    }

    pub(super) fn get(&self, id: u32) -> &Region {
        &self.table[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Region {
        &mut self.table[id as usize]
    }

    pub(super) fn own_pages(&self) -> u64 {
        self.own_pages
    }

    /// Nothing has been carried for any region, nor has any policy's break moved for it.
    pub(super) fn forget_carried(&mut self) {
        for region in &mut self.table {
            (region.faults, region.calls.1) = (0, 0);
            if region.made == Made::BySbrk {
                region.made = Made::Usual;
                self.own_pages += if region.is_carried() { region.pages } else { 0 };
            }
        }
    }

    /// It is the allocator's after all.
    pub(super) fn give_to_allocator(&mut self, id: u32) {
        let region = &mut self.table[id as usize];
        self.own_pages -= if region.is_carried() { region.pages } else { 0 };
        region.owner = Owner::Allocator;
    }

    /// A new region, over whatever was there.
    pub(super) fn claim(&mut self, range: Range<u64>, region: Region) {
        let region = Region { hull: range.clone(), ..region };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.table[id as usize] = region;
                id
            }
            None => {
                self.table.push(region);
                self.table.len() as u32 - 1
            }
        };
        self.extend(id, range);
    }

    /// The region also spans `range`, over whatever was there.
    pub(super) fn extend(&mut self, id: u32, range: Range<u64>) {
        self.release(range.clone());
        let region = &mut self.table[id as usize];
        region.pages += range.end - range.start;
        region.hull = region.hull.start.min(range.start)..region.hull.end.max(range.end);
        if region.is_carried() {
            self.own_pages += range.end - range.start;
        }
        self.map.insert(range, id);
    }

    /// Nothing is mapped there any more.
    pub(super) fn release(&mut self, range: Range<u64>) {
        for (whole, &id) in self.map.overlaps(range.clone()) {
            let piece = clip(&whole, &range);
            let region = &mut self.table[id as usize];
            region.pages -= piece.end - piece.start;
            if region.is_carried() {
                self.own_pages -= piece.end - piece.start;
            }
            if region.pages == 0 {
                self.vacant.push(id);
            }
        }
        self.map.remove(range);
    }
}
