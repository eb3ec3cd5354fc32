//! What only a recorded process needs: it has one reading, the truth.

use super::{AddressSpace, Counters, Page, PageStates, Touched, Vma, page_range};
use crate::event::{Access, Backing};
use crate::units::{Addr, Bytes};

/// How far below a stack a touch still makes it grow: the usual limit of a stack, 8 MiB.
const STACK_REACH: u64 = 2048;

impl AddressSpace<1> {
    /// State of the page that holds `addr`.
    pub fn page(&self, addr: Addr) -> Page {
        self.pages().get(addr.page())
    }

    /// States of all pages.
    pub fn pages(&self) -> &PageStates {
        &self.readings[0].pages
    }

    /// Makes the pages of a fresh mapping resident, as `MAP_POPULATE` does: faults that no fault event shows.
    pub fn populate(&mut self, addr: Addr, len: Bytes) {
        self.populate_pages(page_range(addr, len));
    }

    /// Pages that were resident and anonymous before anybody looked: no fault is counted.
    pub fn mark_resident(&mut self, addr: Addr, len: Bytes) {
        let private = |vma: &Vma| !matches!(vma.backing, Backing::Shared | Backing::Special);
        for page in page_range(addr, len) {
            if self.vmas.get(page).is_some_and(|(_, vma)| private(&vma)) {
                self.readings[0].hold(page);
            } else {
                self.readings[0].counters.strays += 1;
            }
        }
    }

    /// The child's memory after [`fork`](Self::fork): the same pages, with faults, returns and strays counted from zero.
    pub fn child(&self) -> AddressSpace {
        let mut child = self.clone();
        let anon = self.counters(0).anon;
        child.readings[0].counters = Counters { anon, anon_peak: anon, ..Counters::default() };
        child.mapped_peak = child.mapped;
        child
    }

    /// A minor fault that is known from elsewhere and changed no state.
    pub fn count_fault(&mut self) {
        self.readings[0].counters.minor_faults += 1;
    }

    /// One access to one byte, as a fault event shows it.
    pub fn touch_at(&mut self, addr: Addr, access: Access) -> Touched {
        if self.readings[0].ready(addr.page(), access) {
            return Touched::Ready;
        }
        self.grow_stack(addr.page());
        let before = *self.counters(0);
        self.touch(addr, Bytes(1), access);
        let gained = self.counters(0).anon - before.anon;
        if access != Access::Write && self.counters(0).minor_faults > before.minor_faults {
            self.fault_around(addr.page());
        }
        match (self.counters(0).minor_faults > before.minor_faults, self.counters(0).strays > before.strays) {
            (true, _) => Touched::Fault { gained },
            (_, true) => Touched::Stray,
            _ => Touched::Ready,
        }
    }

    /// A fault that reads a file maps the pages around it as well.
    fn fault_around(&mut self, page: u64) {
        if let Some((extent, _)) = self.vmas.get(page).filter(|(_, vma)| vma.backing == Backing::PrivateFile) {
            self.readings[0].map_around(page, &extent);
        }
    }

    /// A touch just below a stack extends it down to that page.
    fn grow_stack(&mut self, page: u64) {
        if self.vmas.get(page).is_some() {
            return;
        }
        let Some((above, vma)) = self.vmas.next_from(page) else { return };
        if vma.backing == Backing::Stack && above.start - page <= STACK_REACH {
            let vma = *vma;
            self.add_vma(page..above.start, vma);
        }
    }
}
