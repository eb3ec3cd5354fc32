//! What folklore says of malloc and mmap, counted for this recording: address space that was granted and never touched, memory that the kernel cleared
//! or copied, what went back by which call, the threshold between heap and mappings, mappings that failed, and what a fork shared.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::{Access, Advice, Backing, Errno, Event, MAP_ANONYMOUS, MAP_LOCKED, MAP_POPULATE, MAP_SHARED, Tid, What};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};
use crate::vm::range_map::clip;
use crate::vm::space::page_range;
use crate::vm::{AddressSpace, Page, PageStates, RangeMap, Syscall};

/// Which anonymous address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granted {
    /// The area of the program break.
    Break,
    /// Private anonymous mappings.
    Mappings,
}

/// Address space of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes granted, summed over the recording.
    pub granted: Bytes,
    /// Those of them that nobody had touched when they went back or the recording ended.
    pub untouched: Bytes,
}

/// A call that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Which call.
    pub call: Syscall,
    /// Why.
    pub errno: Errno,
    /// Whether a file was to be mapped.
    pub file: bool,
}

/// glibc's threshold between its heap and mappings of their own, as it was seen and as its rule has it: a freed mapping of at most 32 MiB raises it to
/// its own size (malloc.c, `munmap_chunk`'s caller in `__libc_free`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threshold {
    /// Smallest request that had a mapping of its own.
    pub smallest_mapped: Option<Bytes>,
    /// Largest request that lay in the heap.
    pub largest_in_heap: Option<Bytes>,
    /// When the rule raised it, and to what.
    pub raised: Vec<(Nanos, Bytes)>,
    /// The program fixed it by `mallopt`.
    pub fixed: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Anonymous address space.
    pub space: BTreeMap<Granted, Space>,
    /// Memory that the kernel cleared before the program had it.
    pub zeroed: Bytes,
    /// Pages of private files that were copied when they were first written.
    pub copied: Bytes,
    /// Resident anonymous bytes that went back, by the call that gave them.
    pub returned: BTreeMap<Syscall, Bytes>,
    /// The threshold of glibc's malloc.
    pub threshold: Threshold,
    /// Refused calls.
    pub refused: BTreeMap<Refusal, u64>,
    /// Forks of the process.
    pub forks: u64,
    /// Anonymous memory that was resident at forks, summed: what each child shared at first.
    pub shared_at_fork: Bytes,
    /// Anonymous memory that nobody here had written since a fork when the recording ended.
    pub shared_at_end: Bytes,
    /// First writes to pages that a fork had shared: each is a fault, and a copy unless the other side is gone.
    pub written_after_fork: u64,
}

/// glibc's threshold at first, and the largest it takes by itself.
const THRESHOLD: Bytes = Bytes(128 << 10);
const HIGHEST: Bytes = Bytes(32 << 20);
/// `M_TRIM_THRESHOLD`, `M_TOP_PAD`, `M_MMAP_THRESHOLD`, `M_MMAP_MAX` of `mallopt`: any of them ends the movement.
const FIXING: [i32; 4] = [-1, -2, -3, -4];
/// What glibc puts in front of a block in a mapping of its own.
const HEADER: u64 = 16;

/// Counts while the recording is read.
#[derive(Default)]
pub(super) struct Watch {
    claims: Claims,
    areas: RangeMap<Granted>,
    /// Pages that were touched since their area was granted.
    touched: PageStates,
    /// The mapping that each thread last made inside a call of the malloc family.
    made: BTreeMap<Tid, (Addr, Bytes)>,
    /// Blocks with a mapping of their own, and its length.
    own: BTreeMap<u64, Bytes>,
}

/// What is read before an event takes effect.
#[derive(Default)]
pub(super) struct Before {
    anon: Pages,
    returned: Bytes,
    populated: u64,
    page: Page,
    end: Option<Addr>,
}

impl Before {
    pub(super) fn of(space: &AddressSpace, event: &Event) -> Before {
        let counters = space.counters(0);
        let page = if let What::Fault { addr, .. } = event.what { space.page(addr) } else { Page::Absent };
        Before {
            anon: counters.anon,
            returned: counters.returned,
            populated: counters.populated,
            page,
            end: space.break_area().map(|area| area.1),
        }
    }
}

impl Watch {
    /// After an event of the process took effect.
    pub(super) fn follow(&mut self, event: &Event, before: &Before, space: &AddressSpace, now: Nanos) {
        let counters = space.counters(0);
        let returned = counters.returned - before.returned;
        if counters.populated > before.populated {
            self.claims.zeroed += Pages(counters.anon.0.saturating_sub(before.anon.0)).bytes();
        }
        match event.what {
            What::Fault { addr, access, .. } => self.fault(addr, access, before, space),
            What::Mapped { addr, len, backing: Backing::Anonymous, .. } => self.grant(page_range(addr, len), Granted::Mappings),
            What::Mapped { addr, len, backing: Backing::Break, .. } => self.grant(page_range(addr, len), Granted::Break),
            What::Resident { addr, pages } => self.touch(addr.page()..addr.page() + pages.0),
            What::Brk { got, .. } => {
                self.brk(before.end, got);
                self.gave(Syscall::Brk, returned);
            }
            What::Mmap { len, flags, file, result, .. } => self.mmap(event, len, flags, file, result),
            What::Munmap { addr, len, errno: 0, .. } => {
                self.withdraw(page_range(addr, len));
                self.gave(Syscall::Munmap, returned);
            }
            What::Mremap { addr, len, new_len, result: Ok(to), .. } => {
                self.carry(page_range(addr, len), page_range(to, new_len));
                self.gave(Syscall::Mremap, returned);
                if event.in_heap {
                    self.made.insert(event.tid, (to, new_len));
                }
            }
            What::Mlock { addr, len, on_fault: false, errno: 0 } => self.touch(page_range(addr, len)),
            What::Madvise { addr, len, advice: Advice::PopulateRead | Advice::PopulateWrite, errno: 0 } => {
                self.touch(page_range(addr, len))
            }
            What::Madvise { errno: 0, .. } => self.gave(Syscall::Madvise, returned),
            What::Munmap { errno, .. } => self.refuse(Syscall::Munmap, errno, false),
            What::Mremap { result: Err(errno), .. } => self.refuse(Syscall::Mremap, errno, false),
            What::Madvise { errno, .. } => self.refuse(Syscall::Madvise, errno, false),
            What::Alloc { ptr, size, old, align, .. } if !ptr.is_null() => self.block(event.tid, ptr, size, old, align),
            What::Free { ptr } => self.free(ptr, now),
            What::Configure { parameter, .. } if FIXING.contains(&parameter) => self.claims.threshold.fixed = true,
            What::Fork { .. } => {
                self.claims.forks += 1;
                self.claims.shared_at_fork += before.anon.bytes();
            }
            _ => {}
        }
    }

    /// What is still there has been granted, too.
    pub(super) fn finish(mut self, space: Option<&AddressSpace>) -> Claims {
        self.withdraw(0..u64::MAX / PAGE);
        let mut shared = Pages(0);
        if let Some(space) = space {
            space.pages().each(0..u64::MAX / PAGE, |_, page| shared += Pages(u64::from(page == Page::AnonShared)));
        }
        self.claims.shared_at_end = shared.bytes();
        self.claims
    }

    fn fault(&mut self, addr: Addr, access: Access, before: &Before, space: &AddressSpace) {
        let gained = space.counters(0).anon.0.saturating_sub(before.anon.0);
        let file = before.page == Page::File || space.vma(addr).is_some_and(|vma| vma.backing == Backing::PrivateFile);
        let bytes = if file { &mut self.claims.copied } else { &mut self.claims.zeroed };
        *bytes += Pages(gained).bytes();
        if before.page == Page::AnonShared && access == Access::Write {
            self.claims.written_after_fork += 1;
        }
        if space.page(addr) != Page::Absent {
            // A huge page comes whole, and begins at a multiple of its size.
            let first = if gained > 1 { addr.page() / gained * gained } else { addr.page() };
            self.touch(first..first + gained.max(1));
        }
    }

    fn mmap(&mut self, event: &Event, len: Bytes, flags: u32, file: bool, result: Result<Addr, Errno>) {
        let addr = match result {
            Ok(addr) => addr,
            Err(errno) => return self.refuse(Syscall::Mmap, errno, file),
        };
        let range = page_range(addr, len);
        self.withdraw(range.clone());
        if flags & MAP_ANONYMOUS != 0 && flags & MAP_SHARED == 0 {
            self.grant(range.clone(), Granted::Mappings);
            if flags & (MAP_POPULATE | MAP_LOCKED) != 0 {
                self.touch(range);
            }
        }
        if event.in_heap {
            self.made.insert(event.tid, (addr, len));
        }
    }

    fn brk(&mut self, old: Option<Addr>, new: Addr) {
        let (old, new) = (old.unwrap_or(new).page_up().page(), new.page_up().page());
        if new > old {
            self.grant(old..new, Granted::Break);
        } else {
            self.withdraw(new..old);
        }
    }

    fn block(&mut self, tid: Tid, ptr: Addr, size: Bytes, old: Addr, align: u64) {
        let made = self.made.remove(&tid);
        let was = self.own.remove(&old.0);
        let mapping = made.filter(|(addr, _)| ptr.0 == addr.0 + HEADER).map(|made| made.1).or(was.filter(|_| old == ptr));
        let threshold = &mut self.claims.threshold;
        match mapping {
            Some(len) => {
                self.own.insert(ptr.0, len);
                threshold.smallest_mapped = Some(threshold.smallest_mapped.map_or(size, |smallest| smallest.min(size)));
            }
            // Alignment asks for more than its size, so that such a request says less about the threshold.
            None if align == 0 => threshold.largest_in_heap = threshold.largest_in_heap.max(Some(size)),
            None => {}
        }
    }

    fn free(&mut self, ptr: Addr, now: Nanos) {
        let Some(len) = self.own.remove(&ptr.0) else { return };
        let threshold = &mut self.claims.threshold;
        if !threshold.fixed && len <= HIGHEST && len > threshold.raised.last().map_or(THRESHOLD, |last| last.1) {
            threshold.raised.push((now, len));
        }
    }

    fn gave(&mut self, call: Syscall, bytes: Bytes) {
        *self.claims.returned.entry(call).or_default() += bytes;
    }

    fn refuse(&mut self, call: Syscall, errno: Errno, file: bool) {
        *self.claims.refused.entry(Refusal { call, errno, file }).or_default() += 1;
    }

    fn touch(&mut self, range: Range<u64>) {
        let pieces: Vec<Range<u64>> = self.areas.overlaps(range.clone()).map(|(extent, _)| clip(&extent, &range)).collect();
        pieces.into_iter().flatten().for_each(|page| self.touched.set(page, Page::Anon));
    }

    fn grant(&mut self, range: Range<u64>, kind: Granted) {
        self.claims.space.entry(kind).or_default().granted += Pages(range.end - range.start).bytes();
        self.areas.insert(range, kind);
    }

    fn withdraw(&mut self, range: Range<u64>) {
        for (extent, kind) in self.areas.overlaps(range.clone()) {
            let piece = clip(&extent, &range);
            let untouched = (piece.end - piece.start) - self.touched.tally(piece).anon;
            self.claims.space.entry(*kind).or_default().untouched += Pages(untouched).bytes();
        }
        self.areas.remove(range.clone());
        self.touched.clear(range);
    }

    /// `mremap`: what is carried keeps its touches; what is added is granted, what is cut off goes.
    fn carry(&mut self, old: Range<u64>, new: Range<u64>) {
        let Some((_, kind)) = self.areas.get(old.start) else { return };
        let kept = (old.end - old.start).min(new.end - new.start);
        self.withdraw(old.start + kept..old.end);
        let mut touches = Vec::new();
        self.touched.each(old.start..old.start + kept, |page, _| touches.push(page - old.start + new.start));
        self.areas.remove(old.start..old.start + kept);
        self.touched.clear(old.start..old.start + kept);
        self.withdraw(new.clone());
        self.areas.insert(new.start..new.start + kept, kind);
        touches.into_iter().for_each(|page| self.touched.set(page, Page::Anon));
        if new.start + kept < new.end {
            self.grant(new.start + kept..new.end, kind);
        }
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
