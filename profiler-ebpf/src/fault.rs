//! Page faults: address, kind of access and on whose behalf.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use profiler_ebpf::{FAULT_BY_KERNEL, FAULT_EXEC, FAULT_PROTECTION, FAULT_WRITE, IN_HEAP, Kind, place};

use crate::{emit, heap, task};

/// Addresses from here on are the kernel's own.
const USER_END: u64 = 1 << 47;

/// A fault taken in user mode.
#[raw_tracepoint(tracepoint = "page_fault_user")]
fn page_fault_user(ctx: RawTracePointContext) {
    fault(&ctx, 0);
}

/// A fault taken in the kernel: recorded when it is on user memory (`read` into a fresh page).
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
fn page_fault_kernel(ctx: RawTracePointContext) {
    if ctx.arg::<u64>(0) < USER_END {
        fault(&ctx, FAULT_BY_KERNEL);
    }
}

/// Arguments of both tracepoints: address, registers, error code. The wire's flags are the processor's own bits.
#[inline(always)]
fn fault(ctx: &RawTracePointContext, mode: u16) {
    if !task::recorded() {
        return;
    }
    let access = ctx.arg::<u64>(2) as u16 & (FAULT_PROTECTION | FAULT_WRITE | FAULT_EXEC);
    let heap = if heap::in_call() { IN_HEAP } else { 0 };
    emit::short(Kind::Fault, place(ctx.arg(0), access | mode | heap), 0);
}
