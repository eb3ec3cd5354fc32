//! The address space in a few thousand cells, at a few moments.

use super::thinned::{Moment, Thinned};
use super::walk::View;
use crate::units::{Addr, Bytes, Nanos, PAGE};
use std::collections::BTreeSet;

/// Moments kept, beside the last.
const MOMENTS: usize = 23;
/// Cells of a map.
pub const CELLS: usize = 4000;
/// Cells without a resident page that do not yet interrupt an area.
const BRIDGED: u64 = 16;

/// What a cell holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// No page is resident.
    #[default]
    Absent,
    /// Resident, and no live block is there.
    Free,
    /// Live blocks have less than half of what is resident.
    Partly,
    /// Live blocks have half of it or more.
    Live,
}

/// Cells that follow each other in the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Where the first begins.
    pub start: Addr,
    /// How many.
    pub cells: usize,
    /// It belongs to the program break.
    pub heap: bool,
}

/// The address space over time. Areas are the same at every moment, so that a place stays where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    /// Pages of a cell.
    pub cell_pages: u64,
    /// Ascending.
    pub areas: Vec<Area>,
    /// The cells of all areas, in time order.
    pub moments: Vec<Moment<Vec<Cell>>>,
}

/// The resident part of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Its number: the address divided by the size.
    number: u64,
    pages: u64,
    /// Bytes of live blocks, with headers and rounding.
    live: u64,
}

/// A map in the making.
pub(super) struct Mapper {
    /// Base-2 logarithm of the pages of a tile.
    shift: u32,
    moments: Thinned<Vec<Tile>>,
}

impl Mapper {
    pub(super) fn new() -> Mapper {
        Mapper { shift: 0, moments: Thinned::new(MOMENTS) }
    }

    pub(super) fn is_due(&self, time: Nanos, rss: Bytes) -> bool {
        self.moments.is_due(time, rss)
    }

    pub(super) fn sheet(&self) -> Sheet {
        Sheet { shift: self.shift, tiles: Vec::new() }
    }

    pub(super) fn put(&mut self, time: Nanos, rss: Bytes, sheet: Sheet) {
        let sheet = sheet.coarser(self.shift);
        while self.shift < sheet.shift {
            self.shift += 1;
            self.moments.moments_mut().iter_mut().for_each(|moment| coarsen(&mut moment.seen));
        }
        self.moments.put(Moment { time, rss, seen: sheet.tiles });
    }

    /// The map with a last moment; `heap` is where the break area begins.
    pub(super) fn finish(mut self, time: Nanos, rss: Bytes, last: Sheet, heap: Addr) -> AddressMap {
        let last = last.coarser(self.shift);
        let shift = last.shift;
        let mut moments = std::mem::replace(&mut self.moments, Thinned::new(1)).into_moments();
        (self.shift..shift).for_each(|_| moments.iter_mut().for_each(|moment| coarsen(&mut moment.seen)));
        moments.retain(|moment| moment.time < time);
        moments.push(Moment { time, rss, seen: last.tiles });
        layout(moments, shift, heap)
    }
}

/// The tiles of one moment.
pub(super) struct Sheet {
    shift: u32,
    tiles: Vec<Tile>,
}

impl Sheet {
    pub(super) fn take(&mut self, view: &View) {
        let number = view.page >> self.shift;
        match self.tiles.last_mut() {
            Some(tile) if tile.number == number => (tile.pages, tile.live) = (tile.pages + 1, tile.live + view.whole),
            _ => self.tiles.push(Tile { number, pages: 1, live: view.whole }),
        }
        if self.tiles.len() > 2 * CELLS {
            self.shift += 1;
            coarsen(&mut self.tiles);
        }
    }

    /// At least as coarse as that, and few tiles.
    fn coarser(mut self, shift: u32) -> Sheet {
        while self.shift < shift || self.tiles.len() > CELLS {
            self.shift += 1;
            coarsen(&mut self.tiles);
        }
        self
    }
}

/// Two tiles become one.
fn coarsen(tiles: &mut Vec<Tile>) {
    tiles.iter_mut().for_each(|tile| tile.number /= 2);
    tiles.dedup_by(|later, kept| {
        let same = later.number == kept.number;
        if same {
            (kept.pages, kept.live) = (kept.pages + later.pages, kept.live + later.live);
        }
        same
    });
}

/// Areas of what was ever resident, coarse enough to be few cells.
fn layout(mut moments: Vec<Moment<Vec<Tile>>>, mut shift: u32, heap: Addr) -> AddressMap {
    let areas = loop {
        let numbers: BTreeSet<u64> = moments.iter().flat_map(|moment| &moment.seen).map(|tile| tile.number).collect();
        let areas = runs(&numbers);
        if areas.iter().map(|(from, to)| to - from).sum::<u64>() <= CELLS as u64 {
            break areas;
        }
        shift += 1;
        moments.iter_mut().for_each(|moment| coarsen(&mut moment.seen));
    };
    // Mappings of a program lie terabytes above its break.
    let near = |start: u64| (heap.0 >> 21 << 21..heap.0 + (1 << 44)).contains(&start);
    let area = |&(from, to): &(u64, u64)| {
        let start = (from << shift) * PAGE;
        Area { start: Addr(start), cells: (to - from) as usize, heap: near(start) }
    };
    let cells = |tiles: Vec<Tile>| {
        let mut tiles = tiles.into_iter().peekable();
        let numbers = areas.iter().flat_map(|&(from, to)| from..to);
        numbers.map(|number| tiles.next_if(|tile| tile.number == number).map_or(Cell::Absent, cell)).collect()
    };
    let seen = |moment: Moment<Vec<Tile>>| Moment { time: moment.time, rss: moment.rss, seen: cells(moment.seen) };
    AddressMap { cell_pages: 1 << shift, areas: areas.iter().map(area).collect(), moments: moments.into_iter().map(seen).collect() }
}

/// Runs of numbers, over short gaps.
fn runs(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some(run) if number <= run.1 + BRIDGED => run.1 = number + 1,
            _ => runs.push((number, number + 1)),
        }
    }
    runs
}

fn cell(tile: Tile) -> Cell {
    match tile.live {
        0 => Cell::Free,
        live if 2 * live < tile.pages * PAGE => Cell::Partly,
        _ => Cell::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(mapper: &Mapper, pages: impl IntoIterator<Item = (u64, u64)>) -> Sheet {
        let mut sheet = mapper.sheet();
        pages.into_iter().for_each(|(page, whole)| sheet.take(&View { page, whole, ..View::default() }));
        sheet
    }

    #[test]
    fn a_place_stays_where_it_is() {
        let mut mapper = Mapper::new();
        let first = sheet(&mapper, [(512, PAGE), (513, 100), (514, 0)]);
        mapper.put(Nanos(1), Bytes(3 * PAGE), first);
        let last = sheet(&mapper, [(513, 0), (1 << 40, PAGE / 2)]);
        let map = mapper.finish(Nanos(2), Bytes(2 * PAGE), last, Addr(512 * PAGE));
        let areas: Vec<_> = map.areas.iter().map(|area| (area.start.page(), area.cells, area.heap)).collect();
        assert_eq!((map.cell_pages, areas), (1, vec![(512, 3, true), (1 << 40, 1, false)]));
        let cells: Vec<_> = map.moments.iter().map(|moment| moment.seen.clone()).collect();
        assert_eq!(cells[0], [Cell::Live, Cell::Partly, Cell::Free, Cell::Absent]);
        assert_eq!(cells[1], [Cell::Absent, Cell::Free, Cell::Absent, Cell::Live]);
    }

    #[test]
    fn a_large_heap_has_coarse_cells() {
        let mut mapper = Mapper::new();
        for time in 0..100 {
            let taken = sheet(&mapper, (0..1000 * time).map(|page| (page, if page % 2 == 0 { PAGE } else { 0 })));
            mapper.put(Nanos(time), Bytes(1000 * time * PAGE), taken);
        }
        let last = sheet(&mapper, (0..1 << 17).map(|page| (page, 1)));
        let map = mapper.finish(Nanos(100), Bytes(PAGE << 17), last, Addr(0));
        assert_eq!((map.cell_pages, map.areas.len(), map.areas[0].cells), (64, 1, 2048));
        assert!(map.moments.len() > MOMENTS / 2 && map.moments.len() <= MOMENTS + 1, "{}", map.moments.len());
        let last = &map.moments.last().unwrap().seen;
        assert!(last.iter().all(|&cell| cell == Cell::Partly));
    }
}
