//! Memory from the system: the break first, mappings where it cannot move. (Fact sheet, sections 4 and 7; `system-alloc` in the source.)

use crate::event::{PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

#[derive(Default)]
pub(super) struct System {
    /// Never move the break.
    pub(super) skip_break: bool,
    /// Never map.
    pub(super) skip_mappings: bool,
    /// The break refused once: it is not asked again before mappings have failed, too.
    break_failed: bool,
    knows_break: bool,
    /// Bytes handed out.
    pub(super) taken: u64,
    /// Bytes lost to alignment.
    pub(super) lost: u64,
}

impl System {
    /// Start and length of at least `len` bytes.
    pub(super) fn allocate(&mut self, os: &mut dyn Os, len: u64, align: u64) -> Option<(u64, u64)> {
        if !self.break_failed {
            if let Some(found) = self.move_break(os, len, align) {
                return Some(found);
            }
            self.break_failed = true;
        }
        let found = self.map(os, len, align);
        self.break_failed = found.is_some();
        found
    }

    fn move_break(&mut self, os: &mut dyn Os, len: u64, align: u64) -> Option<(u64, u64)> {
        let len = len.checked_next_multiple_of(align).filter(|&len| !self.skip_break && i64::try_from(len + align).is_ok())?;
        let start = self.sbrk(os, len)?;
        let aligned = start.next_multiple_of(align);
        self.taken += len;
        if aligned == start {
            return Some((start, len));
        }
        // A little more makes it whole where nobody else moved the break in between, which nobody can here.
        self.sbrk(os, aligned - start)?;
        self.lost += aligned - start;
        Some((aligned, len))
    }

    /// libc's: its first call asks for the break.
    fn sbrk(&mut self, os: &mut dyn Os, len: u64) -> Option<u64> {
        if !std::mem::replace(&mut self.knows_break, true) {
            os.brk(Addr(0));
        }
        let start = os.program_break().0;
        let end = start.checked_add(len)?;
        (os.brk(Addr(end)) == Addr(end)).then_some(start)
    }

    fn map(&mut self, os: &mut dyn Os, len: u64, align: u64) -> Option<(u64, u64)> {
        let align = align.max(PAGE);
        let len = len.checked_next_multiple_of(align).filter(|_| !self.skip_mappings)?;
        let extra = align - PAGE;
        let start = os.mmap(Bytes(len.checked_add(extra)?), PROT_READ | PROT_WRITE)?.0;
        let aligned = start.next_multiple_of(align);
        if aligned > start {
            os.munmap(Addr(start), Bytes(aligned - start));
        }
        if aligned - start < extra {
            os.munmap(Addr(aligned + len), Bytes(extra - (aligned - start)));
        }
        self.taken += len;
        Some((aligned, len))
    }
}
