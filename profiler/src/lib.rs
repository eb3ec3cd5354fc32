//! heapcast: what your program's heap does now, and what it would do under another allocator.
//!
//! This is the map: what stands where, and where a change goes.
//!
//! # The line
//!
//! Data moves from left to right through stages. A stage is a folder; it imports what stands to its left only as [`event`]s and other shared
//! words, and only [`cli`] sees all stages and joins them.
//!
//! ```text
//!  kernel              profiler-ebpf    fixed-size records in a ring buffer; every lost one counted
//!    │
//!  capture::decode     bytes → Event             total: every byte string gives events or a counted reject
//!  trace::Writer       Event* → trace            columnar batches and a manifest (versions, host, losses)
//!  trace::Reader       trace → Event*            live and stored events are the same type
//!    │
//!  workload            Event* → Op*              addresses become object ids; requests and touches are kept,
//!    │                                           the allocator's own system calls set aside: they are what is replaced
//!  replay              Op* × Policy → Outcome
//!    ├─ model          decides where a block lives and what to ask of the system
//!    ├─ vm             the page model: mappings, residency, huge pages, faults   (behind the port Os)
//!    └─ metrics        reads both, keeps samples and exact peaks
//!    │
//!  measure             Op* × a real library, in a child process → Outcome
//!    │
//!  cli::study          Outcome* and the recording's facts → reports::study::Study → tables, CSV, HTML, JSON
//! ```
//!
//! Inside a replay calls go one way: [engine](replay::engine) → [model](model::AllocatorModel) → [`Os`](vm::os::Os) →
//! [address space](vm::AddressSpace); the address space never calls back. A replay streams: its memory grows with the live objects and the
//! mapped pages, not with the length of the trace. Addresses stop at the door of [`workload`]: a model cannot peek at where the real
//! allocator put things, so that agreement means something. So do the pauses that [`capture`] made: the time of operations is the process's own.
//!
//! # The rooms
//!
//! | room | job | may also import | crates |
//! |------|-----|-----------------|--------|
//! | [`units`] | bytes, pages, addresses, nanoseconds as types | | |
//! | [`error`] | kinds of failure, exit codes | | |
//! | [`event`] | what a recording is made of | `units` | |
//! | [`extents`] | a set of free ranges, searched by size | `units` | |
//! | [`vm`] | the page model, and the port [`vm::os`] that models see of it | the above | |
//! | [`model`] | allocator models; they do not see each other | the above, of `vm` the port | |
//! | [`workload`] | events to operations | the above, `vm` | |
//! | [`metrics`] | measures in bounded memory | the above, `vm`, `model` | |
//! | [`replay`] | policies, the engine, the outcome of the recording itself | all of the above | |
//! | [`target`] | a process as `/proc` and ELF files show it | `units`, `error`, `event` | `object`, `iced-x86`, `libc` |
//! | [`capture`] | the recorder | the same, `target` | `aya`, `tokio`, `libc` |
//! | [`trace`] | a recording on disk | `units`, `error`, `event` | `polars-arrow`, `serde` |
//! | [`measure`] | a workload through a real allocator library, in a child process | `units`, `error`, `event`, `workload`, `vm`, `model`, `metrics`, `replay` | `libc` |
//! | [`cli`] | one file per subcommand | everything | `clap`, `indicatif`, `reports` |
//!
//! Down to [`replay`] the rooms are *quiet*: std only, no I/O, clock, threads or random state; the same input gives the same output
//! everywhere, and with any number of threads. The others are *noisy*. Crates have their room and no other; `cargo xtask tidy` enforces all
//! of this, and the table it reads (`xtask/src/tidy/imports.rs`) is the one that counts.
//!
//! Beside this crate stand `profiler-ebpf` (its library is the wire between kernel and recorder, its program the kernel half), `reports`
//! (the study as data, and everything that shows it) and `xtask` (the project's own tools).
//!
//! # Where a change goes
//!
//! - *An allocator:* a file or folder in [`model`] that exports a [`ModelSpec`](model::ModelSpec), and a line in
//!   [`REGISTRY`](model::REGISTRY). Names, tunables, help and parsing follow from it; the conformance tests run over it by themselves.
//! - *Recognising an allocator in a process:* [`target::identity`]; a function of the malloc family: [`target::allocator`].
//! - *A policy's syntax:* [`replay::policy`]; *what a recording makes of the policies:* [`replay::ran`]; *the comparison with it:*
//!   [`replay::placements`] block by block, [`replay::fidelity`] metric by metric. *A huge-page rule:* [`vm::thp`]. *A rule of the kernel:* [`vm::space`], [`vm::kernel`].
//! - *What counts as the program's and what as the allocator's:* [`workload`]; *which page a touch belongs to:* its `touch`.
//! - *A metric:* read it in [`metrics::Meter`], carry it in [`replay::Outcome`] and `cli/study.rs`, give it a field in `reports::study` and
//!   one column in `reports/src/tables.rs`; every table, file and page is derived from that column.
//! - *A library that `measure` finds by name:* [`measure::choice`].
//! - *A table of the report:* `reports/src/tables.rs`.
//! - *A kind of record:* `Kind` in `profiler-ebpf`, its probe there, its meaning in [`capture::decode`], a variant of
//!   [`What`](event::What), a row in `trace/format.rs` (new kinds go to the end), and its part in [`workload`]. `cargo xtask ebpf` rebuilds
//!   the object; a changed layout is a new `WIRE_VERSION`.
//! - *A subcommand or an option:* [`cli`]; *an exit code:* [`error::Kind`].
//! - *Who is stopped, probed and continued when:* [`capture`], whose docs also say what the recorder costs in memory.

// The vectors of a model are shared with the tests outside, which know this crate by its name.
#[cfg(test)]
extern crate self as profiler;

pub mod capture;
pub mod cli;
pub mod error;
pub mod event;
pub mod extents;
pub mod measure;
pub mod metrics;
pub mod model;
pub mod replay;
pub mod target;
pub mod trace;
pub mod units;
pub mod vm;
pub mod workload;
