//! Memory from the system and back to it, for the main arena. (`sysmalloc` and `systrim` in glibc.)

use super::Glibc;
use super::chunk::{HEADER, LIMIT, MINSIZE, align_down, align_up};
use super::rules::{HUGE, Hugetlb};
use crate::event::{Advice, PROT_READ, PROT_WRITE};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Least mapping in place of the break.
const FALLBACK: u64 = 1 << 20;

impl Glibc {
    /// A chunk from memory that the arena does not have yet.
    pub(super) fn grow(&mut self, os: &mut dyn Os, a: usize, need: u64) -> Option<u64> {
        let mappable = need >= self.params.mmap_threshold && self.mapped.count() < self.params.mmap_max;
        if mappable && let Some(chunk) = self.map_chunk(os, need) {
            return Some(chunk);
        }
        if need >= LIMIT {
            return None;
        }
        if self.arenas[a].is_main {
            self.grow_main(os, a, need);
        } else if !self.grow_heap_or_add(os, a, need) && !mappable {
            return self.map_plain_chunk(os, need);
        }
        self.take_from_top(os, a, need)
    }

    fn grow_main(&mut self, os: &mut dyn Os, a: usize, need: u64) -> Option<()> {
        let (old_top, old_size) = (self.arenas[a].top, self.arenas[a].top_size);
        let wanted = need.checked_add(self.params.top_pad)?.checked_add(MINSIZE)?;
        let wanted = if self.arenas[a].contiguous { wanted.checked_sub(old_size)? } else { wanted };
        let size = self.growth(os, wanted)?;
        let Some(start) = self.sbrk(os, size) else { return self.map_top(os, a, wanted, need) };
        if self.base.is_none() {
            self.base = Some(start);
        }
        self.advise_huge(os, start, size);
        if start == old_top + old_size && old_size > 0 {
            self.set_top(os, a, old_top, old_size + size);
            return Some(());
        }
        // Somebody else moved the break, or this is the beginning.
        let aligned = align_up(start, 16);
        self.fenced += aligned - start;
        if self.arenas[a].contiguous && old_size > 0 {
            self.foreign += start - (old_top + old_size);
        }
        let mut end = start + size;
        if self.arenas[a].contiguous {
            let correction = (aligned - start) + old_size;
            let correction = correction + (align_up(end + correction, PAGE) - (end + correction));
            if correction > 0 && self.sbrk(os, correction).is_some() {
                end += correction;
                self.advise_huge(os, start + size, correction);
            }
        } else {
            end = os.program_break().0;
        }
        self.set_top(os, a, aligned, end - aligned);
        self.fence(os, a, old_top, old_size);
        Some(())
    }

    /// How far the break moves for so many more bytes.
    fn growth(&self, os: &dyn Os, wanted: u64) -> Option<u64> {
        if self.thp_advised {
            // Before it has asked for the break libc takes it to be 0.
            let end = if self.knows_break { os.program_break().0 } else { 0 };
            return Some(end.checked_add(wanted)?.checked_next_multiple_of(HUGE)? - end);
        }
        wanted.checked_next_multiple_of(PAGE)
    }

    /// Moves the break up; answers with where it was.
    fn sbrk(&mut self, os: &mut dyn Os, size: u64) -> Option<u64> {
        if self.params.hugetlb == Hugetlb::Pool {
            return None;
        }
        let start = self.current_break(os);
        let end = start.checked_add(size)?;
        if os.brk(Addr(end)).0 != end {
            return None;
        }
        self.break_end = end;
        Some(start)
    }

    /// The break cannot move: a mapping becomes the top.
    fn map_top(&mut self, os: &mut dyn Os, a: usize, wanted: u64, need: u64) -> Option<()> {
        let (old_top, old_size) = (self.arenas[a].top, self.arenas[a].top_size);
        let pooled = self.params.hugetlb == Hugetlb::Pool;
        let extra = if self.arenas[a].contiguous { old_size } else { 0 };
        if pooled {
            // Rounded to huge pages only as long as the arena is contiguous, which means: once.
            let unit = if self.arenas[a].contiguous { HUGE } else { PAGE };
            os.mmap_huge(Bytes(align_up(align_up(wanted, PAGE) + extra, unit).max(HUGE)));
        }
        let size = if self.version.swaps_fallback_sizes() {
            let size = align_up(wanted, PAGE);
            if self.arenas[a].contiguous { align_up(size + old_size, FALLBACK) } else { size }
        } else {
            align_up(align_up(wanted, PAGE) + extra, PAGE).max(FALLBACK)
        };
        if size <= need {
            return None;
        }
        let start = os.mmap(Bytes(size), PROT_READ | PROT_WRITE)?.0;
        self.mapped_for_top += size;
        self.advise_huge(os, start, size);
        self.arenas[a].contiguous = false;
        self.set_top(os, a, start, size);
        self.fence(os, a, old_top, old_size);
        Some(())
    }

    /// Closes an old top with two chunks of 16 bytes that are never free, and frees what is below them.
    fn fence(&mut self, os: &mut dyn Os, a: usize, old_top: u64, old_size: u64) {
        if old_size == 0 {
            return;
        }
        let keep = align_down(old_size - 2 * HEADER, 16);
        self.fenced += if keep < MINSIZE { old_size } else { old_size - keep };
        self.memory.set_head(os, old_top, keep, true);
        self.memory.set_head(os, old_top + keep, HEADER, true);
        self.memory.set_head(os, old_top + keep + HEADER, HEADER, true);
        if keep >= MINSIZE {
            let thread = self.caching_thread();
            self.core_free(os, a, thread, old_top);
        }
    }

    /// After a free that left a large free chunk.
    pub(super) fn give_back(&mut self, os: &mut dyn Os, a: usize) {
        if !self.arenas[a].is_main {
            self.trim_heaps(os, a);
        } else if self.arenas[a].top_size >= self.params.trim_threshold {
            self.trim_main(os, a, self.params.top_pad);
        }
    }

    /// Moves the break down to leave `pad` bytes in the top; answers whether it moved.
    ///
    /// The real arithmetic is unsigned: a top of the least size seems to be endless, and then the break moves up.
    pub(super) fn trim_main(&mut self, os: &mut dyn Os, a: usize, pad: u64) -> bool {
        let (top, size) = (self.arenas[a].top, self.arenas[a].top_size);
        let spare = size.wrapping_sub(MINSIZE + 1);
        let extra = align_down(spare.wrapping_sub(pad), if self.thp_advised { HUGE } else { PAGE });
        let end = top + size;
        if spare <= pad || extra == 0 || self.params.hugetlb == Hugetlb::Pool || self.current_break(os) != end {
            return false;
        }
        let target = end.wrapping_sub(extra);
        if os.brk(Addr(target)).0 != target {
            return false;
        }
        self.break_end = target;
        if target < end {
            self.memory.forget(target, end);
        }
        self.set_top(os, a, top, size.wrapping_sub(extra));
        true
    }

    /// The break, which libc asks for once and then remembers.
    fn current_break(&mut self, os: &mut dyn Os) -> u64 {
        if std::mem::replace(&mut self.knows_break, true) { os.program_break().0 } else { os.brk(Addr(0)).0 }
    }

    /// With `hugetlb=1`, memory that could hold a huge page is advised to.
    pub(super) fn advise_huge(&self, os: &mut dyn Os, start: u64, size: u64) {
        if self.thp_advised && size >= HUGE {
            let from = align_down(start, PAGE);
            os.madvise(Addr(from), Bytes(size + (start - from)), Advice::HugePage);
        }
    }
}
