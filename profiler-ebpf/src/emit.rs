//! The only writer to the ring, and the only place where a record, a loss or an omission is counted.

use core::arch::asm;

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    cty::c_void,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_loop},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use profiler_ebpf::{Counts, KIND_SLOTS, Kind, extent, head};

/// Size in bytes; the user half sets another one at load time.
const DEFAULT_RING_BYTES: u32 = 1 << 20;

/// A call of the malloc family waits while more bytes than this are in the ring; 0: never.
#[unsafe(no_mangle)]
static WAIT_ABOVE: Global<u64> = Global::new(0);

/// A process stops wherever it may while more bytes than this are in the ring; 0: never.
#[unsafe(no_mangle)]
static STOP_ABOVE: Global<u64> = Global::new(0);

/// Most turns of that waiting, about 20 ns each.
#[unsafe(no_mangle)]
static SPIN_ROUNDS: Global<u32> = Global::new(0);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);

/// The current thread id.
#[inline(always)]
pub(crate) fn current_tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The current process id.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Writes a record of three words about the current thread.
#[inline(always)]
pub(crate) fn short(kind: Kind, place: u64, size: u64) {
    short_of(current_tid(), kind, place, size);
}

/// Writes a record of three words about another task.
#[inline(always)]
pub(crate) fn short_of(tid: u32, kind: Kind, place: u64, size: u64) {
    put(kind, |time| [head(kind, time), place, extent(size, tid)], || true);
}

/// Writes a record of four words about the current thread.
#[inline(always)]
pub(crate) fn medium(kind: Kind, place: u64, size: u64, more: u64) {
    let tid = current_tid();
    put(kind, |time| [head(kind, time), place, extent(size, tid), more], || true);
}

/// Writes the record of a stack, whose frames are put in place by `fill`, which tells their number; false when it found the ring full.
#[inline(always)]
pub(crate) fn stack(origin: u64, fill: impl FnOnce(*mut u64) -> u64) -> bool {
    let Some(counts) = COUNTS.get_ptr_mut(0) else { return false };
    let slot = Kind::Stack as usize;
    let Some(mut entry) = EVENTS.reserve::<[u64; Kind::Stack.words()]>(0) else {
        unsafe { add_one(&raw mut (*counts).lost[slot]) };
        return false;
    };
    let words = entry.as_mut_ptr().cast::<u64>();
    unsafe {
        let frames = fill(words.add(3));
        words.write(head(Kind::Stack, bpf_ktime_get_ns()));
        words.add(1).write(origin);
        words.add(2).write(extent(frames, current_tid()));
        entry.submit(BPF_RB_NO_WAKEUP.into());
        add_one(&raw mut (*counts).made[slot]);
    }
    true
}

/// Writes a record of six words about the current thread.
#[inline(always)]
pub(crate) fn long(kind: Kind, place: u64, size: u64, [a, b, c]: [u64; 3]) {
    let tid = current_tid();
    put(kind, |time| [head(kind, time), place, extent(size, tid), a, b, c], || true);
}

/// Writes a record of three words that announces an act: the act happens only if the record has a place, and the reader
/// sees the record only after the act. An act that fails leaves no record.
#[inline(always)]
pub(crate) fn announce(kind: Kind, place: u64, act: impl FnOnce() -> bool) {
    let tid = current_tid();
    put(kind, |time| [head(kind, time), place, extent(0, tid)], act);
}

/// Whether a call of the malloc family has to wait. Nothing is asked of the ring where nothing waits.
#[inline(always)]
pub(crate) fn is_crowded() -> bool {
    exceeds(WAIT_ABOVE.load())
}

/// Whether the room is going that is kept for what does not wait.
#[inline(always)]
pub(crate) fn is_nearly_full() -> bool {
    exceeds(STOP_ABOVE.load())
}

#[inline(always)]
fn exceeds(mark: u64) -> bool {
    mark != 0 && EVENTS.query(BPF_RB_AVAIL_DATA.into()) > mark
}

/// Waits while the ring is crowded, up to `SPIN_ROUNDS`; true if it still is. The only use of `bpf_loop`.
#[inline(always)]
pub(crate) fn still_crowded_after_waiting() -> bool {
    let begun = unsafe { bpf_ktime_get_ns() };
    unsafe { bpf_loop(SPIN_ROUNDS.load(), wait_round as *mut c_void, core::ptr::null_mut(), 0) };
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        unsafe {
            add(&raw mut (*counts).waits, 1);
            add(&raw mut (*counts).waited_ns, bpf_ktime_get_ns() - begun);
        }
    }
    is_crowded()
}

/// One turn of the waiting loop; 1 ends it.
extern "C" fn wait_round(_turn: u64, _context: *mut c_void) -> i64 {
    (!is_crowded()).into()
}

/// A call inside another call of the malloc family was left out on purpose.
#[inline(always)]
pub(crate) fn count_nested() {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        unsafe { add_one(&raw mut (*counts).nested) }
    }
}

/// An entry or a return has lost its other half.
#[inline(always)]
pub(crate) fn count_unpaired() {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        unsafe { add_one(&raw mut (*counts).unpaired) }
    }
}

/// The time is taken after the place in the ring, so that times follow the order of the ring as closely as they can.
#[inline(always)]
fn put<const WORDS: usize>(kind: Kind, words: impl FnOnce(u64) -> [u64; WORDS], act: impl FnOnce() -> bool) {
    let Some(counts) = COUNTS.get_ptr_mut(0) else { return };
    // The mask shows the verifier that the index is within the table.
    let slot = kind as usize & (KIND_SLOTS - 1);
    match EVENTS.reserve::<[u64; WORDS]>(0) {
        Some(mut entry) => {
            // Before the time is taken: an act that is announced happened no later than its record says.
            if !act() {
                return entry.discard(BPF_RB_NO_WAKEUP.into());
            }
            entry.write(words(unsafe { bpf_ktime_get_ns() }));
            // A wake-up per record costs more than twice the record: the reader polls.
            entry.submit(BPF_RB_NO_WAKEUP.into());
            unsafe { add_one(&raw mut (*counts).made[slot]) }
        }
        None => unsafe { add_one(&raw mut (*counts).lost[slot]) },
    }
}

#[inline(always)]
unsafe fn add_one(counter: *mut u64) {
    unsafe { add(counter, 1) }
}

/// Atomic, because on a preemptible kernel another thread's probe may run in the middle of ours on this processor.
/// Written out, because the compiler offers no atomic addition for a target without compare-and-swap.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    unsafe { asm!("lock *(u64 *)({counter} + 0) += {amount}", counter = in(reg) counter, amount = in(reg) amount) }
}
