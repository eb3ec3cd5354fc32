//! What is resident, if what was touched is this: the pages of an address space in one reading.

use super::pages::{CHUNK, Page, PageStates, Tally, within};
use crate::event::{Access, Backing};
use crate::units::{Bytes, Pages};
use std::ops::Range;

/// What an address space has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Anonymous resident pages.
    pub anon: Pages,
    /// The highest `anon` since it was last asked for.
    pub anon_peak: Pages,
    /// Minor faults, with those of pages that the kernel populated by itself.
    pub minor_faults: u64,
    /// The share of `minor_faults` that no fault event shows: `MAP_POPULATE`.
    pub populated: u64,
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
