//! The workload: what one process asked for and touched, with object ids in place of addresses.
//!
//! ```text
//! lift        Event* → Op*: follows the selected process, and its ancestors until it begins
//! process     one process: decides for every event whether it is lifted, carried or set aside; books counts each
//! placement   the recorded address space; regions says which part of it is the allocator's; carried is what is not
//! older       what the allocator held before the recording began
//! mapping     a call that mapped memory
//! locks       mlock and its like, which make memory resident at once
//! clock       the process's own time, without the pauses that the recorder made and what its probes cost, which probes estimates
//! live        recorded address → object; races between threads
//! recorder    what the recorder itself did to the process's memory
//! threads     what each thread did last: whose a shrinking break is, and which frees are a thread's teardown
//! touch       page faults → touches of objects: the one place of inference; habits is what it has learned of blocks of a size
//! ```
//!
//! Memory that is not malloc's is *carried*: its pages, faults and calls are added to every policy as they were recorded. The
//! allocator's own calls are *set aside*: they are what a policy replaces.
//!
//! The break is both: the allocator's own `brk` is set aside, the program's (`sbrk`) is carried as a call and moves the break of every policy.
//!
//! Where calls were recorded in windows only, a block that is live at the end of one is closed there: it counts as never freed, and as live no more,
//! because its `free` may pass unseen. In a later window it is what a block older than the recording is: freed, or resized into a new one, of unknown
//! beginning.
//!
//! A forked child begins with its parent's pages, which are carried, and its parent's blocks, which belong to the parent's workload: what the
//! child does to them is set aside or carried. Its allocator is replayed as a fresh one. What the real one brought along (free lists, arenas, the
//! place of the top) is not known to a model, so that the placements of a forked child are not those of the recording.

mod books;
mod carried;
mod clock;
mod habits;
mod lift;
mod live;
mod mapping;
mod older;
mod placement;
mod plausible;
mod probes;
mod process;
mod recorder;
mod regions;
#[cfg(test)]
pub(crate) mod script;
mod threads;
mod touch;

pub use books::{Books, FAILED, FREE_INHERITED, FREE_UNKNOWN};
pub use lift::Lifter;
pub use placement::Placement;
pub use probes::{Gaps, ProbeCost};
pub use regions::Owner;
pub use touch::Touches;

use crate::event::origin::SiteId;
use crate::event::{Access, Tid};
use crate::units::{Bytes, Nanos};
use crate::vm::Syscall;

/// A block of the program: a dense number that is used again after the block is freed.
pub type ObjectId = u32;

/// How a touch is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A page fault showed it.
    Seen,
    /// Unseen; blocks like it were seen to be touched as far as this.
    Inferred,
    /// Unseen, and taken for certain: small blocks, the beginning of large ones, and what there is no like of.
    Assumed,
    /// Unseen, and blocks like it were seen not to be touched as far as this: only the highest reading takes it.
    Possible,
}

/// One step of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Since the process began to be recorded, without the pauses that the recorder made and the cost of its probes; never decreases.
    pub time: Nanos,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A block is asked for.
    Alloc {
        /// Its number.
        id: ObjectId,
        /// The asking thread.
        tid: Tid,
        /// Requested bytes.
        size: Bytes,
        /// Base-2 logarithm of the alignment; 0 where none was asked for.
        align_log2: u8,
        /// Must be zero.
        zeroed: bool,
        /// Small, and it lay on pages that were resident already, so its use could not be seen: all of it is assumed touched.
        assumed: bool,
        /// Where it was asked for; 0 where that is unknown.
        site: SiteId,
    },
    /// A block is resized and keeps its number.
    Realloc {
        /// Its number.
        id: ObjectId,
        /// The asking thread.
        tid: Tid,
        /// Requested bytes.
        size: Bytes,
        /// Where that was asked for; 0 where that is unknown.
        site: SiteId,
    },
    /// A block is freed.
    Free {
        /// Its number.
        id: ObjectId,
        /// The freeing thread.
        tid: Tid,
    },
    /// A window of the recording ended: what becomes of this block from here on is not known.
    Forget {
        /// Its number.
        id: ObjectId,
    },
    /// The break was asked for the first time.
    Break {
        /// Bytes between the start of a huge page and where the break begins: which parts of it can become huge.
        within: u32,
    },
    /// The allocator mapped for the first time.
    Map {
        /// Bytes between the start of a huge page and where the mapping ends: later ones follow below it, and it decides which parts of them become huge.
        within: u32,
    },
    /// The program itself moved the break: no call of the allocator, which finds it elsewhere the next time it looks.
    Sbrk {
        /// Bytes, negative downwards.
        delta: i64,
    },
    /// The program asked for free memory to be given back (`malloc_trim`).
    Trim {
        /// The asking thread.
        tid: Tid,
        /// Bytes that may stay free at the top.
        pad: Bytes,
    },
    /// The program changed a setting of its allocator (`mallopt`).
    Configure {
        /// The asking thread.
        tid: Tid,
        /// `M_*` number.
        parameter: i32,
        /// The value given with it.
        value: i32,
    },
    /// The program touches bytes of a block.
    Touch {
        /// Its number.
        id: ObjectId,
        /// First byte.
        from: Bytes,
        /// Length. Of a seen touch only the first byte is certain; the rest is what shared its page.
        len: Bytes,
        /// How.
        access: Access,
        /// How that is known.
        evidence: Evidence,
    },
    /// Memory that is not malloc's changed: differences in pages and minor faults.
    Resident {
        /// Anonymous pages.
        anon: i32,
        /// File pages, as measured.
        file: i32,
        /// Shared-memory pages, as measured.
        shmem: i32,
        /// Minor faults.
        faults: i32,
    },
    /// The program's own mappings changed.
    Mapping {
        /// The call that did it, and how many of them (negative: counted before, but it was the allocator's).
        calls: Option<(Syscall, i16)>,
        /// Difference in mapped bytes.
        mapped: i64,
        /// Resident anonymous pages given back.
        returned: u32,
    },
    /// `mlockall`, or, without flags, `munlockall`: what the allocator maps is made resident at once.
    LockAll {
        /// `MCL_*` bits.
        flags: u32,
    },
    /// The process forked: its pages are shared with the child until written.
    Fork,
    /// A thread ended.
    ThreadEnd {
        /// Which.
        tid: Tid,
    },
    /// The process, or the recording, ended.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_small() {
        assert!(size_of::<Op>() <= 32, "{}", size_of::<Op>());
    }
}
