//! How an [`Event`] becomes a row of `events.arrow`, and back. This is the one place that knows.
//!
//! Every row has `time_ns` (since the recording began), `process` (index into the manifest's processes), `tid`, `kind` and
//! `in_heap` (the thread was inside a call of the malloc family). The others mean, by kind; an empty cell is 0:
//!
//! ```text
//! kind                addr        size        old_addr    old_size    arg                 detail          prot       errno
//! malloc calloc       block       requested                                               site
//! valloc pvalloc      block       requested                                               site
//! memalign            block       requested                           alignment           site
//! aligned_alloc       block       requested                           alignment           site
//! posix_memalign      block       requested                           alignment           site
//! realloc             block       requested   old block                                   site
//! free                block
//! brk                 break                   asked for
//! mmap                result      length      hint                    1 = has a file      MAP_* bits      PROT_*     errno
//! munmap              start       length                              time of entry, ns                              errno
//! mremap              result      new length  old start   old length                      MREMAP_* bits              errno
//! madvise             start       length                                                  MADV_* number              errno
//! mprotect            start       length                                                                  PROT_*     errno
//! mlock               start       length                                                  1 = on fault               errno
//! munlock             start       length                                                                             errno
//! mlockall                                                                                MCL_* bits                 errno
//! fault               byte                                                                1 = protection  access
//!                                                                                         2 = by kernel   as PROT_*
//! rss                             anonymous               file        shared memory (these three are bytes)
//! swap                            swapped out (bytes)
//! mapped              start       length                              backing, see below                  PROT_*
//! resident            start       length
//! malloc_trim                     pad
//! mallopt                                                             parameter       value (both as 32 bits, signed)
//! thread_start                                                        its thread id
//! fork                                                                its main thread     its process
//! paused                                                              time of stop, ns
//! start thread_end end window_begin window_end
//! ```
//!
//! Backing: 0 anonymous, 1 private file, 2 shared, 3 break, 4 stack, 5 special. The blocks of failed calls and the results of failed
//! system calls are 0. A site is a `stack` of `stacks.arrow` (see `tables`); traces before format 1.3 have none. Units: bytes and nanoseconds.

use crate::event::{Access, Advice, Backing, Call, Errno, Event, PROT_EXEC, PROT_READ, PROT_WRITE, What};
use crate::units::{Addr, Bytes, Nanos, PAGE, Pages};

macro_rules! kinds {
    ($($name:ident = $label:literal,)*) => {
        /// What a row tells; its number is the key in the dictionary that a heapcast of this version writes. New ones go to the end.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind { #[default] $($name,)* }

        impl Kind {
            /// Every kind in the order of the keys, and its name in the dictionary.
            pub(super) const ALL: &'static [(Kind, &'static str)] = &[$((Kind::$name, $label),)*];
        }
    };
}

kinds! {
    Malloc = "malloc",
    Calloc = "calloc",
    Realloc = "realloc",
    Memalign = "memalign",
    AlignedAlloc = "aligned_alloc",
    PosixMemalign = "posix_memalign",
    Valloc = "valloc",
    Pvalloc = "pvalloc",
    Free = "free",
    Brk = "brk",
    Mmap = "mmap",
    Munmap = "munmap",
    Mremap = "mremap",
    Madvise = "madvise",
    Mprotect = "mprotect",
    Fault = "fault",
    Rss = "rss",
    Mapped = "mapped",
    Resident = "resident",
    ThreadStart = "thread_start",
    Fork = "fork",
    Start = "start",
    ThreadEnd = "thread_end",
    End = "end",
    Trim = "malloc_trim",
    Configure = "mallopt",
    Paused = "paused",
    Mlock = "mlock",
    Munlock = "munlock",
    Mlockall = "mlockall",
    Swap = "swap",
    WindowBegin = "window_begin",
    WindowEnd = "window_end",
}

/// The name under which an event is stored.
pub fn kind_name(event: &Event) -> &'static str {
    Kind::ALL[Row::from(event).kind as usize].1
}

/// One row; the fields are the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub time_ns: u64,
    pub process: u32,
    pub tid: u32,
    pub kind: Kind,
    pub in_heap: bool,
    pub addr: u64,
    pub size: u64,
    pub old_addr: u64,
    pub old_size: u64,
    pub arg: u64,
    pub detail: u32,
    pub prot: u8,
    pub errno: u16,
}

const FAULT_PROTECTION: u32 = 1;
const FAULT_BY_KERNEL: u32 = 2;

pub(super) const BACKINGS: [Backing; 6] =
    [Backing::Anonymous, Backing::PrivateFile, Backing::Shared, Backing::Break, Backing::Stack, Backing::Special];

impl From<&Event> for Row {
    fn from(event: &Event) -> Row {
        let row = Row { time_ns: event.time.0, process: event.process, tid: event.tid, in_heap: event.in_heap, ..Row::default() };
        row.telling(event.what)
    }
}

impl Row {
    /// The event of this row; none when a cell holds what this kind cannot have.
    pub(super) fn event(&self) -> Option<Event> {
        let Row { time_ns, process, tid, in_heap, .. } = *self;
        Some(Event { time: Nanos(time_ns), process, tid, in_heap, what: self.what()? })
    }

    fn telling(self, what: What) -> Row {
        use Kind as K;
        match what {
            What::Alloc { call, ptr, size, old, align, site } => {
                Row { kind: kind_of(call), addr: ptr.0, size: size.0, old_addr: old.0, arg: align, detail: site, ..self }
            }
            What::Free { ptr } => Row { kind: K::Free, addr: ptr.0, ..self },
            What::Brk { asked, got } => Row { kind: K::Brk, addr: got.0, old_addr: asked.0, ..self },
            What::Mmap { hint, len, prot, flags, file, result } => {
                let row = Row { kind: K::Mmap, size: len.0, old_addr: hint.0, arg: file.into(), detail: flags, prot, ..self };
                row.resulting(result)
            }
            What::Munmap { addr, len, entered, errno } => Row { kind: K::Munmap, addr: addr.0, size: len.0, arg: entered.0, errno, ..self },
            What::Mremap { addr, len, new_len, flags, result } => {
                let row = Row { kind: K::Mremap, size: new_len.0, old_addr: addr.0, old_size: len.0, detail: flags, ..self };
                row.resulting(result)
            }
            What::Madvise { addr, len, advice, errno } => {
                Row { kind: K::Madvise, addr: addr.0, size: len.0, detail: advice.number(), errno, ..self }
            }
            What::Mprotect { addr, len, prot, errno } => Row { kind: K::Mprotect, addr: addr.0, size: len.0, prot, errno, ..self },
            What::Mlock { addr, len, on_fault, errno } => {
                Row { kind: K::Mlock, addr: addr.0, size: len.0, detail: on_fault.into(), errno, ..self }
            }
            What::Munlock { addr, len, errno } => Row { kind: K::Munlock, addr: addr.0, size: len.0, errno, ..self },
            What::Mlockall { flags, errno } => Row { kind: K::Mlockall, detail: flags, errno, ..self },
            What::Swap { pages } => Row { kind: K::Swap, size: bytes(pages), ..self },
            What::Fault { addr, access, protection, by_kernel } => {
                let detail = (u32::from(protection) * FAULT_PROTECTION) | (u32::from(by_kernel) * FAULT_BY_KERNEL);
                Row { kind: K::Fault, addr: addr.0, detail, prot: prot_of(access), ..self }
            }
            What::Rss { anon, file, shmem } => Row { kind: K::Rss, size: bytes(anon), old_size: bytes(file), arg: bytes(shmem), ..self },
            What::Mapped { addr, len, prot, backing } => {
                Row { kind: K::Mapped, addr: addr.0, size: len.0, arg: number_of_backing(backing), prot, ..self }
            }
            What::Resident { addr, pages } => Row { kind: K::Resident, addr: addr.0, size: bytes(pages), ..self },
            What::Trim { pad } => Row { kind: K::Trim, size: pad.0, ..self },
            What::Configure { parameter, value } => {
                Row { kind: K::Configure, arg: parameter.cast_unsigned().into(), detail: value.cast_unsigned(), ..self }
            }
            What::ThreadStart { child } => Row { kind: K::ThreadStart, arg: child.into(), ..self },
            What::Fork { child, process } => Row { kind: K::Fork, arg: child.into(), detail: process, ..self },
            What::Start => Row { kind: K::Start, ..self },
            What::Paused { since } => Row { kind: K::Paused, arg: since.0, ..self },
            What::WindowBegin => Row { kind: K::WindowBegin, ..self },
            What::WindowEnd => Row { kind: K::WindowEnd, ..self },
            What::ThreadEnd => Row { kind: K::ThreadEnd, ..self },
            What::End => Row { kind: K::End, ..self },
        }
    }

    fn resulting(self, result: Result<Addr, Errno>) -> Row {
        match result {
            Ok(addr) => Row { addr: addr.0, ..self },
            Err(errno) => Row { errno, ..self },
        }
    }

    fn what(&self) -> Option<What> {
        let (addr, len, errno) = (Addr(self.addr), Bytes(self.size), self.errno);
        Some(match self.kind {
            Kind::Free => What::Free { ptr: addr },
            Kind::Brk => What::Brk { asked: Addr(self.old_addr), got: addr },
            Kind::Mmap => What::Mmap {
                hint: Addr(self.old_addr),
                len,
                prot: self.prot,
                flags: self.detail,
                file: self.arg != 0,
                result: self.result(),
            },
            Kind::Munmap => What::Munmap { addr, len, entered: Nanos(self.arg), errno },
            Kind::Mremap => What::Mremap {
                addr: Addr(self.old_addr),
                len: Bytes(self.old_size),
                new_len: len,
                flags: self.detail,
                result: self.result(),
            },
            Kind::Madvise => What::Madvise { addr, len, advice: Advice::from_number(self.detail), errno },
            Kind::Mprotect => What::Mprotect { addr, len, prot: self.prot, errno },
            Kind::Mlock => What::Mlock { addr, len, on_fault: self.detail != 0, errno },
            Kind::Munlock => What::Munlock { addr, len, errno },
            Kind::Mlockall => What::Mlockall { flags: self.detail, errno },
            Kind::Swap => What::Swap { pages: pages(self.size) },
            Kind::Fault => What::Fault {
                addr,
                access: access(self.prot)?,
                protection: self.detail & FAULT_PROTECTION != 0,
                by_kernel: self.detail & FAULT_BY_KERNEL != 0,
            },
            Kind::Rss => What::Rss { anon: pages(self.size), file: pages(self.old_size), shmem: pages(self.arg) },
            Kind::Mapped => What::Mapped { addr, len, prot: self.prot, backing: *BACKINGS.get(usize::try_from(self.arg).ok()?)? },
            Kind::Resident => What::Resident { addr, pages: pages(self.size) },
            Kind::Trim => What::Trim { pad: len },
            Kind::Configure => What::Configure { parameter: u32::try_from(self.arg).ok()?.cast_signed(), value: self.detail.cast_signed() },
            Kind::ThreadStart => What::ThreadStart { child: self.arg.try_into().ok()? },
            Kind::Fork => What::Fork { child: self.arg.try_into().ok()?, process: self.detail },
            Kind::Start => What::Start,
            Kind::Paused => What::Paused { since: Nanos(self.arg) },
            Kind::WindowBegin => What::WindowBegin,
            Kind::WindowEnd => What::WindowEnd,
            Kind::ThreadEnd => What::ThreadEnd,
            Kind::End => What::End,
            call => {
                What::Alloc { call: call_of(call)?, ptr: addr, size: len, old: Addr(self.old_addr), align: self.arg, site: self.detail }
            }
        })
    }

    fn result(&self) -> Result<Addr, Errno> {
        if self.errno == 0 { Ok(Addr(self.addr)) } else { Err(self.errno) }
    }
}

const CALLS: [(Call, Kind); 8] = [
    (Call::Malloc, Kind::Malloc),
    (Call::Calloc, Kind::Calloc),
    (Call::Realloc, Kind::Realloc),
    (Call::Memalign, Kind::Memalign),
    (Call::AlignedAlloc, Kind::AlignedAlloc),
    (Call::PosixMemalign, Kind::PosixMemalign),
    (Call::Valloc, Kind::Valloc),
    (Call::Pvalloc, Kind::Pvalloc),
];

fn kind_of(call: Call) -> Kind {
    CALLS[call as usize].1
}

fn call_of(kind: Kind) -> Option<Call> {
    CALLS.get(kind as usize).map(|(call, _)| *call)
}

fn prot_of(access: Access) -> u8 {
    match access {
        Access::Read => PROT_READ,
        Access::Write => PROT_WRITE,
        Access::Exec => PROT_EXEC,
    }
}

fn access(prot: u8) -> Option<Access> {
    [Access::Read, Access::Write, Access::Exec].into_iter().find(|&access| prot_of(access) == prot)
}

fn number_of_backing(backing: Backing) -> u64 {
    backing as u64
}

fn bytes(pages: Pages) -> u64 {
    pages.0.saturating_mul(PAGE)
}

fn pages(bytes: u64) -> Pages {
    Pages(bytes / PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::any_event;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_event_survives_as_a_row(event in any_event()) {
            prop_assert_eq!(Row::from(&event).event(), Some(event));
        }

        #[test]
        fn a_row_that_is_an_event_says_the_same_again(kind in 0..Kind::ALL.len(), prot: u8, arg: u64, detail: u32, size: u64) {
            let row = Row { kind: Kind::ALL[kind].0, prot, arg, detail, size, ..Row::default() };
            if let Some(event) = row.event() {
                prop_assert_eq!(Row::from(&event).event(), Some(event));
            }
        }
    }

    #[test]
    fn numbers_are_positions() {
        assert!(Kind::ALL.iter().enumerate().all(|(i, (kind, _))| *kind as usize == i));
        assert!(BACKINGS.iter().enumerate().all(|(i, backing)| number_of_backing(*backing) == i as u64));
        assert!(CALLS.iter().enumerate().all(|(i, (call, kind))| *call as usize == i && *kind as usize == i));
    }

    #[test]
    fn calls_have_the_names_that_c_gives_them() {
        for (call, name) in Call::ALL {
            assert_eq!(Kind::ALL[kind_of(call) as usize].1, name);
        }
    }

    #[test]
    fn impossible_cells_are_no_event() {
        let row = Row { kind: Kind::Fault, prot: 7, ..Row::default() };
        assert_eq!(row.event(), None);
        assert_eq!(Row { kind: Kind::Mapped, arg: 6, ..Row::default() }.event(), None);
        assert_eq!(Row { kind: Kind::ThreadStart, arg: 1 << 32, ..Row::default() }.event(), None);
        assert_eq!(Row { kind: Kind::Configure, arg: 1 << 32, ..Row::default() }.event(), None);
    }
}
