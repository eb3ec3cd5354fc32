//! What the object contains, by name: programs and where they belong, maps, globals. The user half loads by these tables.

/// A program and the tracepoint it is attached to. The program has the tracepoint's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    /// Folder in the tracing file system.
    pub category: &'static str,
    /// Name of the tracepoint and of the program.
    pub name: &'static str,
    /// Without it there is no recording; others are missing on some machines, and then so is what they tell.
    pub required: bool,
}

const fn required(category: &'static str, name: &'static str) -> Tracepoint {
    Tracepoint { category, name, required: true }
}

const fn optional(category: &'static str, name: &'static str) -> Tracepoint {
    Tracepoint { category, name, required: false }
}

/// Every tracepoint program. Those of [`BIRTHS`] matter only when children are stopped.
pub const TRACEPOINTS: &[Tracepoint] = &[
    required("syscalls", "sys_enter_brk"),
    required("syscalls", "sys_exit_brk"),
    required("syscalls", "sys_enter_mmap"),
    required("syscalls", "sys_exit_mmap"),
    required("syscalls", "sys_enter_munmap"),
    required("syscalls", "sys_exit_munmap"),
    required("syscalls", "sys_enter_mremap"),
    required("syscalls", "sys_exit_mremap"),
    required("syscalls", "sys_enter_madvise"),
    required("syscalls", "sys_exit_madvise"),
    required("syscalls", "sys_enter_mprotect"),
    required("syscalls", "sys_exit_mprotect"),
    optional("syscalls", "sys_enter_mlock"),
    optional("syscalls", "sys_exit_mlock"),
    optional("syscalls", "sys_enter_mlock2"),
    optional("syscalls", "sys_exit_mlock2"),
    optional("syscalls", "sys_enter_munlock"),
    optional("syscalls", "sys_exit_munlock"),
    optional("syscalls", "sys_enter_mlockall"),
    optional("syscalls", "sys_exit_mlockall"),
    optional("syscalls", "sys_enter_munlockall"),
    optional("syscalls", "sys_exit_munlockall"),
    optional("kmem", "rss_stat"),
    optional("task", "task_rename"),
    required("task", "task_newtask"),
    required("sched", "sched_process_exec"),
    required("sched", "sched_process_exit"),
    required("syscalls", "sys_exit_clone"),
    optional("syscalls", "sys_exit_clone3"),
    optional("syscalls", "sys_exit_fork"),
    optional("syscalls", "sys_exit_vfork"),
];

/// The tracepoints that stop a newborn child: each returns twice, in the parent and in the child.
pub const BIRTHS: [&str; 4] = ["sys_exit_clone", "sys_exit_clone3", "sys_exit_fork", "sys_exit_vfork"];

/// Every raw tracepoint program; the program has the tracepoint's name. They exist on x86 only.
pub const RAW_TRACEPOINTS: &[&str] = &["page_fault_user", "page_fault_kernel"];

/// Program at the entry of every function of the malloc family but `free`; needs a [`crate::Cookie`].
pub const HEAP_ENTER: &str = "heap_enter";
/// Program at the return of every function of the malloc family but `free`; needs no cookie.
pub const HEAP_RETURN: &str = "heap_return";
/// Program at the entry of `free`; needs a [`crate::Cookie`].
pub const HEAP_FREE: &str = "heap_free";

/// Copies of [`HEAP_ENTER`] for kernels before 5.17: `heap_enter_0` and so on. Each serves one cookie, which stands in [`COOKIES`] at its number.
pub const HEAP_ENTER_COPIES: core::ops::Range<u32> = 0..24;
/// Copies of [`HEAP_FREE`], likewise: `heap_free_0` and so on, the cookie of the first being number 24 of [`COOKIES`].
pub const HEAP_FREE_COPIES: core::ops::Range<u32> = 24..COPIES;
/// All copies.
pub const COPIES: u32 = 32;
/// Map: the cookie (`u64`) of each copy.
pub const COOKIES: &str = "COOKIES";

/// Map: the ring buffer. Its `max_entries` is its size in bytes, a power of two times the page size.
pub const EVENTS: &str = "EVENTS";
/// Map: one [`crate::Counts`] per processor.
pub const COUNTS: &str = "COUNTS";
/// Map: a [`crate::target`] state per process id; `max_entries` is the limit of process ids.
pub const TARGETS: &str = "TARGETS";
/// Map: the call of the malloc family that each thread is inside of; `max_entries` as the global [`THREAD_SLOTS`].
pub const PENDING: &str = "PENDING";
/// Map: the system call that each thread is inside of; `max_entries` as the global [`THREAD_SLOTS`].
pub const CALLS: &str = "CALLS";
/// Map: [`crate::Resident`] by process id, what a process holds when it is attached to (set it together with `TARGETS`).
pub const SEEDS: &str = "SEEDS";

/// Map: one `u32`, the number of the window in which calls of the malloc family are recorded; 0: none is open, calls are passed over.
pub const WINDOW: &str = "WINDOW";

/// Map: how often each process stopped itself (`u64` by process id).
pub const STOPS: &str = "STOPS";

/// Map: the hashes of the stacks that were told; `max_entries` bounds how many different ones are.
pub const SEEN: &str = "SEEN";

/// Global, `u32`: the [`crate::WIRE_VERSION`] the object was built for.
pub const WIRE: &str = "WIRE";
/// Global, `u32`: zero, which nobody changes.
pub const NEVER: &str = "NEVER";
/// Global, `u32`: the [`machine`] whose registers the heap programs read. Default [`machine::X86_64`].
pub const MACHINE: &str = "MACHINE";
/// Global, `u32`: for what processes stop themselves, the bits of [`crate::Stop`]. Default 0: for nothing.
pub const STOP: &str = "STOP";
/// Global, `u64`: bytes of change in the resident set that make a record. Default [`DEFAULT_RSS_STEP`].
pub const RSS_STEP: &str = "RSS_STEP";
/// Global, `u64`: a call of the malloc family waits while more bytes than this are in the ring; after that the process stops itself
/// ([`crate::Stop::Full`]), and where it cannot be stopped records are lost. Default 0: no waiting.
pub const WAIT_ABOVE: &str = "WAIT_ABOVE";
/// Global, `u64`: with more bytes than this in the ring, a process stops itself also at system calls and where its resident set changes.
/// Default 0: no such stops.
pub const STOP_ABOVE: &str = "STOP_ABOVE";
/// Global, `u32`: most turns of about 20 ns of that waiting. Default 0. The copies do not wait.
pub const SPIN_ROUNDS: &str = "SPIN_ROUNDS";
/// Global, `u32`: entries of the maps `PENDING` and `CALLS`. Default [`DEFAULT_THREAD_SLOTS`].
pub const THREAD_SLOTS: &str = "THREAD_SLOTS";

/// Global, `u64`: id of the control group (version 2) of which processes are recorded from their next program on; 0 = none. Default 0.
pub const CGROUP: &str = "CGROUP";

/// Global, `u32`: most frames of the stack that is recorded with each block, up to [`crate::MAX_FRAMES`]; 0 = its immediate caller only. Default 0.
pub const STACKS: &str = "STACKS";

/// The machines that the object serves, as values of the global [`MACHINE`].
pub mod machine {
    /// x86-64.
    pub const X86_64: u32 = 0;
    /// arm64.
    pub const AARCH64: u32 = 1;
}

/// Default size of the map `SEEN`: as good as none, for recordings without stacks.
pub const DEFAULT_STACKS_SEEN: u32 = 1;
/// Default of the global `RSS_STEP`, bytes.
pub const DEFAULT_RSS_STEP: u64 = 16384;
/// Default of the global `THREAD_SLOTS` and of the maps' sizes.
pub const DEFAULT_THREAD_SLOTS: u32 = 32768;
/// Default size of the map `TARGETS`.
pub const DEFAULT_PID_LIMIT: u32 = 32768;

/// A global (`u32`) that holds the byte offset of a tracepoint's field. Offsets are not promised by the kernel:
/// the user half reads the tracepoint's `format` and overrides the default where it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the global.
    pub global: &'static str,
    /// Folder of the tracepoint.
    pub category: &'static str,
    /// Name of the tracepoint.
    pub tracepoint: &'static str,
    /// Name of the field in its `format`.
    pub field: &'static str,
    /// Offset the object assumes unless told otherwise, bytes.
    pub default: u32,
}

macro_rules! fields {
    ($($global:ident = $category:literal, $tracepoint:literal, $field:literal, $default:literal;)*) => {
        /// Every field that the programs read. System calls share one layout, so one of each stands for all.
        pub const FIELDS: &[Field] = &[$(Field {
            global: stringify!($global),
            category: $category,
            tracepoint: $tracepoint,
            field: $field,
            default: $default,
        },)*];

        /// Default offset of each field, bytes.
        pub mod offset {
            $(#[doc = concat!("`", $category, ":", $tracepoint, "`, field `", $field, "`.")]
            pub const $global: u32 = $default;)*
        }
    };
}

fields! {
    SYS_ENTER_ARGS = "syscalls", "sys_enter_mmap", "addr", 16;
    SYS_EXIT_RET = "syscalls", "sys_exit_mmap", "ret", 16;
    NEWTASK_PID = "task", "task_newtask", "pid", 8;
    NEWTASK_FLAGS = "task", "task_newtask", "clone_flags", 32;
    RENAME_PID = "task", "task_rename", "pid", 8;
    RENAME_OLD = "task", "task_rename", "oldcomm", 12;
    EXEC_OLD_PID = "sched", "sched_process_exec", "old_pid", 16;
    RSS_MM_ID = "kmem", "rss_stat", "mm_id", 8;
    RSS_CURR = "kmem", "rss_stat", "curr", 12;
    RSS_MEMBER = "kmem", "rss_stat", "member", 16;
    RSS_SIZE = "kmem", "rss_stat", "size", 24;
}
