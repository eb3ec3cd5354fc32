//! Where groups are described: outside of them, in pages from the break.
//!
//! ```text
//! break at the start                 one page more for each 101 groups
//! | guard, no access | page of 101 | page of 101 | …
//! ```
//!
//! Where the break cannot grow (or the program moved it, which musl's own `sbrk` refuses), pages come from mappings of 2, 4, 8, … pages, the
//! first of which is a guard, too.

use crate::event::{Access, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Descriptions in a page.
const FIT: u64 = 101;
/// What a page begins with, bytes.
const CHECK: u64 = 8;
const NO_ACCESS: u8 = 0;

#[derive(Default)]
pub(super) struct Metadata {
    /// Descriptions that are not in use.
    unused: u64,
    /// The break as it was left, 0 before the first use; none once it cannot be used.
    end: Option<u64>,
    started: bool,
    /// Pages of a mapping that are not open yet: from where, how many.
    reserve: (u64, u64),
    /// Start and length of all memory, with the guards.
    chunks: Vec<(u64, u64)>,
    mappings: u32,
}

impl Metadata {
    /// Takes a description; `None` when the system refuses.
    pub(super) fn take(&mut self, os: &mut dyn Os) -> Option<()> {
        if self.unused == 0 {
            let page = self.page(os)?;
            os.touch(Addr(page), Bytes(CHECK), Access::Write);
            self.unused = FIT;
        }
        self.unused -= 1;
        Some(())
    }

    /// Gives one back.
    pub(super) fn give(&mut self) {
        self.unused += 1;
    }

    /// Start and length of all memory, with the guards.
    pub(super) fn chunks(&self) -> &[(u64, u64)] {
        &self.chunks
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.1).sum()
    }

    fn page(&mut self, os: &mut dyn Os) -> Option<u64> {
        if self.reserve.1 == 0 {
            if let Some(page) = self.extend_break(os) {
                return Some(page);
            }
            self.map(os)?;
        }
        let page = self.reserve.0;
        os.mprotect(Addr(page), Bytes(PAGE), PROT_READ | PROT_WRITE);
        self.reserve = (page + PAGE, self.reserve.1 - 1);
        Some(page)
    }

    fn extend_break(&mut self, os: &mut dyn Os) -> Option<u64> {
        if !self.started {
            self.started = true;
            return self.begin(os);
        }
        let old = self.end.take().filter(|&end| os.program_break() == Addr(end))?;
        let new = old + PAGE;
        if os.brk(Addr(new)) != Addr(new) {
            return None;
        }
        self.end = Some(new);
        self.add(old, PAGE);
        Some(old)
    }

    fn begin(&mut self, os: &mut dyn Os) -> Option<u64> {
        let old = os.brk(Addr(0)).page_up().0;
        let new = old + 2 * PAGE;
        if os.brk(Addr(new)) != Addr(new) {
            return None;
        }
        os.mmap_at(Addr(old), Bytes(PAGE), NO_ACCESS);
        self.end = Some(new);
        self.add(old, 2 * PAGE);
        Some(old + PAGE)
    }

    fn map(&mut self, os: &mut dyn Os) -> Option<()> {
        let pages = 2 << self.mappings;
        let start = os.mmap(Bytes(pages * PAGE), NO_ACCESS)?.0;
        self.mappings += 1;
        self.reserve = (start + PAGE, pages - 1);
        self.add(start, pages * PAGE);
        Some(())
    }

    fn add(&mut self, start: u64, len: u64) {
        match self.chunks.last_mut() {
            Some(last) if last.0 + last.1 == start => last.1 += len,
            _ => self.chunks.push((start, len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Kernel;
    use crate::vm::Syscall::{Brk, Mmap, Mprotect};
    use crate::vm::kernel::BREAK_BASE;
    use crate::vm::thp::Mode;

    fn take(metadata: &mut Metadata, kernel: &mut Kernel<1>, count: u64) {
        (0..count).for_each(|_| metadata.take(kernel).expect("memory"));
    }

    #[test]
    fn from_the_break_a_page_at_a_time() {
        let (mut metadata, mut kernel) = (Metadata::default(), Kernel::new(Mode::Never));
        take(&mut metadata, &mut kernel, 2 * FIT);
        metadata.give();
        take(&mut metadata, &mut kernel, 1);
        assert_eq!(metadata.chunks(), [(BREAK_BASE.0, 3 * PAGE)]);
        assert_eq!([Brk, Mmap, Mprotect].map(|call| kernel.calls().of(call)), [3, 1, 0]);
        assert_eq!((kernel.space().mapped(), kernel.space().counters(0).anon.0), (Bytes(3 * PAGE), 2));
    }

    #[test]
    fn from_mappings_where_the_break_is_the_programs() {
        let (mut metadata, mut kernel) = (Metadata::default(), Kernel::new(Mode::Never));
        take(&mut metadata, &mut kernel, 1);
        kernel.sbrk(100);
        take(&mut metadata, &mut kernel, 5 * FIT);
        let pages: Vec<u64> = metadata.chunks()[1..].iter().map(|chunk| chunk.1 / PAGE).collect();
        // One page of two is for use, then three of four, of eight the last one.
        assert_eq!(pages.iter().sum::<u64>(), 2 + 4 + 8);
        assert_eq!([Brk, Mmap, Mprotect].map(|call| kernel.calls().of(call)), [2, 1 + 3, 5]);
        assert_eq!(kernel.space().counters(0).strays, 0);
    }
}
