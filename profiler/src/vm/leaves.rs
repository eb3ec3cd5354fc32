//! Disjoint ranges with a value each, sorted, in leaves: a look-up is two short binary searches, a change moves at most one leaf.
//!
//! ```text
//! firsts   one per leaf: where its first range starts
//! leaves   up to 64 × (start, end, value), sorted, never empty
//! ```
//!
//! For what a program maps and unmaps one by one this is faster than a tree of the same entries: neighbours lie side by side.

/// Few in tests, so that what they do reaches over leaves.
const LEAF: usize = if cfg!(test) { 4 } else { 64 };

/// A range and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<V> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) value: V,
}

/// Where a row lies; of use until rows come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    leaf: usize,
    slot: usize,
}

/// The rows in order.
#[derive(Clone, Debug)]
pub(super) struct Leaves<V> {
    leaves: Vec<Vec<Row<V>>>,
    firsts: Vec<u64>,
}

impl<V: Copy> Leaves<V> {
    pub(super) fn new() -> Leaves<V> {
        Leaves { leaves: Vec::new(), firsts: Vec::new() }
    }

    pub(super) fn row(&self, place: Place) -> Row<V> {
        self.leaves[place.leaf][place.slot]
    }

    /// The last row that starts at or below `at`.
    pub(super) fn at_or_below(&self, at: u64) -> Option<Place> {
        let leaf = self.firsts.partition_point(|&first| first <= at).checked_sub(1)?;
        let slot = self.leaves[leaf].partition_point(|row| row.start <= at) - 1;
        Some(Place { leaf, slot })
    }

    /// The row after a place; the first one after none.
    pub(super) fn following(&self, place: Option<Place>) -> Option<Place> {
        let next = match place {
            None => Place { leaf: 0, slot: 0 },
            Some(Place { leaf, slot }) if slot + 1 < self.leaves[leaf].len() => Place { leaf, slot: slot + 1 },
            Some(Place { leaf, .. }) => Place { leaf: leaf + 1, slot: 0 },
        };
        (next.leaf < self.leaves.len()).then_some(next)
    }

    /// Every row from a place on.
    pub(super) fn from(&self, place: Option<Place>) -> impl Iterator<Item = &Row<V>> {
        let Place { leaf, slot } = place.unwrap_or(Place { leaf: self.leaves.len(), slot: 0 });
        let (head, tail) = self.leaves.get(leaf).map_or((&[][..], leaf), |rows| (&rows[slot..], leaf + 1));
        head.iter().chain(self.leaves[tail..].iter().flatten())
    }

    /// Puts a row behind `below`, where its start belongs.
    pub(super) fn insert(&mut self, below: Option<Place>, row: Row<V>) {
        if self.leaves.is_empty() {
            self.leaves.push(Vec::with_capacity(LEAF));
            self.firsts.push(row.start);
        }
        let (mut leaf, mut slot) = below.map_or((0, 0), |below| (below.leaf, below.slot + 1));
        if self.leaves[leaf].len() == LEAF {
            let upper = self.leaves[leaf].split_off(LEAF / 2);
            self.firsts.insert(leaf + 1, upper[0].start);
            self.leaves.insert(leaf + 1, upper);
            if slot > LEAF / 2 {
                (leaf, slot) = (leaf + 1, slot - LEAF / 2);
            }
        }
        self.leaves[leaf].insert(slot, row);
        self.firsts[leaf] = self.leaves[leaf][0].start;
    }

    /// Puts a row in place of another; the order must stay.
    pub(super) fn replace(&mut self, place: Place, row: Row<V>) {
        self.leaves[place.leaf][place.slot] = row;
        self.firsts[place.leaf] = self.leaves[place.leaf][0].start;
    }

    pub(super) fn delete(&mut self, Place { leaf, slot }: Place) {
        self.leaves[leaf].remove(slot);
        match self.leaves[leaf].first() {
            Some(row) => self.firsts[leaf] = row.start,
            None => {
                self.leaves.remove(leaf);
                self.firsts.remove(leaf);
            }
        }
    }
}
