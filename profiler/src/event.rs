//! What a recording is made of: one type for live and for stored events.

use crate::units::{Addr, Bytes, Nanos, Pages};
use origin::SiteId;

pub mod origin;

/// Kernel id of a thread.
pub type Tid = u32;

/// A program image in a process: index into the manifest's `processes`. A fork makes a new one, and so does an `execve`.
pub type ProcessId = u32;

/// An error number of the kernel (positive, as in `errno.h`).
pub type Errno = u16;

/// Something that one thread of the recorded process did or suffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the recording began.
    pub time: Nanos,
    /// Which address space it concerns.
    pub process: ProcessId,
    /// Which thread did it.
    pub tid: Tid,
    /// Whether the thread was inside a call of the malloc family.
    pub in_heap: bool,
    /// What happened.
    pub what: What,
}

/// Which function of the malloc family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// `malloc`
    Malloc,
    /// `calloc`
    Calloc,
    /// `realloc`, and `reallocarray`, which ends in it
    Realloc,
    /// `memalign`
    Memalign,
    /// `aligned_alloc`
    AlignedAlloc,
    /// `posix_memalign`
    PosixMemalign,
    /// `valloc`
    Valloc,
    /// `pvalloc`
    Pvalloc,
}

/// Advice of `madvise` that changes what is resident, or how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// `MADV_DONTNEED`: private anonymous pages go at once.
    DontNeed,
    /// `MADV_FREE`: the kernel may take the pages when it wants them.
    Free,
    /// `MADV_HUGEPAGE`
    HugePage,
    /// `MADV_NOHUGEPAGE`
    NoHugePage,
    /// `MADV_POPULATE_READ`: as if each page were read.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`: as if each page were written.
    PopulateWrite,
    /// `MADV_COLLAPSE`: huge pages at once, wherever one fits.
    Collapse,
    /// Any other, by its number.
    Other(u32),
}

/// `MADV_*` numbers of the advices that have a name here: the same on every architecture that eBPF runs on.
const ADVICES: [(Advice, u32); 7] = [
    (Advice::DontNeed, 4),
    (Advice::Free, 8),
    (Advice::HugePage, 14),
    (Advice::NoHugePage, 15),
    (Advice::PopulateRead, 22),
    (Advice::PopulateWrite, 23),
    (Advice::Collapse, 25),
];

impl Advice {
    /// The advice with this `MADV_*` number.
    pub fn from_number(number: u32) -> Advice {
        ADVICES.into_iter().find(|(_, known)| *known == number).map_or(Advice::Other(number), |(advice, _)| advice)
    }

    /// Its `MADV_*` number.
    pub fn number(self) -> u32 {
        match self {
            Advice::Other(number) => number,
            named => ADVICES.into_iter().find(|(advice, _)| *advice == named).map_or(0, |(_, number)| number),
        }
    }
}

/// How memory was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read
    Read,
    /// Written
    Write,
    /// Fetched as an instruction
    Exec,
}

/// What backs a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Private anonymous memory.
    Anonymous,
    /// A private mapping of a file: its pages become anonymous when written.
    PrivateFile,
    /// Shared memory or a shared mapping of a file: never anonymous.
    Shared,
    /// The `[heap]` of `/proc/PID/maps`: the area of the program break.
    Break,
    /// A stack, which grows down by faults.
    Stack,
    /// Kernel-provided pages (`[vdso]`, `[vvar]`, `[uprobes]`): never anonymous.
    Special,
}

/// What happened. Failed calls are events too: they carry the error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A call of the malloc family returned; `ptr` is null when it failed, `old` is null except for `realloc`.
    Alloc {
        /// Which function.
        call: Call,
        /// The block, null on failure.
        ptr: Addr,
        /// Requested bytes.
        size: Bytes,
        /// The block given to `realloc`.
        old: Addr,
        /// Requested alignment in bytes, a power of two (rounded up where the caller's was not); 0 where the call has none.
        align: u64,
        /// Where it was asked for; 0 where that is unknown.
        site: SiteId,
    },
    /// `free` was entered.
    Free {
        /// The block, possibly null.
        ptr: Addr,
    },
    /// `malloc_trim` returned.
    Trim {
        /// Bytes that may stay free at the top of the heap.
        pad: Bytes,
    },
    /// `mallopt` returned.
    Configure {
        /// `M_*` number.
        parameter: i32,
        /// The value given with it.
        value: i32,
    },
    /// `brk`: the kernel answers with the break that is, whether it moved or not.
    Brk {
        /// Asked for; 0 asks for the current one.
        asked: Addr,
        /// In effect afterwards.
        got: Addr,
    },
    /// `mmap`
    Mmap {
        /// Address hint, or the fixed address.
        hint: Addr,
        /// Bytes.
        len: Bytes,
        /// `PROT_*` bits.
        prot: u8,
        /// `MAP_*` bits.
        flags: u32,
        /// Whether a file descriptor was given.
        file: bool,
        /// Where it lies.
        result: Result<Addr, Errno>,
    },
    /// `munmap`
    Munmap {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// When the call was entered: mappings made later are not its business.
        entered: Nanos,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// `mremap`
    Mremap {
        /// Old start.
        addr: Addr,
        /// Old length.
        len: Bytes,
        /// New length.
        new_len: Bytes,
        /// `MREMAP_*` bits.
        flags: u32,
        /// New start.
        result: Result<Addr, Errno>,
    },
    /// `madvise`
    Madvise {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// The advice.
        advice: Advice,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// `mprotect`
    Mprotect {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// `PROT_*` bits.
        prot: u8,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// `mlock` or `mlock2`
    Mlock {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// `MLOCK_ONFAULT`: nothing is made resident, only kept.
        on_fault: bool,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// `munlock`
    Munlock {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// `mlockall`, or `munlockall`, which is one without flags.
    Mlockall {
        /// `MCL_*` bits.
        flags: u32,
        /// 0 when it succeeded.
        errno: Errno,
    },
    /// A page fault on a user address (an attempt: it may have failed or have been raced by another thread).
    Fault {
        /// The byte that was accessed.
        addr: Addr,
        /// How.
        access: Access,
        /// The page was present but the access not allowed (first write to a shared or zero page).
        protection: bool,
        /// Taken by the kernel on behalf of the process.
        by_kernel: bool,
    },
    /// The kernel's own count of resident pages of the process.
    Rss {
        /// Anonymous.
        anon: Pages,
        /// File-backed.
        file: Pages,
        /// Shared memory.
        shmem: Pages,
    },
    /// The kernel's own count of swapped out pages of the process.
    Swap {
        /// Their number.
        pages: Pages,
    },
    /// A mapping that was there before recording began (at exec or attach).
    Mapped {
        /// Start.
        addr: Addr,
        /// Bytes.
        len: Bytes,
        /// `PROT_*` bits.
        prot: u8,
        /// What backs it.
        backing: Backing,
    },
    /// Pages that were resident and anonymous before recording began (at exec or attach).
    Resident {
        /// Start of the first page.
        addr: Addr,
        /// Their number.
        pages: Pages,
    },
    /// A thread was started.
    ThreadStart {
        /// Its id.
        child: Tid,
    },
    /// A process was forked: it begins with a copy of this one's memory.
    Fork {
        /// Its main thread.
        child: Tid,
        /// Its stream of events.
        process: ProcessId,
    },
    /// This process image begins (`execve`, or attach to a running process).
    Start,
    /// The recorder lets the process go on, which had stopped itself to wait for it. In between it stood still, but for threads that were on
    /// their way into the stop, and unless an earlier event of this kind came after `since`. Told under the id of the process.
    Paused {
        /// When it stopped.
        since: Nanos,
    },
    /// Calls of the malloc family are recorded from here on: a window begins. Told under the id of the process, as its end is. A recording
    /// without windows has neither.
    WindowBegin,
    /// They are not recorded any more, until the next window begins.
    WindowEnd,
    /// The thread ended.
    ThreadEnd,
    /// The process ended, or its image was replaced by another one.
    End,
}

impl What {
    /// Whether it is told of the process: the thread, its first one, did nothing.
    pub fn is_of_process(self) -> bool {
        matches!(self, What::Rss { .. } | What::Swap { .. } | What::Paused { .. } | What::WindowBegin | What::WindowEnd)
    }
}

impl Call {
    /// Every call, with the name that C gives it.
    pub const ALL: [(Call, &'static str); 8] = [
        (Call::Malloc, "malloc"),
        (Call::Calloc, "calloc"),
        (Call::Realloc, "realloc"),
        (Call::Memalign, "memalign"),
        (Call::AlignedAlloc, "aligned_alloc"),
        (Call::PosixMemalign, "posix_memalign"),
        (Call::Valloc, "valloc"),
        (Call::Pvalloc, "pvalloc"),
    ];
}

/// `PROT_EXEC`.
pub const PROT_EXEC: u8 = 4;
/// `PROT_WRITE`.
pub const PROT_WRITE: u8 = 2;
/// `PROT_READ`.
pub const PROT_READ: u8 = 1;
/// `MAP_SHARED` (the low bit of the type field; `MAP_SHARED_VALIDATE` has it too).
pub const MAP_SHARED: u32 = 1;
/// `MAP_FIXED`.
pub const MAP_FIXED: u32 = 0x10;
/// `MAP_ANONYMOUS`.
pub const MAP_ANONYMOUS: u32 = 0x20;
/// `MAP_GROWSDOWN`.
pub const MAP_GROWSDOWN: u32 = 0x100;
/// `MAP_LOCKED`: as `mlock` of what is mapped.
pub const MAP_LOCKED: u32 = 0x2000;
/// `MAP_NONBLOCK`: takes its effect from `MAP_POPULATE`.
pub const MAP_NONBLOCK: u32 = 0x1_0000;
/// `MCL_CURRENT`: all that is mapped.
pub const MCL_CURRENT: u32 = 1;
/// `MCL_FUTURE`: all that will be mapped.
pub const MCL_FUTURE: u32 = 2;
/// `MCL_ONFAULT`: nothing is made resident, only kept.
pub const MCL_ONFAULT: u32 = 4;
/// `MAP_POPULATE`.
pub const MAP_POPULATE: u32 = 0x8000;
/// `MAP_STACK` (no effect; marks thread stacks).
pub const MAP_STACK: u32 = 0x2_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_small_as_the_recorders_memory_says() {
        assert!(size_of::<Event>() <= 72, "{} bytes: see the crate docs of capture", size_of::<Event>());
    }

    #[test]
    fn advice_and_its_number_are_the_same() {
        assert!((0..32).all(|number| Advice::from_number(number).number() == number));
        assert_eq!(ADVICES.map(|(advice, number)| (Advice::from_number(number), advice.number())), ADVICES);
    }
}
