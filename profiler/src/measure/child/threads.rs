//! Who does the operations: a thread for each one that the recording had at the same time, one at work, the others asleep.
//!
//! The first thread is the process's own. It never ends, and takes over from each one that does: when that is gone entirely, the script goes on.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::super::answer::state;
use super::run::{Run, STACK};
use super::{dispatch, play, raw, settle};

/// Of a stack, so much is resident from the start.
const USED: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Thread {
    /// Not 0: it is this thread's turn.
    turn: AtomicU32,
    /// Not 0: it has begun.
    ready: AtomicU32,
    pub(super) selector: AtomicU8,
    pub(super) alive: Cell<bool>,
    id: Cell<libc::pthread_t>,
}

/// Lets another thread go on, and waits for the next turn.
pub(super) fn hand_over(run: &Run, me: u32, to: u32) {
    if !run.thread(to).alive.get() {
        run.aside(|| start(run, to));
    }
    wake(run, to);
    sleep(run, me);
    let left = run.leaving.replace(0);
    if left != 0 {
        // SAFETY: the thread was started and not joined before.
        unsafe { libc::pthread_join(run.thread(left).id.get(), std::ptr::null_mut()) };
        run.thread(left).alive.set(false);
    }
}

/// The last words of a thread: what its end makes the library do is counted, too.
pub(super) fn leave(run: &Run, me: u32) {
    run.leaving.set(me);
    dispatch::close(&run.thread(me).selector);
    wake(run, 0);
}

fn wake(run: &Run, to: u32) {
    let turn = &run.thread(to).turn;
    turn.store(1, Ordering::Release);
    raw::wake(turn);
}

fn sleep(run: &Run, me: u32) {
    let turn = &run.thread(me).turn;
    while turn.swap(0, Ordering::Acquire) == 0 {
        raw::wait(turn, 0);
    }
}

fn start(run: &Run, place: u32) {
    let (thread, stack) = (run.thread(place), run.stacks + place as usize * STACK);
    settle::stack(stack + STACK - USED, stack + STACK);
    thread.ready.store(0, Ordering::Release);
    // SAFETY: the stack is this thread's alone, and its last user was joined; all-zero attributes are initialised by libc.
    let failed = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut id = 0;
        libc::pthread_attr_init(&mut attributes);
        libc::pthread_attr_setstack(&mut attributes, stack as *mut c_void, STACK);
        let failed = libc::pthread_create(&mut id, &attributes, begin, place as usize as *mut c_void);
        thread.id.set(id);
        failed
    };
    if failed != 0 {
        run.fail(state::NO_ROOM);
    }
    thread.alive.set(true);
    while thread.ready.load(Ordering::Acquire) == 0 {
        raw::wait(&thread.ready, 0);
    }
}

extern "C" fn begin(place: *mut c_void) -> *mut c_void {
    let (run, place) = (Run::current(), place as usize as u32);
    let thread = run.thread(place);
    dispatch::enter(&thread.selector);
    thread.ready.store(1, Ordering::Release);
    raw::wake(&thread.ready);
    sleep(run, place);
    play::play(run, place);
    std::ptr::null_mut()
}
