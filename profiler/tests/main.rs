//! The whole program, tested from outside: one binary, because linking is what costs most.
//!
//! - `targets`: the programs that are recorded keep their promises, counted without the recorder;
//! - `live`: recordings of these and of real programs, checked against what was promised, `strace`, and the kernel's own totals;
//! - `cli`: what a person or a script sees of the command line;
//! - `differential`: the models of glibc's malloc and of other allocators against the real ones, operation by operation;
//! - `measure`: the real libraries, driven by stored and by fresh recordings;
//! - `compare`: `diff` and `check`;
//! - `golden`: stored traces give the stored reports.

mod cli;
mod compare;
mod differential;
mod golden;
mod live;
mod measure;
mod programs;
mod support;
mod targets;
