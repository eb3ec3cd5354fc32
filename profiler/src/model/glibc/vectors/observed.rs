//! What a script did to a heap, whoever ran it: a model or the real allocator. Addresses are those of the run; shown, they are relative.

use super::script::{Call, Op};
use std::fmt;

/// Size and alignment of a heap of a secondary arena.
const HEAP: u64 = 64 << 20;
/// Addresses less far above the heap's start belong to it.
const REACH: u64 = 1 << 40;

/// A system call for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Brk,
    Mmap,
    Munmap,
    Mremap,
    Madvise,
    Mprotect,
}

/// One that was made, with arguments and answer. What a call has no use for is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SystemCall {
    pub(crate) kind: Kind,
    /// The break asked for, the hint, or the range's start.
    pub(crate) addr: u64,
    /// In bytes.
    pub(crate) len: u64,
    /// `mremap`: the new length. `mmap`, `mprotect`: the protection. `madvise`: the advice.
    pub(crate) extra: u64,
    /// `MAP_*` bits.
    pub(crate) flags: u64,
    /// The break or the address, negative numbers for errors.
    pub(crate) answer: i64,
}

/// What one operation gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Of the block; 0 when there is none.
    pub(crate) pointer: u64,
    pub(crate) usable: u64,
    /// Minor faults.
    pub(crate) faults: u64,
    /// Without those that only ask where the break is.
    pub(crate) calls: Vec<SystemCall>,
}

/// State of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    Zero,
    Own,
}

/// What a script gave.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The first break.
    pub(crate) heap: u64,
    /// The last one.
    pub(crate) end: u64,
    pub(crate) steps: Vec<Step>,
    /// Of the pages between them.
    pub(crate) pages: Vec<State>,
}

impl Run {
    pub(crate) fn calls(&self, kind: Kind) -> usize {
        self.steps.iter().flat_map(|step| &step.calls).filter(|call| call.kind == kind).count()
    }

    /// Of a run with a secondary arena: `mprotect` that grows a heap, `madvise`, `mmap`, `munmap`, `mremap`, without those that make or delete
    /// a heap; the first size of each heap; the highest size of the last one.
    pub(crate) fn arena_calls(&self) -> ([usize; 5], Vec<u64>, u64) {
        let (mut counts, mut firsts, mut highest, mut places) = ([0; 5], Vec::new(), 0, Places::new(self.heap));
        for call in self.steps.iter().flat_map(|step| &step.calls) {
            let reserved = places.is_reserved(call.addr);
            places.follow(&[*call]);
            match call.kind {
                Kind::Mprotect if call.addr.is_multiple_of(HEAP) => {
                    firsts.push(call.len);
                    highest = call.len;
                }
                Kind::Mprotect => {
                    counts[0] += 1;
                    highest = call.addr % HEAP + call.len;
                }
                Kind::Madvise => counts[1] += 1,
                Kind::Mmap => counts[2] += usize::from(call.extra != 0),
                Kind::Munmap => counts[3] += usize::from(!reserved),
                Kind::Mremap => counts[4] += 1,
                Kind::Brk => {}
            }
        }
        (counts, firsts, highest)
    }

    pub(crate) fn faults(&self) -> u64 {
        self.steps.iter().map(|step| step.faults).sum()
    }

    /// Numbers of the heap's resident pages that are its own.
    pub(crate) fn resident(&self) -> Vec<usize> {
        (0..self.pages.len()).filter(|&page| self.pages[page] == State::Own).collect()
    }

    /// FNV-1a over the place of every block that was given, in order.
    pub(crate) fn checksum(&self, script: &[Op]) -> (usize, u64) {
        let (mut places, mut count, mut sum) = (Places::new(self.heap), 0, 0xcbf2_9ce4_8422_2325_u64);
        for (op, step) in script.iter().zip(&self.steps) {
            places.follow(&step.calls);
            if !op.allocates() || (op.call == Call::Realloc && step.pointer == 0) {
                continue;
            }
            count += 1;
            for byte in places.of(step.pointer).value(step.usable).to_le_bytes() {
                sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        (count, sum)
    }
}

/// Where an address lies, the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// So far above the start of the main heap.
    Main(u64),
    /// In a heap of a secondary arena, counted as they appear.
    Heap(usize, u64),
    /// So far into the page of a mapping of its own.
    Mapped(u64),
}

impl Place {
    fn value(self, usable: u64) -> u64 {
        match self {
            Place::Main(offset) => offset,
            Place::Heap(index, offset) => (index as u64) << 32 | offset,
            Place::Mapped(_) => 1 << 63 | (usable + 16),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Main(offset) => write!(f, "{offset:x}"),
            Place::Heap(index, offset) => write!(f, "h{index}+{offset:x}"),
            Place::Mapped(offset) => write!(f, "map+{offset:x}"),
        }
    }
}

/// Tells places from the calls that were made.
pub(crate) struct Places {
    heap: u64,
    /// Start and end of address space that was reserved for heaps.
    reserved: Vec<(u64, u64)>,
    /// The heaps that something lay in.
    heaps: Vec<u64>,
}

impl Places {
    pub(crate) fn new(heap: u64) -> Places {
        Places { heap, reserved: Vec::new(), heaps: Vec::new() }
    }

    pub(crate) fn follow(&mut self, calls: &[SystemCall]) {
        for call in calls {
            match call.kind {
                Kind::Mmap if call.answer > 0 && call.extra == 0 => self.reserved.push((call.answer as u64, call.answer as u64 + call.len)),
                // Cut off, the rest may become a mapping of something else.
                Kind::Munmap => {
                    let (start, end) = (call.addr, call.addr + call.len);
                    let pieces = self.reserved.iter().flat_map(|&(low, high)| [(low, high.min(start)), (low.max(end), high)]);
                    self.reserved = pieces.filter(|(low, high)| low < high).collect();
                }
                _ => {}
            }
        }
    }

    pub(crate) fn of(&mut self, addr: u64) -> Place {
        if addr.wrapping_sub(self.heap) < REACH {
            return Place::Main(addr - self.heap);
        }
        if !self.is_reserved(addr) {
            return Place::Mapped(addr % 4096);
        }
        let start = addr - addr % HEAP;
        let index = self.heaps.iter().position(|known| *known == start).unwrap_or_else(|| {
            self.heaps.push(start);
            self.heaps.len() - 1
        });
        Place::Heap(index, addr % HEAP)
    }

    fn is_reserved(&self, addr: u64) -> bool {
        self.reserved.iter().any(|(start, end)| (*start..*end).contains(&addr))
    }

    /// How a call is written; `None` for one that only cuts reserved address space to size, which depends on where it happens to lie.
    pub(crate) fn show(&mut self, call: &SystemCall) -> Option<String> {
        let SystemCall { addr, len, extra, .. } = *call;
        let reserved = self.is_reserved(addr);
        self.follow(&[*call]);
        let shown = match call.kind {
            Kind::Brk => format!("brk {}", self.of(addr)),
            Kind::Mmap if extra == 0 => "reserve".to_owned(),
            Kind::Mmap => format!("mmap {len}"),
            Kind::Munmap if reserved => return self.heaps.contains(&addr).then(|| "release".to_owned()),
            Kind::Munmap => format!("munmap {len}"),
            Kind::Mremap => format!("mremap {len} {extra}"),
            Kind::Madvise => format!("madvise {} {len}", self.of(addr)),
            Kind::Mprotect => format!("mprotect {} {len}", self.of(addr)),
        };
        Some(shown)
    }
}
