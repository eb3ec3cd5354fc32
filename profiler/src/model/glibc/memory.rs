//! The words that the allocator keeps in its memory, compressed: 8 bytes for each 16 of a page that holds any.
//!
//! ```text
//! unit     | word 0 (u32)                         | word 1 (u32)                           |   stands for 16 bytes
//! header   | size of the chunk below / 16         | own size / 16 × 2 + "chunk below used" |   at the chunk
//! links    | next                                 | previous                               |   at the chunk + 16
//! groups   | next of another size                 | previous of another size               |   at the chunk + 32, large free chunks
//! ```
//!
//! A link is the number of the unit that holds the links of the other chunk; 0 is none. The heads of an arena's lists are units of a
//! page that stands for no memory. Whatever is written here is touched in the address space as well; reads are not, because the
//! allocator's own reads never meet a page that is absent.

use super::chunk::{HEADER, LARGE, WORD};
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The unit with the links of a chunk, or the head of a list; 0 is none.
pub(super) type Link = u32;

const UNITS: usize = (PAGE / 16) as usize;
/// Regions of 64 MiB have a table of pages each.
const REGION: u32 = 26;
const REGION_PAGES: usize = 1 << (REGION - 12);
const RECENT: usize = 64;

#[derive(Clone, Copy, Default)]
struct Unit(u32, u32);

pub(super) struct Memory {
    units: Vec<Unit>,
    /// Address of each page of `units`; 0 for those that stand for no memory.
    home: Vec<u64>,
    vacant: Vec<u32>,
    /// For each region its pages in `units`, 0 where there is none.
    tables: Vec<Vec<u32>>,
    regions: BTreeMap<u64, u32>,
    recent: [Cell<(u64, u32)>; RECENT],
}

pub(super) fn write(os: &mut dyn Os, at: u64, len: u64) {
    os.touch(Addr(at), Bytes(len), Access::Write);
}

impl Memory {
    pub(super) fn new() -> Memory {
        // Page 0 is never handed out, so that 0 is neither a page nor a link.
        Memory {
            units: vec![Unit::default(); UNITS],
            home: vec![0],
            vacant: Vec::new(),
            tables: Vec::new(),
            regions: BTreeMap::new(),
            recent: [const { Cell::new((u64::MAX, 0)) }; RECENT],
        }
    }

    /// A page of list heads: the link of its first.
    pub(super) fn heads(&mut self) -> Link {
        let first = self.new_page(0) << 8;
        for head in first..first + UNITS as u32 {
            self.units[head as usize] = Unit(head, head);
        }
        first
    }

    /// Size of a chunk.
    pub(super) fn size(&self, chunk: u64) -> u64 {
        u64::from(self.unit(chunk).1 >> 1) << 4
    }

    /// Whether the chunk below is in use (or cached).
    pub(super) fn below_used(&self, chunk: u64) -> bool {
        self.unit(chunk).1 & 1 == 1
    }

    /// Size of the chunk below, if that is free.
    pub(super) fn size_below(&self, chunk: u64) -> u64 {
        u64::from(self.unit(chunk).0) << 4
    }

    /// Writes the size word.
    pub(super) fn set_head(&mut self, os: &mut dyn Os, chunk: u64, size: u64, below_used: bool) {
        write(os, chunk + WORD, WORD);
        self.unit_mut(chunk).1 = ((size >> 4) as u32) << 1 | u32::from(below_used);
    }

    /// Writes the size of a free chunk behind its end.
    pub(super) fn set_foot(&mut self, os: &mut dyn Os, chunk: u64, size: u64) {
        write(os, chunk + size, WORD);
        self.unit_mut(chunk + size).0 = (size >> 4) as u32;
    }

    /// Changes the flag that says whether the chunk below is in use.
    pub(super) fn set_below_used(&mut self, os: &mut dyn Os, chunk: u64, used: bool) {
        write(os, chunk + WORD, WORD);
        let word = &mut self.unit_mut(chunk).1;
        *word = *word & !1 | u32::from(used);
    }

    /// The link of a chunk.
    pub(super) fn link(&mut self, chunk: u64) -> Link {
        self.slot(chunk + HEADER)
    }

    /// The chunk of a link that is no head.
    pub(super) fn chunk(&self, link: Link) -> u64 {
        self.home[(link >> 8) as usize] + u64::from(link & 255) * 16 - HEADER
    }

    /// Size of the chunk of a link that is no head.
    pub(super) fn size_at(&self, link: Link) -> u64 {
        if link & 255 == 0 { self.size(self.chunk(link)) } else { u64::from(self.units[link as usize - 1].1 >> 1) << 4 }
    }

    pub(super) fn next(&self, link: Link) -> Link {
        self.units[link as usize].0
    }

    pub(super) fn previous(&self, link: Link) -> Link {
        self.units[link as usize].1
    }

    pub(super) fn set_next(&mut self, os: &mut dyn Os, link: Link, to: Link) {
        self.touch_links(os, link);
        self.units[link as usize].0 = to;
    }

    pub(super) fn set_previous(&mut self, os: &mut dyn Os, link: Link, to: Link) {
        self.touch_links(os, link);
        self.units[link as usize].1 = to;
    }

    /// Whether a link is the head of a list.
    pub(super) fn is_head(&self, link: Link) -> bool {
        self.home[(link >> 8) as usize] == 0
    }

    /// Next and previous chunk of another size; zeros where this one does not lead its size.
    pub(super) fn groups(&self, link: Link) -> (Link, Link) {
        let Unit(next, previous) = self.unit(self.chunk(link) + 2 * HEADER);
        (next, previous)
    }

    pub(super) fn set_groups(&mut self, os: &mut dyn Os, link: Link, groups: (Link, Link)) {
        let at = self.chunk(link) + 2 * HEADER;
        write(os, at, 2 * WORD);
        *self.unit_mut(at) = Unit(groups.0, groups.1);
    }

    /// A large chunk outside of the large bins leads no size.
    pub(super) fn clear_groups(&mut self, os: &mut dyn Os, link: Link, size: u64) {
        if size >= LARGE {
            self.set_groups(os, link, (0, 0));
        }
    }

    /// Whole pages from `start` to `end` went back to the system.
    pub(super) fn forget(&mut self, start: u64, end: u64) {
        let mut page = start.div_ceil(PAGE);
        while page < end / PAGE {
            let Some(table) = self.table(page >> (REGION - 12)) else {
                page = ((page >> (REGION - 12)) + 1) << (REGION - 12);
                continue;
            };
            let entry = &mut self.tables[table as usize][page as usize % REGION_PAGES];
            if *entry != 0 {
                self.vacant.push(std::mem::take(entry));
            }
            page += 1;
        }
    }

    fn touch_links(&self, os: &mut dyn Os, link: Link) {
        let home = self.home[(link >> 8) as usize];
        if home != 0 {
            write(os, home + u64::from(link & 255) * 16, 2 * WORD);
        }
    }

    fn unit(&self, addr: u64) -> Unit {
        let page = self.table(addr >> REGION).map_or(0, |table| self.tables[table as usize][(addr / PAGE) as usize % REGION_PAGES]);
        if page == 0 { Unit::default() } else { self.units[(page << 8 | unit_in_page(addr)) as usize] }
    }

    fn unit_mut(&mut self, addr: u64) -> &mut Unit {
        let slot = self.slot(addr);
        &mut self.units[slot as usize]
    }

    fn slot(&mut self, addr: u64) -> u32 {
        let table = self.table(addr >> REGION).unwrap_or_else(|| self.new_table(addr >> REGION)) as usize;
        let entry = (addr / PAGE) as usize % REGION_PAGES;
        if self.tables[table][entry] == 0 {
            self.tables[table][entry] = self.new_page(addr & !(PAGE - 1));
        }
        self.tables[table][entry] << 8 | unit_in_page(addr)
    }

    fn table(&self, region: u64) -> Option<u32> {
        let recent = &self.recent[region as usize % RECENT];
        let (number, table) = recent.get();
        if number == region {
            return Some(table);
        }
        let table = *self.regions.get(&region)?;
        recent.set((region, table));
        Some(table)
    }

    fn new_table(&mut self, region: u64) -> u32 {
        self.tables.push(vec![0; REGION_PAGES]);
        let table = self.tables.len() as u32 - 1;
        self.regions.insert(region, table);
        table
    }

    fn new_page(&mut self, home: u64) -> u32 {
        if let Some(page) = self.vacant.pop() {
            let first = (page as usize) << 8;
            self.units[first..first + UNITS].fill(Unit::default());
            self.home[page as usize] = home;
            return page;
        }
        self.units.resize(self.units.len() + UNITS, Unit::default());
        self.home.push(home);
        self.home.len() as u32 - 1
    }
}

fn unit_in_page(addr: u64) -> u32 {
    (addr as u32 / 16) % UNITS as u32
}
