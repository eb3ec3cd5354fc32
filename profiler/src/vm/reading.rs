//! What is resident, if what was touched is this: the pages of an address space in one reading.

use super::pages::{CHUNK, Page, PageStates, Tally, within};
use super::range_map::clip;
use crate::event::{Access, Backing};
use crate::units::{Bytes, Pages};
use std::ops::Range;

/// Pages that a fault in a file maps at most (`fault_around_bytes`, 64 KiB unless an administrator changes it).
const FAULT_AROUND: u64 = 16;

/// What an address space has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Anonymous resident pages.
    pub anon: Pages,
    /// The highest `anon` since it was last asked for.
    pub anon_peak: Pages,
    /// Minor faults, with those of pages that the kernel populated by itself.
    pub minor_faults: u64,
    /// The share of `minor_faults` that no fault event shows: `MAP_POPULATE`, `MADV_POPULATE_*`, `mlock`.
    pub populated: u64,
    /// Anonymous pages that `khugepaged` added; each saves a fault at most.
    pub filled: u64,
    /// Resident anonymous bytes given up by munmap, a shrinking brk or mremap, `MADV_DONTNEED` and `MADV_FREE`.
    pub returned: Bytes,
    /// Touches where nothing is mapped, the protection forbids it, or the kernel provides the page.
    pub strays: u64,
}

/// Pages and counters.
#[derive(Clone, Default)]
pub(super) struct Reading {
    pub(super) pages: PageStates,
    pub(super) counters: Counters,
}

impl Reading {
    /// Makes pages absent that do not count as given back.
    pub(super) fn forget(&mut self, range: Range<u64>) -> Tally {
        let gone = self.pages.clear(range);
        self.counters.anon -= Pages(gone.anon);
        gone
    }

    /// Makes pages absent that go back to the kernel.
    pub(super) fn give_back(&mut self, range: Range<u64>) -> Tally {
        let gone = self.forget(range);
        self.counters.returned += Pages(gone.anon).bytes();
        gone
    }

    /// Pages that the kernel may take when it wants them: they count as given back, and stay.
    pub(super) fn offer(&mut self, range: &Range<u64>) -> Pages {
        let freed = Pages(self.pages.tally(range.clone()).anon);
        self.counters.returned += freed.bytes();
        freed
    }

    /// Carries pages to another place, which must be empty.
    pub(super) fn carry(&mut self, from: Range<u64>, to: u64) {
        let mut moved = Vec::new();
        self.pages.each(from.clone(), |page, state| moved.push((page - from.start + to, state)));
        self.pages.clear(from);
        for (page, state) in moved {
            self.pages.set(page, state);
        }
    }

    /// A page that was resident before anybody looked.
    pub(super) fn hold(&mut self, page: u64) {
        if !self.pages.get(page).is_anon() {
            self.pages.set(page, Page::Anon);
            self.gain(1);
        }
    }

    /// Whether an access to a page changes nothing, whatever backs it.
    pub(super) fn ready(&self, page: u64, access: Access) -> bool {
        match self.pages.get(page) {
            Page::Anon => true,
            Page::Absent | Page::Spare => false,
            Page::Zero | Page::File | Page::AnonShared => access != Access::Write,
        }
    }

    /// Accesses the pages of `piece`, which lie in one mapping; `huge` says in which chunks a first touch gets all 512 pages.
    pub(super) fn touch(&mut self, piece: &Range<u64>, backing: Backing, access: Access, huge: impl Fn(u64) -> bool) {
        for number in piece.start / CHUNK..=(piece.end - 1) / CHUNK {
            let chunk = self.pages.chunk(number);
            if chunk.present == 0 && huge(number) {
                chunk.states.fill(Page::Spare);
                chunk.states[within(number, piece)].fill(Page::Anon);
                chunk.present = CHUNK as u16;
                self.counters.minor_faults += 1;
                self.gain(CHUNK);
                continue;
            }
            let (mut faults, mut gained) = (0, 0);
            for state in &mut chunk.states[within(number, piece)] {
                let next = step(*state, backing, access);
                if next == *state {
                    continue;
                }
                faults += u64::from(*state != Page::Spare);
                gained += u64::from(next == Page::Anon && !state.is_anon());
                chunk.present += u16::from(*state == Page::Absent);
                *state = next;
            }
            self.counters.minor_faults += faults;
            self.gain(gained);
        }
    }

    /// The kernel reads pages of a file, which are in `piece` of a mapping that spans `extent`: a fault maps those around it as well.
    pub(super) fn read_file(&mut self, piece: &Range<u64>, extent: &Range<u64>) {
        for page in piece.clone() {
            if self.pages.get(page) == Page::Absent {
                self.counters.minor_faults += 1;
                self.map_around(page, extent);
            }
        }
    }

    /// Pages of a file around a fault are mapped where the page cache has them, which is not known: where it had not, a fault follows. They begin
    /// with an aligned block of them or with the mapping, and end with it or where a huge page would.
    pub(super) fn map_around(&mut self, page: u64, extent: &Range<u64>) {
        let first = (page - page % FAULT_AROUND).max(extent.start);
        let end = (first + FAULT_AROUND).min((page / CHUNK + 1) * CHUNK);
        for page in clip(&(first..end), extent) {
            if self.pages.get(page) == Page::Absent {
                self.pages.set(page, Page::File);
            }
        }
    }

    /// The small pages of a chunk become a huge one, if something is there and at most so many are not: no fault.
    pub(super) fn collapse(&mut self, number: u64, most_absent: u64) {
        let range = number * CHUNK..(number + 1) * CHUNK;
        let anon = self.pages.tally(range).anon;
        if anon == 0 || CHUNK - anon > most_absent {
            return;
        }
        let chunk = self.pages.chunk(number);
        chunk.states.iter_mut().for_each(|state| *state = if state.is_anon() { Page::Anon } else { Page::Spare });
        chunk.present = CHUNK as u16;
        self.gain(CHUNK - anon);
    }

    fn gain(&mut self, pages: u64) {
        self.counters.anon += Pages(pages);
        self.counters.anon_peak = self.counters.anon_peak.max(self.counters.anon);
    }
}

/// The state after an access; a change of state is a fault, but for a spare page.
fn step(state: Page, backing: Backing, access: Access) -> Page {
    match (backing, access, state) {
        (Backing::Shared | Backing::Special, _, _) => Page::File,
        (_, Access::Write, _) | (_, _, Page::Spare) => Page::Anon,
        (Backing::PrivateFile, _, Page::Absent) => Page::File,
        (_, _, Page::Absent) => Page::Zero,
        (_, _, present) => present,
    }
}
