//! Everything about the recorded process that stands in `/proc` and in ELF files: no eBPF, nothing is changed.
//!
//! - [`maps`]: the mappings of a process and what backs them; [`resident`]: what is in memory when recording begins;
//! - [`process`]: threads, program, command line, fault counters;
//! - [`elf`]: function symbols, code and identity of one file;
//! - [`emulate`]: what the kernel does with a probed instruction; [`probe`]: at which instruction a function is cheapest to probe, in code of
//!   [`x86_64`] or [`aarch64`];
//! - [`extra`]: symbols that are kept outside of a stripped file; [`lookup`]: functions by name, wherever they are told;
//! - [`family`]: the table of functions that hand out and take back memory; [`flow`]: what a function calls on every way through it;
//! - [`allocator`]: which of them a file defines and where each is probed; [`identity`]: whose allocator that is;
//! - [`index`]: the allocators of a process, each file examined once;
//! - [`mapped`], [`symbols`]: code that is mapped, and what its functions are called.
//!
//! What a process maps or a file contains was made by others: every reader here is total. Damage gives an error or nothing, never a panic.

pub mod aarch64;
pub mod allocator;
mod choice;
pub mod elf;
pub mod emulate;
pub mod extra;
pub mod family;
pub mod flow;
pub mod identity;
pub mod index;
pub mod lookup;
pub mod mapped;
pub mod maps;
pub mod probe;
pub mod process;
pub mod resident;
#[cfg(test)]
mod sample;
pub mod symbols;
pub mod x86_64;
