//! Which extent a page belongs to: the first and last page of every extent, and every page of a slab.
//!
//! The real one is a radix tree whose leaves, 2 MiB of 8 bytes for each page of 1 GiB, come from the first arena's metadata. Where it is
//! written, a page of a leaf becomes resident; where it is only read, the page of zeros.

use super::base::Base;
use super::settings::Params;
use super::store::Id;
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;
use std::collections::BTreeMap;

/// Pages of 1 GiB.
const LEAF: u64 = 1 << 18;
const ENTRY: u64 = 8;
const TABLE: u64 = 512;
const CACHELINE: u64 = 64;

/// The pages of 1 GiB.
struct Leaf {
    number: u64,
    /// Where the real one has its entries, if it got any memory.
    at: Option<u64>,
    /// For each 2 MiB the table that holds its pages; 0 where there is none.
    tables: Vec<u32>,
    /// For each page of entries whether it was read (1) or written (2).
    touched: Vec<u8>,
}

/// Pages to extents.
pub(super) struct Map {
    index: BTreeMap<u64, usize>,
    leaves: Vec<Leaf>,
    recent: usize,
    /// Tables of 512 pages, one after the other; the first is nobody's.
    entries: Vec<Id>,
}

impl Map {
    pub(super) fn new() -> Map {
        Map { index: BTreeMap::new(), leaves: Vec::new(), recent: 0, entries: vec![0; TABLE as usize] }
    }

    /// The extent that a page belongs to; 0 is none.
    pub(super) fn get(&self, page: u64) -> Id {
        let number = page / LEAF;
        let leaf = match self.leaves.get(self.recent) {
            Some(leaf) if leaf.number == number => leaf,
            _ => match self.index.get(&number) {
                Some(&leaf) => &self.leaves[leaf],
                None => return 0,
            },
        };
        let table = u64::from(leaf.tables[(page % LEAF / TABLE) as usize]);
        self.entries[(table * TABLE + page % TABLE) as usize]
    }

    /// Looks at a page that may belong to nobody, as the real one does for neighbours.
    pub(super) fn look(&mut self, os: &mut dyn Os, page: u64) -> Id {
        let found = self.get(page);
        if found == 0
            && let Some(&leaf) = self.index.get(&(page / LEAF))
        {
            self.leaves[leaf].touch(os, page, Access::Read);
        }
        found
    }

    /// Writes down whose page it is. New leaves come from the first arena's metadata.
    pub(super) fn set(&mut self, os: &mut dyn Os, base: &mut Base, params: &Params, page: u64, id: Id) {
        let number = page / LEAF;
        if self.leaves.get(self.recent).is_none_or(|leaf| leaf.number != number) {
            self.recent = match self.index.get(&number) {
                Some(&leaf) => leaf,
                None => self.add_leaf(os, base, params, number),
            };
        }
        let leaf = &mut self.leaves[self.recent];
        let table = &mut leaf.tables[(page % LEAF / TABLE) as usize];
        if *table == 0 {
            *table = (self.entries.len() as u64 / TABLE) as u32;
            self.entries.resize(self.entries.len() + TABLE as usize, 0);
        }
        self.entries[(u64::from(*table) * TABLE + page % TABLE) as usize] = id;
        leaf.touch(os, page, Access::Write);
    }

    /// The pages of an extent belong to nobody any more.
    pub(super) fn forget(&mut self, first: u64, pages: u64) {
        for page in first..first + pages {
            if let Some(&leaf) = self.index.get(&(page / LEAF)) {
                let table = u64::from(self.leaves[leaf].tables[(page % LEAF / TABLE) as usize]);
                if table != 0 {
                    self.entries[(table * TABLE + page % TABLE) as usize] = 0;
                }
            }
        }
    }

    fn add_leaf(&mut self, os: &mut dyn Os, base: &mut Base, params: &Params, number: u64) -> usize {
        let at = base.alloc(os, params, LEAF * ENTRY, CACHELINE);
        // A leaf that begins inside of a page has a part in one page more.
        let touched = vec![0; (LEAF * ENTRY / PAGE) as usize + 1];
        self.leaves.push(Leaf { number, at, tables: vec![0; (LEAF / TABLE) as usize], touched });
        self.index.insert(number, self.leaves.len() - 1);
        self.leaves.len() - 1
    }
}

impl Leaf {
    fn touch(&mut self, os: &mut dyn Os, page: u64, access: Access) {
        let Some(at) = self.at else { return };
        let entry = at + page % LEAF * ENTRY;
        let level = if access == Access::Write { 2 } else { 1 };
        let touched = &mut self.touched[(entry / PAGE - at / PAGE) as usize];
        if *touched < level {
            *touched = level;
            os.touch(Addr(entry), Bytes(ENTRY), access);
        }
    }
}
