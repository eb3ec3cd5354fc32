//! The malloc family: entry and return of one call joined into one record.
//!
//! A thread is inside at most one outermost call, so a slot per thread suffices, found by thread id without hashing.
//! The stack pointer tells calls apart. While a call is in the slot,
//!
//! ```text
//!  deeper        part of it (`realloc` calling `free`): not recorded
//!  same depth    its last step is a jump to another probed function (`realloc(NULL, n)` to `malloc`): not recorded either
//!  above         the slot's call never returned to us (a `longjmp`, an exception): it is lost
//! ```
//!
//! The first return at its depth ends a call. More of them may follow at once: one for each jump, and before Linux 6.13 one for every other process
//! whose return probes are at the same place, because kernels asked whose probe it is at the entry only.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_attach_cookie, bpf_probe_read_user},
    macros::{map, uprobe, uretprobe},
    maps::Array,
    programs::{ProbeContext, RetProbeContext},
};
use profiler_ebpf::{Cookie, DEFAULT_THREAD_SLOTS, Form, Kind, Stop, TID_BITS, align_flags, array_size, place, request, slot};

use crate::{emit, machine, preempt::keep_stack, stack, task};

/// Entries of `PENDING` and `CALLS`.
#[unsafe(no_mangle)]
static THREAD_SLOTS: Global<u32> = Global::new(DEFAULT_THREAD_SLOTS);

/// The window that is open.
#[map]
static WINDOW: Array<u32> = Array::with_max_entries(1, 0);

/// A call of the malloc family whose return is awaited; `kind` is zero when there is none.
#[repr(C)]
struct Pending {
    /// See [`caller`].
    caller: u32,
    kind: u8,
    /// Alignment flags of the record, or [`IN_PLACE`].
    flags: u16,
    /// Stack pointer at the entry.
    sp: u64,
    size: u64,
    /// `realloc`: the old address; `posix_memalign`: where the result is stored; `mallopt`: the parameter.
    pointer: u64,
    /// Where the call came from.
    origin: u64,
}

/// In place of alignment flags: the call returns a size, see [`Form::InPlace`].
const IN_PLACE: u16 = 1 << 14;

#[map]
static PENDING: Array<Pending> = Array::with_max_entries(DEFAULT_THREAD_SLOTS, 0);

/// The index of a thread in the tables that have one slot per thread. Threads may share a slot when there are fewer
/// slots than thread ids, hence each slot says whose it is.
#[inline(always)]
pub(crate) fn slot_of(tid: u32) -> u32 {
    tid.checked_rem(THREAD_SLOTS.load()).unwrap_or(0)
}

/// The current thread, and above its id the window that is open; `None` where none is. A call that began in another window is of no account: its
/// return may have passed unseen.
#[inline(always)]
pub(crate) fn caller() -> Option<u32> {
    match unsafe { WINDOW.get_ptr(0)?.read_volatile() } {
        0 => None,
        window => Some(window << TID_BITS | emit::current_tid()),
    }
}

/// The thread id of a caller.
#[inline(always)]
fn tid_of(caller: u32) -> u32 {
    caller & ((1 << TID_BITS) - 1)
}

impl Pending {
    /// Is the caller inside this call?
    #[inline(always)]
    fn awaits(&self, caller: u32) -> bool {
        self.kind != 0 && self.caller == caller
    }
}

/// Is the current thread inside a call of the malloc family (other than `free`)?
#[inline(always)]
pub(crate) fn in_call() -> bool {
    let Some(caller) = caller() else { return false };
    match PENDING.get_ptr(slot_of(tid_of(caller))) {
        Some(slot) => unsafe { (*slot).awaits(caller) },
        None => false,
    }
}

/// Forgets the call that a thread was inside of: the thread is gone or has a new program.
#[inline(always)]
pub(crate) fn forget(tid: u32) {
    if let Some(slot) = PENDING.get_ptr_mut(slot_of(tid)) {
        unsafe {
            if tid_of((*slot).caller) == tid {
                (*slot).kind = 0;
                (*slot).sp = 0;
            }
        }
    }
}

/// The program waits for the reader rather than outrun it. Only here: this is where almost all records come from, and
/// here the kernel holds no lock. A process that was let go has nobody to wait for.
#[inline(always)]
fn make_room() {
    if emit::is_crowded() && task::recorded() && emit::still_crowded_after_waiting() {
        task::halt(Stop::Full);
    }
}

/// Entry of every function of the family but `free`; the cookie says which one it is.
#[uprobe]
fn heap_enter(ctx: ProbeContext) {
    keep_stack(&ctx);
    let Some(caller) = caller() else { return };
    make_room();
    enter(&ctx, Cookie(unsafe { bpf_get_attach_cookie(ctx.regs.cast()) }), caller);
}

/// Entry of `free`.
#[uprobe]
fn heap_free(ctx: ProbeContext) {
    keep_stack(&ctx);
    let Some(caller) = caller() else { return };
    make_room();
    free(&ctx, Cookie(unsafe { bpf_get_attach_cookie(ctx.regs.cast()) }), caller);
}

#[inline(always)]
pub(crate) fn enter(ctx: &ProbeContext, cookie: Cookie, caller: u32) {
    let Some(slot) = PENDING.get_ptr_mut(slot_of(tid_of(caller))) else { return };
    let sp = machine::stack_pointer(ctx.regs);
    let outer = unsafe { &*slot };
    // Another thread's call in the slot is lost, too: that is counted when it returns.
    if outer.awaits(caller) {
        if sp > outer.sp {
            emit::count_unpaired();
        } else {
            return emit::count_nested();
        }
    }
    if let Some(pending) = arguments(ctx, cookie, caller, sp) {
        unsafe { slot.write(pending) }
    }
}

/// Return of every function of the family but `free`.
#[uretprobe]
fn heap_return(ctx: RetProbeContext) {
    keep_stack(&ctx);
    let Some(caller) = caller() else { return };
    let Some(slot) = PENDING.get_ptr_mut(slot_of(tid_of(caller))) else { return };
    let call = unsafe { &mut *slot };
    let same_depth = machine::stack_pointer(ctx.regs) == machine::stack_after_return(call.sp);
    if !call.awaits(caller) {
        // Neither one more return of the last call, nor another process's.
        if !(call.caller == caller && same_depth) && task::recorded() {
            emit::count_unpaired();
        }
        return;
    }
    if !same_depth {
        return;
    }
    let Some(kind) = Kind::from_u8(call.kind) else { return };
    call.kind = 0;
    let result = machine::result(ctx.regs);
    match kind {
        Kind::Realloc => emit::long(kind, place(resized(result, call), 0), call.size, [call.pointer, call.origin, 0]),
        Kind::Mallopt => emit::short(kind, place(call.pointer, 0), call.size),
        Kind::Trim => emit::short(kind, place(result, 0), call.size),
        Kind::PosixMemalign => emit::medium(kind, place(stored_result(result, call.pointer), call.flags), call.size, call.origin),
        _ => emit::medium(kind, place(result, call.flags), call.size, call.origin),
    }
}

/// `free` needs no return: from its entry on, the program has no claim to the memory.
#[inline(always)]
pub(crate) fn free(ctx: &ProbeContext, cookie: Cookie, caller: u32) {
    if let Some(slot) = PENDING.get_ptr(slot_of(tid_of(caller))) {
        let outer = unsafe { &*slot };
        if outer.awaits(caller) && machine::stack_pointer(ctx.regs) <= outer.sp {
            return emit::count_nested();
        }
    }
    emit::short(Kind::Free, place(argument(ctx, cookie, slot::POINTER), 0), 0);
}

/// Reads the arguments of the call that begins; `None` when the cookie names no call.
#[inline(always)]
fn arguments(ctx: &ProbeContext, cookie: Cookie, caller: u32, sp: u64) -> Option<Pending> {
    let form = cookie.form();
    let (kind, align) = request(Kind::from_u8(cookie.kind())?, form, argument(ctx, cookie, slot::ALIGN));
    let (mut size, mut pointer) = (argument(ctx, cookie, slot::SIZE), argument(ctx, cookie, slot::POINTER));
    if cookie.register(slot::COUNT).is_some() {
        size = array_size(argument(ctx, cookie, slot::COUNT), size);
    }
    if kind == Kind::Mallopt {
        (size, pointer) = ((size as u32).into(), (pointer as u32).into());
    }
    let flags = if form == Form::InPlace { IN_PLACE } else { align_flags(align) };
    let origin = if matches!(kind, Kind::Mallopt | Kind::Trim) { 0 } else { stack::origin(ctx) };
    Some(Pending { caller, kind: kind as u8, flags, sp, size, pointer, origin })
}

/// The block after it was resized; null where it could not be.
#[inline(always)]
fn resized(result: u64, call: &Pending) -> u64 {
    match call.flags == IN_PLACE {
        false => result,
        true if result >= call.size => call.pointer,
        true => 0,
    }
}

/// `posix_memalign` returns an error number and stores the address.
#[inline(always)]
fn stored_result(error: u64, pointer: u64) -> u64 {
    if error as u32 != 0 {
        return 0;
    }
    unsafe { bpf_probe_read_user(pointer as *const u64) }.unwrap_or(0)
}

/// An argument of the probed function, from the register that the cookie names; zero when it names none.
#[inline(always)]
fn argument(ctx: &ProbeContext, cookie: Cookie, slot: usize) -> u64 {
    cookie.register(slot).map_or(0, |number| machine::by_number(ctx.regs, number))
}
