//! The page model: what the kernel does with an address space, page by page.
//!
//! ```text
//! os         the port through which allocator models ask for memory
//! kernel     implements the port: chooses addresses, counts calls
//! space      one address space: mappings and the break; recorded is what only that of a recorded process can do
//! reading    which pages are resident, and faults, if what was touched is this; a space may have several
//! spot       where a block lies, relative to its area
//! range_map  disjoint page ranges → value, in leaves; pages  the states, sparse
//! hot        pages that need no second look
//! thp        huge pages: what a first touch gets
//! ```
//!
//! Modelled: 4 KiB minor faults, the shared zero page, copy on write of private file pages and after `fork`, huge pages at the first touch and
//! their split (what is left of one stays resident), memory that the kernel populates (`MAP_POPULATE`, `MADV_POPULATE_*`, `mlock` and its like), `MADV_COLLAPSE`, stacks that grow, the pages
//! around a fault in a file, and `MADV_FREE`, whose pages count as returned but stay resident, as they do until the kernel runs short of memory; the
//! lowest reading takes them as gone. `khugepaged` is in [`thp`]. Not modelled: reclaim and swap.

mod hot;
pub mod kernel;
mod leaves;
pub mod os;
mod pages;
pub mod range_map;
mod reading;
pub mod space;
mod spot;
pub mod thp;

pub use kernel::Kernel;
pub use pages::{Page, PageStates, Tally};
pub use range_map::RangeMap;
pub use reading::Counters;
pub use space::{AddressSpace, Vma};
pub use spot::{Area, Spot};

use std::ops::AddAssign;

/// Which system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Syscall {
    /// `brk`
    Brk,
    /// `mmap`
    Mmap,
    /// `munmap`
    Munmap,
    /// `mremap`
    Mremap,
    /// `madvise`
    Madvise,
    /// `mprotect`
    Mprotect,
}

/// Calls by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls([i64; 6]);

impl Calls {
    /// How many of that kind.
    pub fn of(&self, kind: Syscall) -> u64 {
        u64::try_from(self.0[kind as usize]).unwrap_or(0)
    }

    /// Adds to a kind; negative numbers take back.
    pub fn add(&mut self, kind: Syscall, count: i64) {
        self.0[kind as usize] += count;
    }
}

impl AddAssign for Calls {
    fn add_assign(&mut self, other: Calls) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
