//! The model of glibc's malloc against the malloc of this machine: addresses, sizes, system calls, faults and pages, operation by operation.
//! [`libraries`], [`musl`]: the same for other allocators.
//!
//! `driver.c` runs a script under the real allocator and writes down every system call with its answer. The model is then played the same
//! script, and what it asks of the system is answered with what the real kernel answered; so addresses are equal, not only comparable.

mod agree;
mod agreement;
#[path = "../../src/model/glibc/vectors/examples.rs"]
mod examples;
mod libraries;
mod musl;
#[path = "../../src/model/glibc/vectors/observed.rs"]
mod observed;
#[path = "../../src/model/glibc/vectors/play.rs"]
mod play;
#[path = "../../src/model/workloads/profiles.rs"]
mod profiles;
mod real;
mod replayed;
#[path = "../../src/model/workloads/script.rs"]
mod script;
mod shrink;
#[path = "../../src/model/glibc/vectors/tables.rs"]
mod tables;
mod truth;
mod versions;
mod witness;
mod workload;
