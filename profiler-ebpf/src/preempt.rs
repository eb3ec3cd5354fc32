//! Heap programs can be preempted, as long as their stack is their thread's.
//!
//! From Linux 6.13 on, a program with 64 bytes of stack and more gets a stack per processor instead. Where the kernel may preempt a probe (the default
//! of newer ones), the next thread on that processor then writes over it, and calls go to the slots of other threads: some in ten thousand. A program
//! that contains a tail call is left its thread's stack, even if the call is never made.

use aya_ebpf::{EbpfContext, Global, macros::map, maps::ProgramArray};

/// Always zero: the verifier removes what depends on it.
#[unsafe(no_mangle)]
static NEVER: Global<u32> = Global::new(0);

#[map]
static NOWHERE: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// To be part of every program that can be preempted.
#[inline(always)]
pub(crate) fn keep_stack<C: EbpfContext>(ctx: &C) {
    if NEVER.load() != 0 {
        unsafe { NOWHERE.tail_call(ctx, 0) };
    }
}
