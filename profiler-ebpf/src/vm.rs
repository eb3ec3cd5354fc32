//! The system calls that change an address space. Arguments are kept at the entry, the record is made at the exit,
//! when the result is known.

use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_ns,
    macros::{map, tracepoint},
    maps::Array,
    programs::TracePointContext,
};
use profiler_ebpf::{DEFAULT_THREAD_SLOTS, IN_HEAP, Kind, Stop, mmap_bits, offset, place};

use crate::{emit, heap, task};

#[unsafe(no_mangle)]
static SYS_ENTER_ARGS: Global<u32> = Global::new(offset::SYS_ENTER_ARGS);

const PROT_EXEC: u64 = 4;
const MAP_ANONYMOUS: u64 = 0x20;
/// Results from here on are negative error numbers.
const FIRST_ERROR: u64 = -4095i64 as u64;

/// A system call that a thread is inside of.
#[repr(C)]
struct Call {
    tid: u32,
    kind: u32,
    entered_ns: u64,
    args: [u64; 6],
}

#[map]
static CALLS: Array<Call> = Array::with_max_entries(DEFAULT_THREAD_SLOTS, 0);

macro_rules! syscalls {
    ($($kind:ident: $enter:ident, $exit:ident;)*) => {$(
        #[tracepoint]
        fn $enter(ctx: TracePointContext) {
            enter(&ctx, Kind::$kind);
        }

        #[tracepoint]
        fn $exit(ctx: TracePointContext) {
            exit(&ctx, Kind::$kind);
        }
    )*};
}

syscalls! {
    Brk: sys_enter_brk, sys_exit_brk;
    Mmap: sys_enter_mmap, sys_exit_mmap;
    Munmap: sys_enter_munmap, sys_exit_munmap;
    Mremap: sys_enter_mremap, sys_exit_mremap;
    Madvise: sys_enter_madvise, sys_exit_madvise;
    Mprotect: sys_enter_mprotect, sys_exit_mprotect;
    Mlock: sys_enter_mlock2, sys_exit_mlock2;
    Munlock: sys_enter_munlock, sys_exit_munlock;
    Mlockall: sys_enter_mlockall, sys_exit_mlockall;
}

// These two have fewer arguments than what they are recorded as: what stands behind them is not theirs.

#[tracepoint]
fn sys_enter_mlock(ctx: TracePointContext) {
    enter_with(&ctx, Kind::Mlock, |args| args[2] = 0);
}

#[tracepoint]
fn sys_exit_mlock(ctx: TracePointContext) {
    exit(&ctx, Kind::Mlock);
}

#[tracepoint]
fn sys_enter_munlockall(ctx: TracePointContext) {
    enter_with(&ctx, Kind::Mlockall, |args| args[0] = 0);
}

#[tracepoint]
fn sys_exit_munlockall(ctx: TracePointContext) {
    exit(&ctx, Kind::Mlockall);
}

#[inline(always)]
fn enter(ctx: &TracePointContext, kind: Kind) {
    enter_with(ctx, kind, |_| ());
}

#[inline(always)]
fn enter_with(ctx: &TracePointContext, kind: Kind, correct: impl FnOnce(&mut [u64; 6])) {
    if !task::recorded() {
        return;
    }
    let tid = emit::current_tid();
    let Some(slot) = CALLS.get_ptr_mut(heap::slot_of(tid)) else { return };
    let Ok(mut args) = (unsafe { ctx.read_at::<[u64; 6]>(SYS_ENTER_ARGS.load() as usize) }) else { return };
    correct(&mut args);
    unsafe { slot.write(Call { tid, kind: kind as u32, entered_ns: bpf_ktime_get_ns(), args }) }
}

#[inline(always)]
fn exit(ctx: &TracePointContext, kind: Kind) {
    if !task::recorded() {
        return;
    }
    let tid = emit::current_tid();
    let Some(slot) = CALLS.get_ptr_mut(heap::slot_of(tid)) else { return };
    let call = unsafe { &mut *slot };
    if call.tid != tid || call.kind != kind as u32 {
        return emit::count_unpaired();
    }
    call.kind = 0;
    let Ok(result) = task::syscall_result(ctx) else { return };
    record(kind, call, result);
    if kind == Kind::Mmap && brings_code(&call.args, result) {
        task::stop(Stop::Mapping);
    }
    task::keep_room();
}

#[inline(always)]
fn record(kind: Kind, call: &Call, result: u64) {
    let [a, b, c, d, _, f] = call.args;
    let flags = if heap::in_call() { IN_HEAP } else { 0 };
    match kind {
        Kind::Brk => emit::long(kind, place(0, flags), 0, [a, result, 0]),
        Kind::Mmap => emit::long(kind, place(a, flags), mmap_bits(d, c, d & MAP_ANONYMOUS == 0), [result, b, f]),
        Kind::Munmap => emit::long(kind, place(a, flags), 0, [result, b, call.entered_ns]),
        Kind::Mremap => emit::long(kind, place(a, flags), d, [result, b, c]),
        Kind::Munlock => emit::long(kind, place(a, flags), 0, [result, b, 0]),
        Kind::Mlockall => emit::long(kind, place(0, flags), a, [result, 0, 0]),
        // madvise, mprotect and mlock: address, length, and what to do.
        _ => emit::long(kind, place(a, flags), c, [result, b, 0]),
    }
}

/// Executable memory from a file may bring an allocator that wants probes before it is called.
#[inline(always)]
fn brings_code(args: &[u64; 6], result: u64) -> bool {
    result < FIRST_ERROR && args[2] & PROT_EXEC != 0 && args[3] & MAP_ANONYMOUS == 0
}
