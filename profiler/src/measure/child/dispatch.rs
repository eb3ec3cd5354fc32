//! The library's system calls: each comes as a signal, is counted and done in its place.
//!
//! The kernel does that per thread, for calls from outside of [`raw`], while the thread's selector says so: it does only while a function of the library
//! runs. What concerns threads, signals and the end is left to the kernel: then the selector opens until the operation is over.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::answer::{CALLS, word};
use super::machine::{FORKS, Interrupted};
use super::raw;
use super::run::Run;
use crate::units::PAGE;

/// Calls pass.
const OPEN: u8 = 0;
/// Calls are dispatched.
const CLOSED: u8 = 1;

const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
const PR_SYS_DISPATCH_ON: usize = 1;
const SA_RESTORER: u64 = 0x0400_0000;

/// The kernel's `struct sigaction`.
#[repr(C)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Installs the handler. `false` where that is not possible.
pub(super) fn prepare() -> bool {
    let action = Action {
        handler: dispatched as *const () as usize,
        flags: libc::SA_SIGINFO as u64 | SA_RESTORER,
        restorer: raw::restorer(),
        mask: 0,
    };
    raw::call(libc::SYS_rt_sigaction, [libc::SIGSYS as usize, (&raw const action) as usize, 0, 8]) == 0
}

/// Puts the calling thread under dispatch by this selector. `false` where the kernel cannot.
pub(super) fn enter(selector: &AtomicU8) -> bool {
    let (start, length) = raw::range();
    raw::call(libc::SYS_prctl, [PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, start, length, selector.as_ptr() as usize]) == 0
}

/// From now on calls of the thread are counted.
pub(super) fn close(selector: &AtomicU8) {
    selector.store(CLOSED, Ordering::Relaxed);
}

/// From now on they are not.
pub(super) fn open(selector: &AtomicU8) {
    selector.store(OPEN, Ordering::Relaxed);
}

/// Calls that cannot be done inside a signal handler, or not without it.
const UNTOUCHED: [i64; 8] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
];

extern "C" fn dispatched(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives the interrupted registers, which are written back when the handler returns.
    let mut interrupted = unsafe { Interrupted::new(context) };
    let run = Run::current();
    let number = interrupted.number();
    if UNTOUCHED.contains(&number) || FORKS.contains(&number) {
        if matches!(number, libc::SYS_clone | libc::SYS_clone3) {
            run.tell(word::THREADS, run.told(word::THREADS) + 1);
        }
        open(&run.thread_here().selector);
        return interrupted.again();
    }
    let answer = counted(run, number, interrupted.arguments());
    interrupted.answer(answer);
}

fn counted(run: &Run, number: i64, arguments: [usize; 6]) -> i64 {
    let Some(kind) = CALLS.iter().position(|call| call.0 == number) else { return raw::call(number, arguments) };
    let calls = &run.calls[kind];
    calls.set(calls.get() + 1);
    if number == libc::SYS_mmap && arguments[3] & libc::MAP_FIXED as usize == 0 {
        return raw::call(number, arguments);
    }
    // It may give memory back: what was resident before is a peak.
    let before = run.high_water();
    let lazily = number == libc::SYS_madvise && arguments[2] == libc::MADV_FREE as usize;
    let lazily = if lazily { resident(run, arguments[0], arguments[1]) } else { 0 };
    let answer = raw::call(number, arguments);
    let gone = before - run.resident();
    if number != libc::SYS_mmap {
        run.returned.set(run.returned.get() + gone.max(0) + lazily);
    }
    answer
}

/// Pages of a range that are resident: those that the kernel may take later are not gone at once.
fn resident(run: &Run, start: usize, length: usize) -> i64 {
    let page = PAGE as usize;
    let (mut at, end) = (start, start.saturating_add(length));
    let mut found = 0;
    while at < end {
        let part = (end - at).min(run.states.len() * page);
        if raw::call(libc::SYS_mincore, [at, part, run.states.as_ptr() as usize]) != 0 {
            return 0;
        }
        found += run.states.iter().take(part.div_ceil(page)).filter(|state| state.get() & 1 != 0).count() as i64;
        at += part;
    }
    found
}
