//! Memory for segments: mapped at addresses that count up from a first one, or taken from what was reserved at the start.
//!
//! The real allocator draws the first address between 2 and 6 TiB. Here it is [`HINTS`], which the simulated kernel leaves free, so
//! that addresses relative to the first segment are the real ones.

use super::rules::{GIB, MIB, Params, SEGMENT, good};
use super::segment::ACCESS;
use crate::event::Advice;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// The first address asked for.
const HINTS: u64 = 0x6600_0000_0000;
/// Beyond so much address space it begins again.
const HINTED: u64 = 24 << 40;
/// Nothing larger is asked for at an address.
const HINTED_MOST: u64 = GIB;
/// Pages of the huge-page pool.
const HUGE_PAGE: u64 = 2 * MIB;
/// Mappings that are not tried with huge pages after one failed.
const HUGE_PAUSE: u32 = 8;
/// What describes a reserved area.
const ARENA_HEADER: u64 = 4096;

/// Where a segment's memory came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// What is mapped for it.
    start: u64,
    pub(super) mapped: u64,
    /// Its first unit in the reserved area, where it lies in there.
    pub(super) arena: Option<usize>,
    /// Nothing of it is ever returned.
    pub(super) pinned: bool,
    /// Huge pages were asked for.
    pub(super) large: bool,
}

/// A segment's wishes.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) len: u64,
    pub(super) align: u64,
    /// This far behind its start it must be aligned.
    pub(super) offset: u64,
    pub(super) commit: bool,
    /// It may lie in huge pages.
    pub(super) large: bool,
}

/// What was mapped, in the whole.
pub(super) struct System {
    pub(super) mapped: u64,
    next_hint: u64,
    pause: u32,
    arena: Option<Arena>,
}

/// Memory that was reserved at the start, in units of a segment.
struct Arena {
    start: u64,
    large: bool,
    used: Vec<bool>,
    dirty: Vec<bool>,
}

impl System {
    pub(super) fn new() -> System {
        System { mapped: 0, next_hint: HINTS, pause: 0, arena: None }
    }

    /// Memory for a segment, and whether it is known to be zero.
    pub(super) fn segment(&mut self, os: &mut dyn Os, params: &Params, wanted: Wanted) -> Option<(u64, Memory, bool)> {
        if wanted.offset == 0
            && let Some(found) = self.arena.as_mut().and_then(|arena| arena.take(wanted))
        {
            return Some(found);
        }
        if params.limit_os_alloc {
            return None;
        }
        let lead = wanted.offset.next_multiple_of(wanted.align) - wanted.offset;
        let whole = Wanted { len: good(wanted.len.checked_add(lead)?), ..wanted };
        let (start, large) = self.map_aligned(os, params, whole)?;
        self.mapped += whole.len;
        if wanted.commit && lead > PAGE {
            os.madvise(Addr(start), Bytes(lead), Advice::DontNeed);
        }
        Some((start + lead, Memory { start, mapped: whole.len, arena: None, pinned: large, large }, true))
    }

    /// Gives the memory of a segment back.
    pub(super) fn release(&mut self, os: &mut dyn Os, memory: Memory) {
        match (&mut self.arena, memory.arena) {
            (Some(arena), Some(first)) => arena.used[first..first + memory.mapped.div_ceil(SEGMENT) as usize].fill(false),
            _ => self.unmap(os, memory.start, memory.mapped),
        }
    }

    /// Maps what a thread or an area needs for its description.
    pub(super) fn map(&mut self, os: &mut dyn Os, len: u64) -> Option<u64> {
        let addr = os.mmap(Bytes(len), ACCESS)?;
        self.mapped += len;
        Some(addr.0)
    }

    pub(super) fn unmap(&mut self, os: &mut dyn Os, addr: u64, len: u64) {
        os.munmap(Addr(addr), Bytes(len));
        self.mapped -= len;
    }

    /// Maps the area that segments are taken from, where one is asked for.
    pub(super) fn reserve(&mut self, os: &mut dyn Os, params: &Params) {
        let len = params.reserve.next_multiple_of(SEGMENT);
        if len == 0 {
            return;
        }
        let wanted = Wanted { len: good(len), align: SEGMENT, offset: 0, commit: true, large: true };
        let Some((start, large)) = self.map_aligned(os, params, wanted) else { return };
        self.mapped += wanted.len;
        let units = (len / SEGMENT) as usize;
        if let Some(header) = self.map(os, ARENA_HEADER) {
            super::commit::touch(os, header, ARENA_HEADER);
            self.arena = Some(Arena { start, large, used: vec![false; units], dirty: vec![false; units] });
        }
    }

    /// What of the reserved area is free, and what describes it.
    pub(super) fn reserved(&self) -> (u64, u64) {
        self.arena.as_ref().map_or((0, 0), |arena| (arena.used.iter().filter(|used| !**used).count() as u64 * SEGMENT, ARENA_HEADER))
    }

    fn map_aligned(&mut self, os: &mut dyn Os, params: &Params, wanted: Wanted) -> Option<(u64, bool)> {
        let Wanted { len, align, .. } = wanted;
        let prot = if wanted.commit { ACCESS } else { 0 };
        let huge = params.large_os_pages && wanted.large && wanted.commit && len.is_multiple_of(HUGE_PAGE);
        let mut found = if huge { self.map_huge(os, len, align) } else { None };
        if found.is_none() {
            let addr = match self.hint(len, align) {
                Some(hint) => os.mmap_near(Addr(hint), Bytes(len), prot),
                None => os.mmap(Bytes(len), prot),
            };
            found = Some(addr?);
            if let (true, Some(addr)) = (huge, addr) {
                os.madvise(addr, Bytes(len), Advice::HugePage);
            }
        }
        let addr = found?;
        if addr.0.is_multiple_of(align) {
            return Some((addr.0, huge));
        }
        os.munmap(addr, Bytes(len));
        // Then huge pages are not asked for again.
        Some((map_around(os, len, align, prot)?, false))
    }

    /// Tries the huge-page pool twice, each time at an address and then at any: it takes pages of 2 MiB for pages of 1 GiB, after which
    /// those of 2 MiB would come.
    fn map_huge(&mut self, os: &mut dyn Os, len: u64, align: u64) -> Option<Addr> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let found = (0..2).find_map(|_| {
            let hinted = self.hint(len, align).and_then(|_| os.mmap_huge(Bytes(len)));
            hinted.or_else(|| os.mmap_huge(Bytes(len)))
        });
        if found.is_none() {
            self.pause = HUGE_PAUSE;
        }
        found
    }

    fn hint(&mut self, len: u64, align: u64) -> Option<u64> {
        let len = len.checked_next_multiple_of(SEGMENT)?;
        if align > SEGMENT || len > HINTED_MOST {
            return None;
        }
        if self.next_hint > HINTS + HINTED {
            self.next_hint = HINTS;
        }
        let hint = self.next_hint;
        self.next_hint += len;
        Some(hint)
    }
}

/// Maps more than is needed and unmaps what is too much on both sides.
fn map_around(os: &mut dyn Os, len: u64, align: u64, prot: u8) -> Option<u64> {
    let addr = os.mmap(Bytes(len.checked_add(align)?), prot)?.0;
    let start = addr.next_multiple_of(align);
    if start > addr {
        os.munmap(Addr(addr), Bytes(start - addr));
    }
    if start < addr + align {
        os.munmap(Addr(start + len), Bytes(addr + align - start));
    }
    Some(start)
}

impl Arena {
    /// The lowest place for a segment.
    fn take(&mut self, wanted: Wanted) -> Option<(u64, Memory, bool)> {
        if self.large && !wanted.large || wanted.align > SEGMENT {
            return None;
        }
        let units = wanted.len.div_ceil(SEGMENT) as usize;
        let first = (0..self.used.len().checked_sub(units)? + 1).find(|&at| self.used[at..at + units].iter().all(|used| !used))?;
        self.used[first..first + units].fill(true);
        let zero = self.dirty[first..first + units].iter().all(|dirty| !dirty);
        self.dirty[first..first + units].fill(true);
        let start = self.start + first as u64 * SEGMENT;
        let memory = Memory { start, mapped: units as u64 * SEGMENT, arena: Some(first), pinned: true, large: self.large };
        Some((start, memory, zero))
    }
}
