//! Extents, the runs of pages that everything is made of, and the orders they stand in.
//!
//! An extent is in one heap at most (by age and address: oldest mapping first, then lowest) and in one list (by when it came); both
//! are kept by links in the extents themselves.

/// Number of an extent; 0 is none.
pub(super) type Id = u32;

/// What an extent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// In use: a slab or a large block.
    #[default]
    Active,
    /// Free and maybe resident.
    Dirty,
    /// Free, and offered to the kernel.
    Muzzy,
    /// Free address space without pages.
    Retained,
}

/// Blocks of the slab with the most.
const REGIONS: usize = 512;

/// A run of pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    pub(super) addr: u64,
    pub(super) pages: u64,
    /// Number of its mapping among those of the arena.
    pub(super) serial: u64,
    pub(super) arena: u32,
    /// Free blocks of a slab.
    pub(super) free: u32,
    pub(super) state: State,
    /// It begins a mapping.
    pub(super) head: bool,
    /// All of it is known to be zero.
    pub(super) zeroed: bool,
    pub(super) child: Id,
    pub(super) sibling: Id,
    /// The sibling before, or the parent of a first child.
    pub(super) before: Id,
    pub(super) older: Id,
    pub(super) newer: Id,
    /// A slab's blocks: set where free.
    pub(super) regions: [u64; REGIONS / 64],
}

impl Extent {
    pub(super) fn first_page(&self) -> u64 {
        self.addr / crate::units::PAGE
    }

    pub(super) fn end(&self) -> u64 {
        self.addr + self.bytes()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.pages * crate::units::PAGE
    }

    /// Older mappings come first, then lower addresses.
    fn rank(&self) -> (u64, u64) {
        (self.serial, self.addr)
    }

    /// Becomes a slab of so many free blocks.
    pub(super) fn fill_slab(&mut self, regions: u32) {
        self.free = regions;
        for (word, bits) in self.regions.iter_mut().enumerate() {
            let left = regions.saturating_sub(64 * word as u32);
            *bits = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        }
    }
}

/// All extents of a process.
pub(super) struct Store {
    extents: Vec<Extent>,
    vacant: Vec<Id>,
}

impl std::ops::Index<Id> for Store {
    type Output = Extent;
    fn index(&self, id: Id) -> &Extent {
        &self.extents[id as usize]
    }
}

impl std::ops::IndexMut<Id> for Store {
    fn index_mut(&mut self, id: Id) -> &mut Extent {
        &mut self.extents[id as usize]
    }
}

impl Store {
    pub(super) fn new() -> Store {
        Store { extents: vec![Extent::default()], vacant: Vec::new() }
    }

    pub(super) fn add(&mut self, extent: Extent) -> Id {
        if let Some(id) = self.vacant.pop() {
            self[id] = extent;
            return id;
        }
        self.extents.push(extent);
        self.extents.len() as Id - 1
    }

    pub(super) fn remove(&mut self, id: Id) {
        self.vacant.push(id);
    }

    pub(super) fn is_before(&self, a: Id, b: Id) -> bool {
        self[a].rank() < self[b].rank()
    }

    /// Adds to the heap with this root; answers with the new root.
    pub(super) fn heap_add(&mut self, root: Id, id: Id) -> Id {
        let extent = &mut self[id];
        (extent.child, extent.sibling, extent.before) = (0, 0, 0);
        self.meld(root, id)
    }

    /// Takes out of the heap with this root; answers with the new root.
    pub(super) fn heap_remove(&mut self, root: Id, id: Id) -> Id {
        let rest = self.meld_children(id);
        if id == root {
            return rest;
        }
        let (before, sibling) = (self[id].before, self[id].sibling);
        if self[before].child == id {
            self[before].child = sibling;
        } else {
            self[before].sibling = sibling;
        }
        if sibling != 0 {
            self[sibling].before = before;
        }
        self.meld(root, rest)
    }

    /// Two heaps become one: a pairing heap.
    fn meld(&mut self, a: Id, b: Id) -> Id {
        if a == 0 || b == 0 {
            return a | b;
        }
        let (top, low) = if self.is_before(a, b) { (a, b) } else { (b, a) };
        let first = self[top].child;
        (self[low].sibling, self[low].before) = (first, top);
        if first != 0 {
            self[first].before = low;
        }
        (self[top].child, self[top].sibling, self[top].before) = (low, 0, 0);
        top
    }

    /// The children of an extent as one heap: in pairs first, then from the last to the first.
    fn meld_children(&mut self, id: Id) -> Id {
        let mut next = std::mem::take(&mut self[id].child);
        let mut pairs = 0;
        while next != 0 {
            let a = next;
            let b = self[a].sibling;
            next = if b == 0 { 0 } else { self[b].sibling };
            (self[a].sibling, self[a].before) = (0, 0);
            if b != 0 {
                (self[b].sibling, self[b].before) = (0, 0);
            }
            let pair = self.meld(a, b);
            self[pair].sibling = pairs;
            pairs = pair;
        }
        let mut root = 0;
        while pairs != 0 {
            let pair = pairs;
            pairs = std::mem::take(&mut self[pair].sibling);
            root = self.meld(root, pair);
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_root_is_the_first(steps in prop::collection::vec((any::<bool>(), 0u64..4, 0u64..1000), 1..400)) {
            let mut store = Store::new();
            let mut root = 0;
            let mut plain = std::collections::BTreeMap::new();
            for (add, serial, at) in steps {
                if add {
                    plain.entry((serial, at)).or_insert_with(|| {
                        let id = store.add(Extent { addr: at, serial, ..Extent::default() });
                        root = store.heap_add(root, id);
                        id
                    });
                } else if let Some((key, id)) = plain.range((serial, at)..).next().map(|(key, id)| (*key, *id)) {
                    plain.remove(&key);
                    root = store.heap_remove(root, id);
                    store.remove(id);
                }
                prop_assert_eq!(root, plain.first_key_value().map_or(0, |(_, id)| *id));
            }
        }
    }

    #[test]
    fn a_slab_begins_free() {
        let mut slab = Extent::default();
        for regions in [1, 63, 64, 65, 128, 512] {
            slab.fill_slab(regions);
            assert_eq!(slab.regions.iter().map(|bits| bits.count_ones()).sum::<u32>(), regions);
        }
    }
}
