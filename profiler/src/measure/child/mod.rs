//! The child: this program, taken over before it begins.
//!
//! A function among the initialisers of the program looks at the arguments, before `main` and before the standard library is set up. In a child of
//! `measure` it never returns: it works without Rust's heap, so that every call that reaches the library is one of the script's. What the child itself
//! needs (the script, the blocks' addresses, samples) is in shared mappings of its own, made and touched before the first operation.
//!
//! - `machine`: what only one processor has; [`raw`]: the child's own system calls; [`dispatch`]: those of the library, counted one by one (syscall user dispatch, no privileges needed);
//! - [`reading`]: the kernel's counters; [`settle`]: nothing but the library shall have first touches left;
//! - [`run`]: what is known while it runs; [`play`]: the operations; [`threads`]: who does them.

mod dispatch;
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(not(target_arch = "aarch64"), path = "x86_64.rs")]
mod machine;
mod play;
mod raw;
mod reading;
mod run;
mod settle;
mod threads;

use std::ffi::{CStr, c_char, c_int};

/// The first argument of a child; no subcommand begins like this.
pub(super) const ARGUMENT: &str = "__measure";
/// The last argument of a child that keeps the recorded time.
pub(super) const PACED: &str = "paced";

#[used]
#[unsafe(link_section = ".init_array")]
static TAKE_OVER: extern "C" fn(c_int, *const *const c_char) = take_over;

extern "C" fn take_over(count: c_int, arguments: *const *const c_char) {
    if count != 6 {
        return;
    }
    // SAFETY: libc calls initialisers with the arguments of the program, which end with the process.
    let [_, name, script, answer, modules, pace] = [0, 1, 2, 3, 4, 5].map(|at| unsafe { CStr::from_ptr::<'static>(*arguments.add(at)) });
    if name.to_bytes() == ARGUMENT.as_bytes() {
        play::start(script, answer, modules, pace.to_bytes() == PACED.as_bytes());
    }
}

pub(super) use settle::modules;
