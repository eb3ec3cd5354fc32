//! The wire: what the kernel half tells the user half, byte for byte.
//!
//! Everything goes through one ring buffer, in native byte order. A record has three words, or more where three do not suffice
//! ([`Kind::words`] says how many):
//!
//! ```text
//!          63                56 55                                        8 7        0
//! word 0  |              monotonic time, ns (56 bits)                      |  kind    |
//!          63        48 47                                                          0
//! word 1  |   flags    |                 address (48 bits)                           |
//!          63                                             22 21                     0
//! word 2  |               size (42 bits)                     |  thread id (22 bits)  |
//! word 3  |               \                                                          |
//! word 4  |                } per kind, see `Kind`                                    |
//! word 5  |               /                                                          |
//! ```
//!
//! The position in the ring is the order of events; times of two threads may be inverted by a microsecond.
//! An *origin* says where a block was asked for: the return address of the call, or, with the highest bit set, the hash of the stack that a
//! record of [`Kind::Stack`] gave before; 0 where it could not be read.
//!
//! This library is `no_std`, has no dependency and is tested on the host.
#![no_std]

/// Version of this format; the user half refuses an object that was built for another one.
pub const WIRE_VERSION: u32 = 3;

/// Bytes of one word.
pub const WORD_BYTES: usize = 8;

/// Largest size a record can carry (bytes); larger requests are recorded as this one.
pub const SIZE_LIMIT: u64 = (1 << 42) - 1;

/// Lowest address that is not a user address in a record (48 bits).
pub const ADDRESS_LIMIT: u64 = 1 << 48;

/// Bits of a thread id: the kernel gives none above.
pub const TID_BITS: u32 = 22;

/// Numbers of windows begin again behind this one: what is left of 32 bits beside a thread id.
pub const LAST_WINDOW: u32 = (1 << (32 - TID_BITS)) - 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $label:literal, $words:expr;)*) => {
        /// What a record tells. Words not named are zero.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $value,)* }

        impl Kind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The kind with this number.
            pub const fn from_u8(value: u8) -> Option<Kind> {
                match value { $($value => Some(Kind::$name),)* _ => None }
            }

            /// The name used in traces, reports and loss counters.
            pub const fn label(self) -> &'static str {
                match self { $(Kind::$name => $label,)* }
            }

            /// Length of the record in words of eight bytes.
            pub const fn words(self) -> usize {
                match self { $(Kind::$name => $words,)* }
            }
        }
    };
}

kinds! {
    /// `malloc` returned: word 1 address (0 when it failed), word 2 requested size, word 3 the origin.
    Malloc = 1, "malloc", 4;
    /// `calloc` returned: as `malloc`, size = count × element size, saturating.
    Calloc = 2, "calloc", 4;
    /// `realloc` returned: as `malloc`; word 3 the old address, word 4 the origin.
    Realloc = 3, "realloc", 6;
    /// `memalign` returned: as `malloc`; flags see [`align_flags`].
    Memalign = 4, "memalign", 4;
    /// `aligned_alloc` returned: as `memalign`.
    AlignedAlloc = 5, "aligned_alloc", 4;
    /// `posix_memalign` returned: as `memalign`; the address is the one stored through its first argument.
    PosixMemalign = 6, "posix_memalign", 4;
    /// `valloc` returned: as `malloc`.
    Valloc = 7, "valloc", 4;
    /// `pvalloc` returned: as `malloc`.
    Pvalloc = 8, "pvalloc", 4;
    /// `free` was entered: word 1 address.
    Free = 9, "free", 3;
    /// `malloc_trim` returned: word 2 size = the pad.
    Trim = 10, "malloc_trim", 3;
    /// `mallopt` returned: word 1 the parameter, word 2 size = the value, both as 32 bits.
    Mallopt = 11, "mallopt", 3;
    /// A stack is met for the first time: word 1 its origin, word 2 size = its frames, from word 3 on return addresses, innermost first. Words
    /// behind the last frame hold anything.
    Stack = 12, "stack", 3 + MAX_FRAMES;
    /// `brk` returned: word 3 the break that was asked for, word 4 the break that is.
    Brk = 16, "brk", 6;
    /// `mmap` returned: word 1 flags [`IN_HEAP`] and address hint, word 2 size = [`mmap_bits`], word 3 result or -errno, word 4 length,
    /// word 5 file offset in bytes.
    Mmap = 17, "mmap", 6;
    /// `munmap` returned: word 1 address, word 3 result or -errno, word 4 length, word 5 time of entry, ns.
    Munmap = 18, "munmap", 6;
    /// `mremap` returned: word 1 old address, word 2 size = flags, word 3 result or -errno, word 4 old length, word 5 new length.
    Mremap = 19, "mremap", 6;
    /// `madvise` returned: word 1 address, word 2 size = advice, word 3 result or -errno, word 4 length.
    Madvise = 20, "madvise", 6;
    /// `mprotect` returned: word 1 address, word 2 size = protection, word 3 result or -errno, word 4 length.
    Mprotect = 21, "mprotect", 6;
    /// `mlock` or `mlock2` returned: word 1 address, word 2 size = flags (`MLOCK_*`), word 3 result or -errno, word 4 length.
    Mlock = 22, "mlock", 6;
    /// `munlock` returned: word 1 address, word 3 result or -errno, word 4 length.
    Munlock = 23, "munlock", 6;
    /// `mlockall` returned, or `munlockall`, which is one without flags: word 2 size = flags (`MCL_*`), word 3 result or -errno.
    Mlockall = 24, "mlockall", 6;
    /// A page fault on a user address: word 1 address and flags [`FAULT_WRITE`]….
    Fault = 32, "fault", 3;
    /// Resident set of a process after a change: word 1 anonymous pages << 32 | file pages,
    /// word 2 size = shared-memory pages, thread id = process id.
    Rss = 33, "rss", 3;
    /// Swapped out pages of a process after a change: word 2 size = their number, thread id = process id.
    Swap = 34, "swap", 3;
    /// A thread or process was made by the thread of word 2: word 1 the new thread id, word 2 size = clone flags (lower 32 bits).
    Clone = 48, "clone", 3;
    /// The thread replaced its program (`execve`): word 1 the thread id it had before, word 2 size = process id.
    Exec = 49, "exec", 3;
    /// A thread ended: word 1 the process id.
    Exit = 50, "exit", 3;
    /// The process of word 2 stopped itself and waits to be continued: word 1 the process id, flags = [`Stop`].
    Stopped = 51, "stopped", 3;
    /// A thread was called so until now (it has another name or ends): word 1 its id, words 3 and 4 the name, padded with zeros.
    Name = 52, "name", 6;
}

/// Most frames of a stack, a power of two.
pub const MAX_FRAMES: usize = 128;

/// The bit that tells the hash of a stack from an address.
pub const STACK_BIT: u64 = 1 << 63;

/// One more return address into the hash of a stack, which begins with 0.
pub const fn mix(hash: u64, address: u64) -> u64 {
    let product = (hash ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 29
}

/// The origin of a stack with this hash.
pub const fn stack_origin(hash: u64) -> u64 {
    hash | STACK_BIT
}

/// One more than the largest number of a kind: the length of the counter tables.
pub const KIND_SLOTS: usize = 64;

/// Flag: the thread was inside a call of the malloc family (vm and fault records).
pub const IN_HEAP: u16 = 1 << 15;
/// Fault flag: the page was present, the access was not allowed (write to a shared or zero page).
pub const FAULT_PROTECTION: u16 = 1 << 0;
/// Fault flag: a write.
pub const FAULT_WRITE: u16 = 1 << 1;
/// Fault flag: an instruction fetch.
pub const FAULT_EXEC: u16 = 1 << 4;
/// Fault flag: taken by the kernel on behalf of the process (`read` into a fresh page).
pub const FAULT_BY_KERNEL: u16 = 1 << 8;
/// Alignment flag: the requested alignment was not a power of two (the logarithm is rounded up).
pub const ALIGN_ODD: u16 = 1 << 6;

/// Flags of an aligned allocation: bits 0–5 the base-2 logarithm of the alignment, rounded up; [`ALIGN_ODD`].
pub const fn align_flags(align: u64) -> u16 {
    if align <= 1 {
        return 0;
    }
    let log2 = 64 - (align - 1).leading_zeros();
    let log2 = if log2 > 63 { 63 } else { log2 as u16 };
    if align.is_power_of_two() { log2 } else { log2 | ALIGN_ODD }
}

/// Word 2's size field of an `mmap` record: bits 0–31 flags, 32–35 protection, 36 backed by a file descriptor.
pub const fn mmap_bits(flags: u64, prot: u64, file: bool) -> u64 {
    (flags & 0xffff_ffff) | (prot & 0xf) << 32 | (file as u64) << 36
}

/// Base-2 logarithm of the page size the records count in, whatever the machine's own is.
pub const PAGE_SHIFT: u32 = 12;

/// Word 1 of an `rss` record, from bytes: whole anonymous and file pages.
pub const fn rss_place(anon: i64, file: i64) -> u64 {
    ((anon as u64) >> PAGE_SHIFT) << 32 | ((file as u64) >> PAGE_SHIFT) & 0xffff_ffff
}

/// Size of an array of `count` elements; a product beyond [`SIZE_LIMIT`] is the limit, which is how a record shows it.
pub const fn array_size(count: u64, element: u64) -> u64 {
    if count != 0 && element > SIZE_LIMIT / count { SIZE_LIMIT } else { count * element }
}

/// Why a process stopped itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Stop {
    /// A forked child before its first instruction: its probes are missing.
    Child = 1,
    /// A new program before its first instruction.
    Exec = 2,
    /// Executable memory was mapped from a file: it may bring an allocator.
    Mapping = 3,
    /// The ring is nearly full: continue it when this record has been read, for then so has all before it.
    Full = 4,
}

impl Stop {
    /// The reason with this number.
    pub const fn from_u16(value: u16) -> Option<Stop> {
        match value {
            1 => Some(Stop::Child),
            2 => Some(Stop::Exec),
            3 => Some(Stop::Mapping),
            4 => Some(Stop::Full),
            _ => None,
        }
    }
}

impl Stop {
    /// Its bit in the global `STOP`.
    pub const fn bit(self) -> u32 {
        1 << self as u16
    }
}

/// State of a process in the map `TARGETS`, indexed by process id.
pub mod target {
    /// Not recorded.
    pub const NONE: u32 = 0;
    /// Recorded.
    pub const RECORDED: u32 = 1;
    /// Recorded; stops itself at its first return from a system call, then [`RECORDED`].
    pub const NEWBORN: u32 = 2;
    /// Recorded and never stopped: the recorder itself, while it measures what its probes cost.
    pub const MEASURED: u32 = 3;
}

/// Resident bytes of one process (value of the map `SEEDS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Resident {
    /// Anonymous memory.
    pub anon: i64,
    /// File-backed memory.
    pub file: i64,
    /// Shared memory.
    pub shmem: i64,
}

/// Word 0.
pub const fn head(kind: Kind, time_ns: u64) -> u64 {
    time_ns << 8 | kind as u64
}

/// Word 1; the address is cut to 48 bits.
pub const fn place(address: u64, flags: u16) -> u64 {
    (address & (ADDRESS_LIMIT - 1)) | (flags as u64) << 48
}

/// Word 2; a size beyond [`SIZE_LIMIT`] is stored as the limit.
pub const fn extent(size: u64, tid: u32) -> u64 {
    let size = if size > SIZE_LIMIT { SIZE_LIMIT } else { size };
    size << TID_BITS | (tid as u64 & ((1 << TID_BITS) - 1))
}

/// Kind number of word 0.
pub const fn kind_of(word0: u64) -> u8 {
    word0 as u8
}

/// Time of word 0, nanoseconds of the monotonic clock.
pub const fn time_of(word0: u64) -> u64 {
    word0 >> 8
}

/// Address of word 1.
pub const fn address_of(word1: u64) -> u64 {
    word1 & (ADDRESS_LIMIT - 1)
}

/// Flags of word 1.
pub const fn flags_of(word1: u64) -> u16 {
    (word1 >> 48) as u16
}

/// Size of word 2.
pub const fn size_of(word2: u64) -> u64 {
    word2 >> TID_BITS
}

/// Thread id of word 2.
pub const fn tid_of(word2: u64) -> u32 {
    (word2 & ((1 << TID_BITS) - 1)) as u32
}

/// What an attach cookie tells the heap probes: which call it is and which register holds which argument at the probed instruction.
///
/// ```text
///  63   48 47  40 39   32 31     24 23   16 15    8 7     0
/// | unused | form | align | pointer | count | size | kind |      argument = register number + 1, 0 = none
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie(pub u64);

/// How the arguments of a call are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Form {
    /// As they are.
    Plain = 0,
    /// In place of an alignment the flags of jemalloc's `mallocx`: bits 0–5 its base-2 logarithm, bit 6 asks for zeroed memory.
    Flags = 1,
    /// A layout of Rust: an alignment that every block has asks for nothing.
    Layout = 2,
    /// jemalloc's `xallocx`: a `realloc` in place that returns the size the block has afterwards.
    InPlace = 3,
}

/// The arguments that a record is made of, as positions in a [`Cookie`].
pub mod slot {
    /// Bytes; `mallopt`: the value.
    pub const SIZE: usize = 0;
    /// How many times as many.
    pub const COUNT: usize = 1;
    /// The block that is freed or resized; `posix_memalign`: where the result is stored; `mallopt`: the parameter.
    pub const POINTER: usize = 2;
    /// Alignment, or what the [`Form`](super::Form) has in its place.
    pub const ALIGN: usize = 3;
    /// Their number.
    pub const SLOTS: usize = 4;
}

impl Cookie {
    /// A cookie for `kind` whose arguments are in these registers (the machine's own numbers: rax 0 … r15 15, x0 0 … x30 30), by [`slot`].
    pub const fn new(kind: Kind, form: Form, registers: [Option<u8>; slot::SLOTS]) -> Cookie {
        let mut bits = kind as u64 | (form as u64) << 40;
        let mut i = 0;
        while i < slot::SLOTS {
            if let Some(register) = registers[i] {
                bits |= (register as u64 + 1) << (8 + 8 * i);
            }
            i += 1;
        }
        Cookie(bits)
    }

    /// Number of the kind.
    pub const fn kind(self) -> u8 {
        self.0 as u8
    }

    /// How the arguments are meant.
    pub const fn form(self) -> Form {
        match (self.0 >> 40) as u8 {
            1 => Form::Flags,
            2 => Form::Layout,
            3 => Form::InPlace,
            _ => Form::Plain,
        }
    }

    /// Register of an argument, if it has one.
    pub const fn register(self, slot: usize) -> Option<u8> {
        match (self.0 >> (8 + 8 * slot)) as u8 {
            0 => None,
            n => Some(n - 1),
        }
    }
}

/// Alignment, in bytes, of every block that `malloc` returns.
const MALLOC_ALIGN: u64 = 16;

/// What is asked for by a call of `kind` with this argument for the alignment: the kind of its record, and the alignment.
pub const fn request(kind: Kind, form: Form, argument: u64) -> (Kind, u64) {
    match form {
        Form::Flags if argument & 63 != 0 => (Kind::AlignedAlloc, 1 << (argument & 63)),
        Form::Flags if argument & 64 != 0 => (Kind::Calloc, 0),
        Form::Flags => (kind, 0),
        Form::Layout if argument > MALLOC_ALIGN => (Kind::AlignedAlloc, argument),
        Form::Layout => (kind, 0),
        _ => (kind, argument),
    }
}

/// Counters of one CPU (map `COUNTS`): what the probes did, per kind.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Counts {
    /// Records put into the ring.
    pub made: [u64; KIND_SLOTS],
    /// Records that found the ring full: lost.
    pub lost: [u64; KIND_SLOTS],
    /// Calls inside another call of the malloc family, not recorded on purpose.
    pub nested: u64,
    /// Returns whose entry was not seen or was overwritten: lost calls.
    pub unpaired: u64,
    /// Calls that waited because the ring was crowded.
    pub waits: u64,
    /// How long they did, ns.
    pub waited_ns: u64,
}

mod names;
pub use names::*;

#[cfg(test)]
mod tests;
