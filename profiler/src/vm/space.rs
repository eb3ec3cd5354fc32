//! One address space: mappings, the break, the state of every page. All addresses are given; choosing them is [`super::Kernel`]'s job.
//!
//! An `AddressSpace<N>` keeps its pages in `N` readings that differ only in what was touched: mappings are the same in all of them.

use super::hot::Hot;
use super::pages::{CHUNK, Page, PageStates, Tally};
use super::range_map::{RangeMap, clip};
use super::reading::{Counters, Reading};
use super::thp::{self, Mode};
use crate::event::{Access, Advice, Backing, PROT_EXEC, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE, Pages};
use std::ops::Range;

#[path = "by_itself.rs"]
mod by_itself;
#[path = "recorded.rs"]
mod recorded;

/// A mapping, as far as residency depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vma {
    /// What backs it.
    pub backing: Backing,
    /// `PROT_*` bits.
    pub prot: u8,
    /// `MADV_HUGEPAGE` (true) or `MADV_NOHUGEPAGE` (false) was given.
    pub huge: Option<bool>,
    /// What is added to it is made resident at once (`mlock`, `MAP_LOCKED`).
    pub locked: bool,
}

/// What a touch of one page did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The page was ready.
    Ready,
    /// A minor fault.
    Fault {
        /// Anonymous pages that became resident by it.
        gained: Pages,
    },
    /// Nothing that could be touched.
    Stray,
}

/// The memory of one process, in `N` readings.
#[derive(Clone)]
pub struct AddressSpace<const N: usize = 1> {
    vmas: RangeMap<Vma>,
    /// Start and end of the break area in bytes, once known.
    pub(super) brk: Option<(Addr, Addr)>,
    thp: Mode,
    /// Whether what is mapped is locked (`MCL_FUTURE`).
    locks_new: bool,
    mapped: Bytes,
    mapped_peak: Bytes,
    readings: [Reading; N],
    hot: Hot,
}

/// The whole pages that `len` bytes from `addr` on have a part in.
pub fn page_range(addr: Addr, len: Bytes) -> Range<u64> {
    if len.0 == 0 {
        return addr.page()..addr.page();
    }
    addr.page()..addr.0.saturating_add(len.0 - 1) / PAGE + 1
}

impl<const N: usize> AddressSpace<N> {
    /// Empty, on a machine with this huge-page setting.
    pub fn new(thp: Mode) -> AddressSpace<N> {
        let readings = std::array::from_fn(|_| Reading::default());
        AddressSpace {
            vmas: RangeMap::new(),
            brk: None,
            thp,
            locks_new: false,
            mapped: Bytes(0),
            mapped_peak: Bytes(0),
            readings,
            hot: Hot::new(),
        }
    }

    /// The machine's huge-page setting.
    pub fn huge_pages(&self) -> Mode {
        self.thp
    }

    /// What was counted in a reading.
    pub fn counters(&self, reading: usize) -> &Counters {
        &self.readings[reading].counters
    }

    /// Highest anonymous pages of a reading since the last question; the next high-water mark starts from what is now.
    pub fn take_anon_peak(&mut self, reading: usize) -> Pages {
        let counters = &mut self.readings[reading].counters;
        std::mem::replace(&mut counters.anon_peak, counters.anon)
    }

    /// All mappings and the break area.
    pub fn mapped(&self) -> Bytes {
        self.mapped
    }

    /// The highest [`mapped`](Self::mapped) ever.
    pub fn mapped_peak(&self) -> Bytes {
        self.mapped_peak
    }

    /// All mappings and the break area, by page.
    pub fn mappings(&self) -> &RangeMap<Vma> {
        &self.vmas
    }

    /// The states of all pages in a reading.
    pub fn pages_in(&self, reading: usize) -> &PageStates {
        &self.readings[reading].pages
    }

    /// The mapping that holds `addr`.
    pub fn vma(&self, addr: Addr) -> Option<Vma> {
        self.vmas.get(addr.page()).map(|(_, vma)| vma)
    }

    /// Whether every page of the bytes is mapped.
    pub fn is_mapped(&self, addr: Addr, len: Bytes) -> bool {
        self.vmas.gaps(page_range(addr, len)).next().is_none()
    }

    /// Maps, over whatever was there; what was resident there goes, but does not count as given back.
    pub fn map_at(&mut self, addr: Addr, len: Bytes, prot: u8, backing: Backing) {
        let range = page_range(addr, len);
        // Only what is mapped can be resident.
        if self.add_vma(range.clone(), Vma { backing, prot, huge: None, locked: self.locks_new }) > 0 {
            self.hot.forget(&range);
            self.readings.iter_mut().for_each(|reading| _ = reading.forget(range.clone()));
        }
        if self.locks_new {
            self.populate_pages(range);
        }
        if backing == Backing::Break {
            self.brk = Some((addr, addr.offset(len)));
        }
    }

    /// Start and end of the break area, once known.
    pub fn break_area(&self) -> Option<(Addr, Addr)> {
        self.brk
    }

    /// The break is now `end`. The first one seen is where the area starts.
    pub fn set_break(&mut self, end: Addr) {
        let (start, old) = self.brk.unwrap_or((end, end));
        let (old_page, new_page) = (old.page_up().page(), end.page_up().page());
        if new_page > old_page {
            let (prot, locked) = (PROT_READ | PROT_WRITE, self.locks_new);
            self.add_vma(old_page..new_page, Vma { backing: Backing::Break, prot, huge: None, locked });
            if locked {
                self.populate_pages(old_page..new_page);
            }
        } else {
            self.unmap_pages(new_page..old_page);
        }
        self.brk = Some((start.min(end), end));
    }

    /// Unmaps; answers with the pages that went, in the first reading.
    pub fn unmap(&mut self, addr: Addr, len: Bytes) -> Tally {
        self.unmap_pages(page_range(addr, len))
    }

    /// `mremap` that succeeded: resizes in place or moves, states and all.
    pub fn remap(&mut self, addr: Addr, len: Bytes, new_addr: Addr, new_len: Bytes) {
        let (old, new) = (page_range(addr, len), page_range(new_addr, new_len));
        let Some(vma) = self.vma(addr) else {
            self.unmap_pages(old);
            return self.map_at(new_addr, new_len, PROT_READ | PROT_WRITE, Backing::Anonymous);
        };
        let (old_pages, new_pages) = (old.end - old.start, new.end - new.start);
        if new_pages < old_pages {
            self.unmap_pages(old.start + new_pages..old.end);
        }
        if old.start == new.start {
            let tail = old.end..new.end.max(old.end);
            self.unmap_pages(tail.clone());
            self.add_vma(tail.clone(), vma);
            return self.populate_where_locked(tail);
        }
        self.unmap_pages(new.clone());
        let kept = old.start..old.start + old_pages.min(new_pages);
        self.hot.forget(&kept);
        self.readings.iter_mut().for_each(|reading| reading.carry(kept.clone(), new.start));
        self.drop_vmas(kept);
        self.add_vma(new.clone(), vma);
        self.populate_where_locked(new);
    }

    /// `madvise` that succeeded; answers with the resident anonymous pages given back, in the first reading.
    ///
    /// Pages offered by `MADV_FREE` stay until the kernel runs short of memory. Of several readings the first, which is the lowest, takes them as gone.
    pub fn advise(&mut self, addr: Addr, len: Bytes, advice: Advice) -> Pages {
        let range = page_range(addr, len);
        match advice {
            Advice::DontNeed => Pages(self.give_back(&range).anon),
            Advice::Free => {
                self.hot.forget(&range);
                let freed = self.readings.each_mut().map(|reading| reading.offer(&range));
                if N > 1 {
                    self.readings[0].forget(range);
                }
                freed[0]
            }
            Advice::HugePage | Advice::NoHugePage => {
                let huge = Some(advice == Advice::HugePage);
                self.vmas.update(range, |vma| Vma { huge, ..*vma });
                Pages(0)
            }
            Advice::PopulateRead => self.populate_as(range, Access::Read),
            Advice::PopulateWrite => self.populate_as(range, Access::Write),
            Advice::Collapse => self.collapse(range),
            Advice::Other(_) => Pages(0),
        }
    }

    /// `mprotect` that succeeded.
    pub fn protect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        let range = page_range(addr, len);
        self.hot.forget(&range);
        let opened = |vma: &Vma| vma.locked && vma.prot & PROT_WRITE == 0 && prot & PROT_WRITE != 0;
        let opened: Vec<Range<u64>> =
            self.vmas.overlaps(range.clone()).filter(|(_, vma)| opened(vma)).map(|(extent, _)| clip(&extent, &range)).collect();
        self.vmas.update(range, |vma| Vma { prot, ..*vma });
        opened.into_iter().for_each(|piece| self.populate_pages(piece));
    }

    /// The process forked: both sides' anonymous pages are shared until written.
    pub fn fork(&mut self) {
        self.hot.forget_all();
        self.readings.iter_mut().for_each(|reading| reading.pages.share());
    }

    /// Accesses every page of a byte range, in all readings.
    pub fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        if self.hot.holds(addr, len) {
            return;
        }
        self.touch_among(0..N, addr, len, access);
        if self.readings.iter().all(|reading| reading.ready(addr.page(), Access::Write)) {
            self.hot.add(addr.page());
        }
    }

    /// Accesses every page of a byte range, in one reading.
    pub fn touch_in(&mut self, reading: usize, addr: Addr, len: Bytes, access: Access) {
        if self.hot.holds(addr, len) {
            return;
        }
        let range = page_range(addr, len);
        if range.end - range.start == 1 && self.readings[reading].ready(range.start, access) {
            return;
        }
        self.touch_among(reading..reading + 1, addr, len, access);
    }

    fn touch_among(&mut self, chosen: Range<usize>, addr: Addr, len: Bytes, access: Access) {
        let (range, readings) = (page_range(addr, len), &mut self.readings[chosen]);
        // Nearly always it lies in one mapping, and one look is cheaper than a walk.
        if let Some((extent, vma)) = self.vmas.get(range.start).filter(|(extent, _)| range.end <= extent.end) {
            let touches = vma.allows(access) && !range.is_empty();
            for reading in readings {
                if touches {
                    reading.touch(&range, vma.backing, access, |number| self.thp.covers(&vma, &extent, number));
                } else {
                    reading.counters.strays += range.end - range.start;
                }
            }
            return;
        }
        let mut allowed = 0;
        for (extent, vma) in self.vmas.overlaps(range.clone()).filter(|(_, vma)| vma.allows(access)) {
            let piece = clip(&extent, &range);
            allowed += piece.end - piece.start;
            for reading in &mut *readings {
                reading.touch(&piece, vma.backing, access, |number| self.thp.covers(vma, &extent, number));
            }
        }
        readings.iter_mut().for_each(|reading| reading.counters.strays += range.end - range.start - allowed);
    }

    /// Answers with the pages that were mapped there before.
    fn add_vma(&mut self, range: Range<u64>, vma: Vma) -> u64 {
        let pages = range.end - range.start;
        let replaced = self.vmas.insert(range, vma);
        self.mapped += Pages(pages - replaced).bytes();
        self.mapped_peak = self.mapped_peak.max(self.mapped);
        replaced
    }

    fn unmap_pages(&mut self, range: Range<u64>) -> Tally {
        let gone = self.give_back(&range);
        self.drop_vmas(range);
        gone
    }

    /// Gives back in all readings; answers for the first.
    fn give_back(&mut self, range: &Range<u64>) -> Tally {
        self.hot.forget(range);
        self.readings.each_mut().map(|reading| reading.give_back(range.clone()))[0]
    }

    fn drop_vmas(&mut self, range: Range<u64>) {
        self.mapped -= Pages(self.vmas.remove(range)).bytes();
    }
}

impl Vma {
    /// Of what the kernel itself provides only the code (`[vdso]`) is populated, not its data and not the breakpoints' own page.
    fn is_populated(&self) -> bool {
        self.backing != Backing::Special || self.prot & (PROT_READ | PROT_EXEC) == PROT_READ | PROT_EXEC
    }

    fn allows(&self, access: Access) -> bool {
        match access {
            Access::Write => self.prot & PROT_WRITE != 0,
            _ => self.prot != 0,
        }
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
