//! Which mapping a page belongs to.

use super::classes::UNIT;
use super::group::{Group, Id, NOBODY};
use crate::units::PAGE;
use std::collections::BTreeMap;

/// Pages in a table.
const TABLE: u64 = 512;
/// Neighbouring tables have different places among the latest answers.
const LATEST: usize = 256;
const NOWHERE: (u64, usize) = (u64::MAX, 0);

/// The group of each page that can hold the in-band bytes of a block.
pub(super) struct Places {
    index: BTreeMap<u64, usize>,
    latest: [(u64, usize); LATEST],
    /// One table after the other.
    entries: Vec<Id>,
}

impl Places {
    pub(super) fn new() -> Places {
        Places { index: BTreeMap::new(), latest: [NOWHERE; LATEST], entries: Vec::new() }
    }

    pub(super) fn get(&mut self, page: u64) -> Id {
        self.table(page / TABLE).map_or(NOBODY, |table| self.entries[table + (page % TABLE) as usize])
    }

    /// Without a memory of the answer.
    pub(super) fn find(&self, page: u64) -> Id {
        self.index.get(&(page / TABLE)).map_or(NOBODY, |table| self.entries[table + (page % TABLE) as usize])
    }

    pub(super) fn set(&mut self, page: u64, id: Id) {
        let table = self.table(page / TABLE).unwrap_or_else(|| {
            let table = self.entries.len();
            self.entries.resize(table + TABLE as usize, NOBODY);
            self.index.insert(page / TABLE, table);
            table
        });
        self.entries[table + (page % TABLE) as usize] = id;
    }

    /// The pages of a group's mapping that may be asked for: all where there are several slots, else the first one and that of a block that was moved.
    pub(super) fn set_all(&mut self, group: &Group, id: Id) {
        let first = group.base / PAGE;
        let pages = if group.slots > 1 { group.pages } else { 1 };
        (first..first + pages).for_each(|page| self.set(page, id));
        if group.moved > 0 {
            self.set(group.moved, id);
        }
    }

    /// A block was moved up in its slot.
    pub(super) fn set_moved(&mut self, group: &mut Group, id: Id, addr: u64) {
        let page = (addr - UNIT) / PAGE;
        if group.slots == 1 && page != group.base / PAGE {
            group.moved = page;
            self.set(page, id);
        }
    }

    fn table(&mut self, number: u64) -> Option<usize> {
        let latest = &mut self.latest[number as usize % LATEST];
        if latest.0 != number {
            *latest = (number, *self.index.get(&number)?);
        }
        Some(latest.1)
    }
}
