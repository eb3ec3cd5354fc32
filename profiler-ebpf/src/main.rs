//! The probes: what the kernel runs for heapcast. Maps and set-up here, one file per source of records.
//!
//! ```text
//!  malloc family   heap ──┐   (and stack: where its calls come from; copies: for older kernels)
//!  system calls    vm   ──┤
//!  page faults     fault ─┼── emit ── EVENTS (ring buffer), COUNTS
//!  resident set    rss  ──┤
//!  tasks           task ──┘
//! ```
//!
//! [`machine`] knows where each processor keeps what they read. A probe first asks [`task::recorded`]; everything a process that is not recorded pays is that look-up.
//! The user half sets the sizes of the maps and the globals when it loads the object; every name it needs is in the wire.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(unsafe_code, reason = "a map hands out raw pointers into memory that other processors write as well")]

mod copies;
mod emit;
mod fault;
mod heap;
mod machine;
mod preempt;
mod rss;
mod stack;
mod task;
mod vm;

use aya_ebpf::Global;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a reachable loop without end, so an object that loads cannot panic.
    loop {}
}

/// Read from the object by the user half, never by a probe.
#[used]
#[unsafe(no_mangle)]
static WIRE: Global<u32> = Global::new(profiler_ebpf::WIRE_VERSION);

/// The licence string that unlocks the kernel's GPL-only helpers (the kernel knows this one as compatible).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
