//! The kernel as an allocator model meets it: chooses addresses and counts calls.
//!
//! Its address space has several readings of what the program touched. No allocator looks at residency, so one model serves
//! them all: mappings are identical, resident pages and faults are not.

use super::os::Os;
use super::range_map::RangeMap;
use super::space::{AddressSpace, page_range};
use super::spot::{Area, Spot};
use super::thp::Mode;
use super::{Calls, Syscall};
use crate::event::{Access, Advice, Backing, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, PROT_EXEC, PROT_READ, PROT_WRITE};
use crate::extents::Extents;
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};

/// Where the simulated break area begins, unless it is told where in a huge page.
pub const BREAK_BASE: Addr = Addr(0x5555_5560_0000);
/// Mappings are placed below this address, at the highest place that fits.
pub const MMAP_TOP: Addr = Addr(0x7fff_f7ff_0000);
/// The break area ends here at the latest: 16 TiB after its base.
const BREAK_LIMIT: Addr = Addr(BREAK_BASE.0 + (1 << 44));
/// A huge page, bytes.
pub const HUGE: u64 = 2 << 20;

/// A simulated kernel with one process, seen in `N` readings.
#[derive(Clone)]
pub struct Kernel<const N: usize> {
    space: AddressSpace<N>,
    /// Where the break area begins.
    base: Addr,
    /// Free address space for mappings, in bytes.
    gaps: Extents,
    /// What is left of each mapping, with its number and whether it was made without access. Changes of protection do not split it.
    mappings: RangeMap<(u32, bool)>,
    /// Number of the next mapping: neighbours must stay apart.
    serial: u32,
    /// The parts of the break area that the program itself made, ascending.
    foreign: Vec<(u64, u64)>,
    calls: Calls,
    now: Nanos,
}

impl<const N: usize> Kernel<N> {
    /// With nothing mapped, on a machine with this huge-page setting.
    pub fn new(thp: Mode) -> Kernel<N> {
        let mut gaps = Extents::new();
        gaps.insert(BREAK_LIMIT.0, MMAP_TOP.0);
        let mut space = AddressSpace::new(thp);
        space.set_break(BREAK_BASE);
        Kernel {
            space,
            base: BREAK_BASE,
            gaps,
            mappings: RangeMap::new(),
            serial: 0,
            foreign: Vec::new(),
            calls: Calls::default(),
            now: Nanos(0),
        }
    }

    /// The break begins so far inside a huge page; of no effect once it was moved.
    pub fn begin_break(&mut self, within: Bytes) {
        if self.space.break_area() == Some((self.base, self.base)) {
            self.base = BREAK_BASE.offset(Bytes(within.0 % HUGE));
            self.space.brk = Some((self.base, self.base));
        }
    }

    /// Mappings end so far inside a huge page; of no effect once there is one.
    pub fn begin_mappings(&mut self, within: Bytes) {
        if self.serial == 0 {
            let top = (MMAP_TOP.0 & !(HUGE - 1)) - HUGE + within.0 % HUGE;
            self.gaps.remove(top, MMAP_TOP.0);
        }
    }

    /// Sets the clock that models read.
    pub fn set_now(&mut self, now: Nanos) {
        self.now = now;
    }

    /// The simulated memory.
    pub fn space(&self) -> &AddressSpace<N> {
        &self.space
    }

    /// The simulated memory, for the program to touch.
    pub fn space_mut(&mut self) -> &mut AddressSpace<N> {
        &mut self.space
    }

    /// Calls so far.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Where an address lies in its area; `None` where nothing is mapped.
    pub fn spot(&self, addr: Addr) -> Option<Spot> {
        if (self.base..self.break_end()).contains(&addr) {
            return Some(Spot { area: Area::Heap, offset: addr.since(self.base) });
        }
        let (range, (_, reserve)) = self.mappings.get(addr.page())?;
        let area = if reserve { Area::Reserve } else { Area::Mapping };
        Some(Spot { area, offset: Bytes(addr.0 - range.start * PAGE) })
    }

    /// The program itself moves the break: not counted, because such calls are carried. Downwards no further than what it has at the top: under
    /// another allocator than the recorded one, something else may lie there.
    pub fn sbrk(&mut self, delta: i64) {
        let end = self.break_end().0;
        if delta >= 0 {
            let grown = end.saturating_add(delta.unsigned_abs()).min(BREAK_LIMIT.0);
            match self.foreign.last_mut() {
                Some(last) if last.1 == end => last.1 = grown,
                _ => self.foreign.push((end, grown)),
            }
            return self.space.set_break(Addr(grown));
        }
        if let Some(&(start, _)) = self.foreign.last().filter(|last| last.1 == end) {
            self.set_break(end.saturating_sub(delta.unsigned_abs()).max(start));
        }
    }

    /// The program called `mlockall` with these flags.
    pub fn lock_all(&mut self, flags: u32) {
        if flags & MCL_CURRENT != 0 {
            self.space.lock(Addr(0), Bytes(u64::MAX), flags & MCL_ONFAULT != 0);
        } else if flags & MCL_FUTURE == 0 {
            self.space.unlock_all();
        }
        self.space.lock_new(flags);
    }

    fn set_break(&mut self, end: u64) {
        while let Some(last) = self.foreign.pop_if(|last| last.1 > end) {
            if last.0 < end {
                self.foreign.push((last.0, end));
            }
        }
        self.space.set_break(Addr(end));
    }

    fn break_end(&self) -> Addr {
        self.space.break_area().map_or(self.base, |(_, end)| end)
    }

    /// Maps what was found free.
    fn map(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.serial += 1;
        self.mappings.insert(page_range(addr, len), (self.serial, prot & (PROT_READ | PROT_WRITE | PROT_EXEC) == 0));
        self.space.map_at(addr, len, prot, Backing::Anonymous);
    }

    /// The highest place for `len` bytes. Mappings of whole huge pages are aligned to them, as by kernels since 6.7.
    fn place(&mut self, len: u64) -> Option<Addr> {
        let align = if len.is_multiple_of(HUGE) { HUGE } else { PAGE };
        let fits = |(start, end): (u64, u64)| (end - len) & !(align - 1) >= start;
        let gap = self.gaps.highest_fit(len).filter(|&gap| fits(gap)).or_else(|| self.gaps.highest_fit(len.checked_add(align)?))?;
        let start = (gap.1 - len) & !(align - 1);
        self.gaps.remove(start, start + len);
        Some(Addr(start))
    }
}

impl<const N: usize> Os for Kernel<N> {
    fn brk(&mut self, end: Addr) -> Addr {
        self.calls.add(Syscall::Brk, 1);
        if end >= self.base && end <= BREAK_LIMIT {
            self.set_break(end.0);
        }
        self.break_end()
    }

    fn program_break(&self) -> Addr {
        self.break_end()
    }

    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        self.calls.add(Syscall::Mmap, 1);
        if len.0 == 0 {
            return None;
        }
        let len = len.page_up();
        let addr = self.place(len.0)?;
        self.map(addr, len, prot);
        Some(addr)
    }

    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        let end = hint.0.checked_add(len.page_up().0)?;
        if !hint.0.is_multiple_of(PAGE) || self.gaps.containing(hint.0).is_none_or(|gap| gap.1 < end) {
            return self.mmap(len, prot);
        }
        self.calls.add(Syscall::Mmap, 1);
        self.gaps.remove(hint.0, end);
        self.map(hint, len.page_up(), prot);
        Some(hint)
    }

    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.calls.add(Syscall::Mmap, 1);
        let len = len.page_up();
        self.gaps.remove(addr.0, addr.0 + len.0);
        self.map(addr, len, prot);
    }

    // No page is set aside for `hugetlbfs` unless an administrator does so.
    fn mmap_huge(&mut self, _len: Bytes) -> Option<Addr> {
        self.calls.add(Syscall::Mmap, 1);
        None
    }

    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.calls.add(Syscall::Munmap, 1);
        let len = len.page_up();
        self.space.unmap(addr, len);
        // Freed twice or in part, the gap must still be inserted once.
        if Pages(self.mappings.remove(page_range(addr, len))).bytes() < len {
            self.gaps.remove(addr.0, addr.0 + len.0);
        }
        self.gaps.insert(addr.0, addr.0 + len.0);
    }

    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        self.calls.add(Syscall::Mremap, 1);
        let (len, new_len) = (len.page_up(), new_len.page_up());
        let (old_end, new_end) = (addr.0 + len.0, addr.0.checked_add(new_len.0)?);
        let room = self.gaps.containing(old_end).is_some_and(|gap| gap.1 >= new_end);
        let target = if new_len <= len || room {
            self.gaps.remove(old_end, new_end.max(old_end));
            self.gaps.insert(new_end.min(old_end), old_end);
            addr
        } else {
            let target = self.place(new_len.0)?;
            self.gaps.insert(addr.0, old_end);
            target
        };
        self.space.remap(addr, len, target, new_len);
        let reserve = self.mappings.get(addr.page()).is_some_and(|(_, (_, reserve))| reserve);
        self.serial += 1;
        self.mappings.remove(page_range(addr, len));
        self.mappings.insert(page_range(target, new_len), (self.serial, reserve));
        Some(target)
    }

    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.calls.add(Syscall::Madvise, 1);
        self.space.advise(addr, len, advice);
    }

    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.calls.add(Syscall::Mprotect, 1);
        self.space.protect(addr, len, prot);
    }

    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.space.touch(addr, len, access);
    }

    fn huge_pages(&self) -> Mode {
        self.space.huge_pages()
    }

    fn now(&self) -> Nanos {
        self.now
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
