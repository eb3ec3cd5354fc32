//! The same workload through a real allocator library: what a model says, tried.
//!
//! ```text
//! choice     SPEC → which library, with which variables in its environment
//! script     Op* ⇄ a file of records of one size, written while the trace is read
//! parent     starts the child with the library preloaded, waits, and says what went wrong
//! company    the libraries that come along with it, where the recorded program had others than the child
//! child      this very program, taken over before it begins: calls the library's functions and counts what the kernel does
//! answer     what the child tells: the kernel's counters along the script
//! outcome    these, with what the recording carries that is not malloc's → Outcome
//! ```
//!
//! # What is measured
//!
//! The child does what the script says, one operation after the other, in as many threads as the recording had at once. Its resident memory, its
//! minor faults and its memory system calls since the first operation are the library's doing and nothing else's; to these comes what the library
//! adds to a process before it is first called (its code and data, what its constructors map): the difference between two children at their
//! start, one with and one without it, corrected for what the recorded program had of the libraries that come along. To both comes what is not malloc's and is carried from the recording, as in a replay.
//!
//! The kernel's counters are `/proc/self/statm` and `getrusage`. The first is exact from Linux 6.17 on; before, it may lag by some 64 pages for
//! each CPU or thread. They are read around every system call that can give memory back, so that no peak is missed, and every so many operations,
//! for the curve.
//!
//! # What is not
//!
//! - The system calls that load the library and set it up; those of threads that the library starts by itself make the counts unknown.
//! - What of libc a library uses beyond what the program has used (some 100 KiB of file pages): all of libc is taken as there.
//! - A library meets other neighbours than in the recorded program: its break and its mappings begin elsewhere.
//! - libc allocates about 300 bytes for each thread that is started. The recording has these of the recorded program; the child's own come on top.
#![allow(unsafe_code, reason = "calls of the allocator under test, its memory, and the kernel's counters have no safe wrapper")]

mod answer;
mod child;
pub mod choice;
mod company;
mod elf;
mod outcome;
mod parent;
pub mod script;

pub use choice::{Choice, preloaded};
pub use parent::{Bench, Pace};
