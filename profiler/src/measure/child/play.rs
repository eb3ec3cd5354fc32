//! The operations of a script, done.

use std::ffi::{CStr, c_void};

use super::super::answer::{state, word};
use super::super::script::thread;
use super::run::Run;
use super::threads::{self, Thread};
use super::{dispatch, raw, settle};
use crate::event::Access;
use crate::units::{Bytes, Nanos, PAGE};
use crate::workload::{Action, Evidence, ObjectId};

/// What the child does in place of the program.
pub(super) fn start(script: &CStr, answer: &CStr, modules: &'static CStr, paced: bool) -> ! {
    let run = Run::prepare(script, answer, modules, paced);
    run.name_library();
    // Faults before anything is made resident: the loading of the library is part of them. Pages after: what of libc it has used is no difference.
    let faults = run.reading().faults;
    settle::settle(modules);
    let mut start = run.reading();
    start.faults = faults;
    start.words().iter().enumerate().for_each(|(part, &value)| run.tell(word::START + part, value as u64));
    run.furnish();
    let main = run.thread(0);
    main.alive.set(true);
    let counted = dispatch::prepare() && dispatch::enter(&main.selector);
    run.tell(word::COUNTED, counted.into());
    run.tell(word::STATE, state::RUNNING);
    run.begin();
    play(run, 0);
    run.end()
}

/// Does operations until the thread ends, or the script.
pub(super) fn play(run: &Run, me: u32) {
    while let Some(op) = run.next() {
        let ends = matches!(op.action, Action::ThreadEnd { .. });
        match thread(op.action) {
            // A thread that did nothing has nothing to end.
            Some(other) if ends && (other == 0 || !run.thread(other).alive.get()) => run.advance(),
            Some(other) if other != me => threads::hand_over(run, me, other),
            Some(_) if ends => {
                run.advance();
                return threads::leave(run, me);
            }
            _ => {
                keep_pace(run, op.time);
                apply(run, run.thread(me), op.action);
                run.advance();
            }
        }
    }
    if me != 0 {
        run.end();
    }
}

fn keep_pace(run: &Run, time: Nanos) {
    if !run.paced {
        return;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let Some(zero) = run.zero.get() else {
        raw::call(libc::SYS_clock_gettime, [libc::CLOCK_MONOTONIC as usize, (&raw mut now) as usize]);
        return run.zero.set(Some((now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).saturating_sub(time.0)));
    };
    let due = zero + time.0;
    let until = libc::timespec { tv_sec: (due / 1_000_000_000) as i64, tv_nsec: (due % 1_000_000_000) as i64 };
    let arguments = [libc::CLOCK_MONOTONIC as usize, libc::TIMER_ABSTIME as usize, (&raw const until) as usize, 0];
    while raw::call(libc::SYS_clock_nanosleep, arguments) == -i64::from(libc::EINTR) {}
}

fn apply(run: &Run, me: &Thread, action: Action) {
    match action {
        Action::Alloc { id, size, align_log2, zeroed, assumed, .. } => alloc(run, me, id, size, align_log2, zeroed, assumed),
        Action::Realloc { id, size, .. } => realloc(run, me, id, size),
        Action::Free { id, .. } | Action::Forget { id } => {
            let Some(slot) = run.slot(id) else { return };
            let at = slot.at.replace(0);
            // SAFETY: the block is live, and nobody uses it any more.
            run.library(me, || unsafe { libc::free(at as *mut c_void) });
        }
        Action::Touch { evidence: Evidence::Possible, .. } => {}
        Action::Touch { id, from, len, access, .. } => touch(run, id, from, len, access),
        Action::Break { within } => run.aside(|| begin_break(run, within as usize)),
        // The program's own: counted where it is carried.
        // SAFETY: what the break is moved over belongs to nobody.
        Action::Sbrk { delta } => _ = unsafe { libc::sbrk(delta as isize) },
        // SAFETY: any numbers will do.
        Action::Trim { pad, .. } => _ = run.library(me, || unsafe { libc::malloc_trim(pad.0 as usize) }),
        // SAFETY: any numbers will do.
        Action::Configure { parameter, value, .. } => _ = run.library(me, || unsafe { libc::mallopt(parameter, value) }),
        Action::Fork => run.aside(|| fork(run)),
        // It would lock the child's own memory as well, the script with it.
        Action::LockAll { .. } => {}
        Action::Map { .. } | Action::Resident { .. } | Action::Mapping { .. } | Action::ThreadEnd { .. } | Action::End => {}
    }
}

fn alloc(run: &Run, me: &Thread, id: ObjectId, size: Bytes, align_log2: u8, zeroed: bool, assumed: bool) {
    let Some(slot) = run.slot(id) else { return };
    let bytes = size.0 as usize;
    // SAFETY: requests as any program makes them.
    let at = run.library(me, || unsafe {
        match align_log2 {
            0 if zeroed => libc::calloc(1, bytes),
            0 => libc::malloc(bytes),
            _ => {
                let mut at = std::ptr::null_mut();
                libc::posix_memalign(&mut at, 1usize.checked_shl(align_log2.into()).unwrap_or(1 << 63).max(size_of::<usize>()), bytes);
                at
            }
        }
    });
    slot.at.set(at as usize);
    slot.size.set(size.0);
    if at.is_null() {
        run.tell(word::REFUSED, run.told(word::REFUSED) + 1);
    } else if assumed {
        touch(run, id, Bytes(0), size, Access::Write);
    }
}

fn realloc(run: &Run, me: &Thread, id: ObjectId, size: Bytes) {
    let Some(slot) = run.slot(id) else { return };
    if slot.at.get() == 0 {
        return alloc(run, me, id, size, 0, false, false);
    }
    // Of size 0, some libraries would free it; the recorded one did not.
    let bytes = size.0.max(1) as usize;
    // SAFETY: the block is live.
    let at = run.library(me, || unsafe { libc::realloc(slot.at.get() as *mut c_void, bytes) });
    if at.is_null() {
        return run.tell(word::REFUSED, run.told(word::REFUSED) + 1);
    }
    slot.at.set(at as usize);
    slot.size.set(size.0);
}

/// The break begins where the recorded one did within a huge page, unless a library has used it already.
fn begin_break(run: &Run, within: usize) {
    const HUGE: usize = 2 << 20;
    let now = raw::call(libc::SYS_brk, [0]) as usize;
    if run.libc.get() {
        raw::call(libc::SYS_brk, [now + within.wrapping_sub(now) % HUGE]);
    }
}

/// One byte of each page that the range has a part of.
fn touch(run: &Run, id: ObjectId, from: Bytes, len: Bytes, access: Access) {
    let Some(slot) = run.slot(id).filter(|slot| slot.at.get() != 0) else { return };
    let len = len.0.min(slot.size.get().saturating_sub(from.0));
    let mut at = slot.at.get() + from.0 as usize;
    let end = at + len as usize;
    while at < end {
        let byte = at as *mut u8;
        // SAFETY: it lies in a live block.
        unsafe {
            match access {
                Access::Write => byte.write_volatile(1),
                Access::Read | Access::Exec => _ = byte.read_volatile(),
            }
        }
        at = (at | (PAGE as usize - 1)) + 1;
    }
}

/// Pages become shared with a child, which ends at once: the next write to each is a fault, as it was in the recorded program.
fn fork(run: &Run) {
    // SAFETY: the child does nothing but end.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        raw::exit(0);
    }
    raw::call(libc::SYS_wait4, [pid as usize, 0, 0, 0]);
    settle::settle(run.modules);
    let here = 0u8;
    let here = (&raw const here) as usize;
    settle::stack(here - (16 << 10), here + PAGE as usize);
}
