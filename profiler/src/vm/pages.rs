//! The state of every page, sparse: one byte per page in chunks of 512 pages (2 MiB), and only where a page was ever present.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pages of a chunk: the pages of a huge page.
pub(super) const CHUNK: u64 = 512;

/// Direct-mapped memory of chunks found last, so that most look-ups skip the index.
const RECENT: usize = 16;

/// What a page is to the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Page {
    /// Not there: the next access faults.
    #[default]
    Absent,
    /// The shared page of zeros, after a read: not counted as resident.
    Zero,
    /// A page of a file or of shared memory.
    File,
    /// Anonymous and resident.
    Anon,
    /// Anonymous and resident, shared with a relative since a fork: the next write faults and copies.
    AnonShared,
    /// Anonymous and resident because the rest of its huge page is: never accessed itself.
    Spare,
}

impl Page {
    /// Whether it counts as anonymous memory.
    pub fn is_anon(self) -> bool {
        matches!(self, Page::Anon | Page::AnonShared | Page::Spare)
    }
}

/// Number of pages by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// [`Page::is_anon`]
    pub anon: u64,
    /// [`Page::File`]
    pub file: u64,
    /// [`Page::Zero`]
    pub zero: u64,
}

/// 512 pages that begin at a multiple of 512.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) states: [Page; CHUNK as usize],
    /// How many of them are not absent.
    pub(super) present: u16,
}

/// The states of all pages of an address space.
#[derive(Clone)]
pub struct PageStates {
    index: BTreeMap<u64, u32>,
    chunks: Vec<Chunk>,
    vacant: Vec<u32>,
    recent: [Cell<(u64, u32)>; RECENT],
}

impl Default for PageStates {
    fn default() -> PageStates {
        PageStates { index: BTreeMap::new(), chunks: Vec::new(), vacant: Vec::new(), recent: [const { Cell::new(NOWHERE) }; RECENT] }
    }
}

const NOWHERE: (u64, u32) = (u64::MAX, 0);

impl PageStates {
    /// State of a page.
    pub fn get(&self, page: u64) -> Page {
        self.find(page / CHUNK).map_or(Page::Absent, |slot| self.chunks[slot].states[(page % CHUNK) as usize])
    }

    /// Changes the state of a page.
    pub fn set(&mut self, page: u64, state: Page) {
        let chunk = self.chunk(page / CHUNK);
        let old = std::mem::replace(&mut chunk.states[(page % CHUNK) as usize], state);
        chunk.present = chunk.present + u16::from(state != Page::Absent) - u16::from(old != Page::Absent);
    }

    /// Makes a range absent; answers with what was there.
    pub fn clear(&mut self, range: Range<u64>) -> Tally {
        let mut tally = Tally::default();
        match one_chunk(&range) {
            Some(number) => self.clear_in(number, &range, &mut tally),
            None => self.chunks_in(&range).into_iter().for_each(|number| self.clear_in(number, &range, &mut tally)),
        }
        tally
    }

    fn clear_in(&mut self, number: u64, range: &Range<u64>, tally: &mut Tally) {
        let Some(slot) = self.find(number) else { return };
        let inside = within(number, range);
        let whole = inside.len() == CHUNK as usize;
        let chunk = &mut self.chunks[slot];
        if chunk.present > 0 {
            for state in &mut chunk.states[inside] {
                let old = std::mem::take(state);
                tally.count(old);
                chunk.present -= u16::from(old != Page::Absent);
            }
        }
        if whole {
            self.forget(number, slot);
        }
    }

    /// What is in a range.
    pub fn tally(&self, range: Range<u64>) -> Tally {
        let mut tally = Tally::default();
        self.each(range, |_, state| tally.count(state));
        tally
    }

    /// Every page of a range that is not absent, ascending.
    pub fn each(&self, range: Range<u64>, mut visit: impl FnMut(u64, Page)) {
        match one_chunk(&range) {
            Some(number) => self.each_in(number, &range, &mut visit),
            None => self.chunks_in(&range).into_iter().for_each(|number| self.each_in(number, &range, &mut visit)),
        }
    }

    fn each_in(&self, number: u64, range: &Range<u64>, visit: &mut impl FnMut(u64, Page)) {
        let Some(chunk) = self.find(number).map(|slot| &self.chunks[slot]).filter(|chunk| chunk.present > 0) else { return };
        for at in within(number, range) {
            if chunk.states[at] != Page::Absent {
                visit(number * CHUNK + at as u64, chunk.states[at]);
            }
        }
    }

    /// Every anonymous page becomes shared with a fork relative.
    pub fn share(&mut self) {
        for &slot in self.index.values() {
            for state in &mut self.chunks[slot as usize].states {
                if state.is_anon() {
                    *state = Page::AnonShared;
                }
            }
        }
    }

    /// The chunk with this number, made where it is missing.
    pub(super) fn chunk(&mut self, number: u64) -> &mut Chunk {
        let slot = self.find(number).unwrap_or_else(|| self.make(number));
        &mut self.chunks[slot]
    }

    fn find(&self, number: u64) -> Option<usize> {
        let recent = &self.recent[number as usize % RECENT];
        if recent.get().0 == number {
            return Some(recent.get().1 as usize);
        }
        let slot = *self.index.get(&number)?;
        recent.set((number, slot));
        Some(slot as usize)
    }

    fn make(&mut self, number: u64) -> usize {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk { states: [Page::Absent; CHUNK as usize], present: 0 });
            self.chunks.len() as u32 - 1
        });
        self.index.insert(number, slot);
        slot as usize
    }

    fn forget(&mut self, number: u64, slot: usize) {
        self.index.remove(&number);
        self.vacant.push(slot as u32);
        self.recent[number as usize % RECENT].set(NOWHERE);
    }

    /// The chunks of a range that exist: a sparse terabyte costs nothing.
    fn chunks_in(&self, range: &Range<u64>) -> Vec<u64> {
        if range.is_empty() {
            return Vec::new();
        }
        self.index.range(range.start / CHUNK..=(range.end - 1) / CHUNK).map(|(&number, _)| number).collect()
    }
}

/// The only chunk that a range has a part in, if it is one.
fn one_chunk(range: &Range<u64>) -> Option<u64> {
    let number = range.start / CHUNK;
    (!range.is_empty() && (range.end - 1) / CHUNK == number).then_some(number)
}

impl Tally {
    fn count(&mut self, state: Page) {
        match state {
            Page::Absent => {}
            Page::Zero => self.zero += 1,
            Page::File => self.file += 1,
            Page::Anon | Page::AnonShared | Page::Spare => self.anon += 1,
        }
    }
}

/// Positions inside the chunk `number` that belong to `range`.
pub(super) fn within(number: u64, range: &Range<u64>) -> Range<usize> {
    let base = number * CHUNK;
    let from = range.start.saturating_sub(base).min(CHUNK);
    let to = range.end.saturating_sub(base).min(CHUNK);
    from as usize..to as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_table(steps in prop::collection::vec((0u64..5000, 1u64..1400, 0u8..4), 1..60)) {
            let mut plain = vec![Page::Absent; 6500];
            let mut states = PageStates::default();
            for (start, len, what) in steps {
                let range = start..start + len;
                let window = &mut plain[start as usize..(start + len) as usize];
                if what == 0 {
                    let expected = window.iter().filter(|state| matches!(state, Page::Anon | Page::AnonShared)).count() as u64;
                    prop_assert_eq!(states.clear(range).anon, expected);
                    window.fill(Page::Absent);
                } else if what == 1 {
                    states.share();
                    plain.iter_mut().filter(|state| **state == Page::Anon).for_each(|state| *state = Page::AnonShared);
                } else {
                    let state = if what == 2 { Page::Anon } else { Page::Zero };
                    range.clone().for_each(|page| states.set(page, state));
                    window.fill(state);
                }
                prop_assert_eq!(states.tally(0..6500).zero, plain.iter().filter(|state| **state == Page::Zero).count() as u64);
            }
            for (page, state) in plain.iter().enumerate() {
                prop_assert_eq!(states.get(page as u64), *state);
            }
        }
    }

    #[test]
    fn a_sparse_terabyte_costs_nothing() {
        let mut states = PageStates::default();
        let terabyte = 1 << 28;
        states.set(terabyte - 1, Page::Anon);
        assert_eq!(states.clear(0..terabyte), Tally { anon: 1, ..Tally::default() });
        assert_eq!((states.chunks.len(), states.index.len()), (1, 0));
    }
}
