//! Which segment an address belongs to.

use std::collections::BTreeMap;

/// Neighbouring segments have different places among the latest answers.
const LATEST: usize = 64;

/// Segments by number: their address divided by their alignment.
pub(super) struct Places {
    known: BTreeMap<u64, u32>,
    latest: [(u64, u32); LATEST],
}

const NOWHERE: (u64, u32) = (u64::MAX, 0);

impl Places {
    pub(super) fn new() -> Places {
        Places { known: BTreeMap::new(), latest: [NOWHERE; LATEST] }
    }

    pub(super) fn insert(&mut self, number: u64, segment: u32) {
        self.known.insert(number, segment);
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.known.remove(&number);
        self.latest[number as usize % LATEST] = NOWHERE;
    }

    /// Without a memory of the answer.
    pub(super) fn find(&self, number: u64) -> Option<u32> {
        self.known.get(&number).copied()
    }

    /// Every segment that has a place.
    pub(super) fn each(&self) -> impl Iterator<Item = u32> {
        self.known.values().copied()
    }

    pub(super) fn get(&mut self, number: u64) -> Option<u32> {
        let latest = &mut self.latest[number as usize % LATEST];
        if latest.0 != number {
            *latest = (number, *self.known.get(&number)?);
        }
        Some(latest.1)
    }
}
