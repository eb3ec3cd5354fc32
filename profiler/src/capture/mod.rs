//! Recording: the kernel half loaded, attached and drained; bytes become [`Event`](crate::event::Event)s.
//!
//! ```text
//!  object ── load ──► attach ── tracepoints, heap probes ──► ring ──► session (drains) ──► decode ──► Sink
//!                        ▲                                               │
//!                        └───── answer ◄── stopped processes, ends ◄─────┘
//! ```
//!
//! - [`recording`]: what is recorded and how, and what is known at the end; [`session`]: one recording from beginning to end;
//! - [`permission`]: what this machine allows; [`features`]: what its kernel can do; [`object`], [`fields`], [`copies`]: the kernel half, fitted to it;
//! - [`launch`]: a program that starts when everything is ready; [`attach`], [`detach`]: the probes;
//! - [`decode`], [`tasks`], [`stacks`]: records into events, threads into address spaces, origins of calls into places in a tree; [`code`]: what lies there; [`facts`], [`notes`]: what is told beside the events;
//! - [`members`]: several processes and control groups; `windows`: calls of the malloc family for a while, again and again;
//! - [`size`]: how large the ring is; [`losses`]: when something did not fit; [`costs`]: what the probes cost;
//! - `answer`: processes that wait for their probes; [`stops`]: who stands still; [`guard`]: lets them go on should the recorder die; [`parents`]: those who saw them wait.
//!
//! # Stops
//!
//! A process that needs probes (a forked child, a new program, a new library) and, where nothing may be lost, one that fills the ring faster than it
//! is read stop themselves by SIGSTOP and say so in a record. The signal comes before the record is visible, and a stop without a place for its record
//! does not happen: the SIGCONT in answer never comes too early, and nobody waits unheard. A process that somebody else stops meanwhile is not
//! continued. What users can notice: `epoll_wait` in a stopped process returns early, a handler of SIGCONT runs, and its parent is told of a stopped child.
//!
//! Before each SIGCONT goes an event that says since when the process stood still ([`Paused`](crate::event::What::Paused)): the workload takes
//! that time off its clock. What stays in is the time that others wait for a stopped process, and the stops of a `vfork` child, which has no
//! stream of its own.
//!
//! # Memory
//!
//! Bounded by constants, except for some hundred bytes per process and for each call site or stack, and what is known of each file that holds an allocator:
//!
//! ```text
//! kernel  ring                                   see `size` (--ring)
//!         calls awaited, per thread id           (40 + 64 bytes) × at most 2^18 = 26 MiB
//!         stacks that were told, with --stacks    about 72 bytes × 2^17 = 9 MiB
//!         state per process id                   8 bytes × kernel.pid_max, at most 2^22 = 32 MiB
//! user    events on their way to the writer      72 bytes × 16 Ki × (16 queued + 1 filling + 1 being written) = 20 MiB
//! ```
//!
//! When the writer is slower than the program the queue fills, then the ring, and then records are lost and counted. Where nothing may be lost
//! (`--lossless`) the program waits instead:
//!
//! ```text
//! ring more than 3/4 full   calls of the malloc family wait in their probe for up to a millisecond, then the process stops
//!                  7/8      it stops also in system calls that are recorded and where its resident set changes: the way of the page faults,
//!                           in whose own probe the kernel cannot send a signal at once
//!              quite full   what may not be stopped (process 1; the last steps of a process; a kernel that refuses the signal) is lost and counted
//! ```
//!
//! The unsafe code of the program is here and in `target`: system calls that the standard library does not wrap.
#![allow(unsafe_code, reason = "fork, wait, kill, mount and the maps' plain-data promise have no safe wrapper")]

mod answer;
pub mod attach;
pub mod code;
pub mod copies;
pub mod costs;
pub mod decode;
pub mod detach;
pub mod facts;
pub mod features;
pub mod fields;
pub mod guard;
mod interrupts;
pub mod launch;
pub mod losses;
pub mod members;
pub mod notes;
pub mod object;
pub mod parents;
pub mod permission;
pub mod recording;
pub mod session;
pub mod size;
pub mod stacks;
pub mod stops;
pub mod tasks;
mod windows;

pub use object::Totals;
pub use recording::{Events, Limit, Limits, Options, Progress, Recorded, Sink, StoppedBy, Subject, Windows};
pub use session::{check, record};
