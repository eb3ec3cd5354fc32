//! System calls of arm64.

use std::arch::global_asm;
use std::ffi::c_void;

// The kernel compares the address behind the `svc` instruction with the range, so that something must follow the last one.
global_asm!(
    ".pushsection .text",
    ".balign 16",
    ".globl heapcast_raw_call, heapcast_raw_return, heapcast_raw_end",
    ".hidden heapcast_raw_call, heapcast_raw_return, heapcast_raw_end",
    "heapcast_raw_call:",
    "mov x8, x0",
    "mov x0, x1",
    "mov x1, x2",
    "mov x2, x3",
    "mov x3, x4",
    "mov x4, x5",
    "mov x5, x6",
    "svc #0",
    "ret",
    "heapcast_raw_return:",
    "mov x8, #139",
    "svc #0",
    "udf #0",
    "heapcast_raw_end:",
    ".popsection",
);

/// Calls that make a process; only some machines have them beside `clone`.
pub(super) const FORKS: [i64; 0] = [];

/// The registers at a call.
pub(super) struct Interrupted<'a>(&'a mut libc::mcontext_t);

impl Interrupted<'_> {
    /// # Safety
    /// `context` is what the kernel gave a signal handler that has not returned.
    pub(super) unsafe fn new(context: *mut c_void) -> Self {
        // SAFETY: the caller's promise.
        Interrupted(unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext })
    }

    pub(super) fn number(&self) -> i64 {
        self.0.regs[8] as i64
    }

    pub(super) fn arguments(&self) -> [usize; 6] {
        [0, 1, 2, 3, 4, 5].map(|place| self.0.regs[place] as usize)
    }

    pub(super) fn answer(&mut self, answer: i64) {
        self.0.regs[0] = answer as u64;
    }

    /// Lets it be made again, from the four bytes of the instruction on.
    pub(super) fn again(&mut self) {
        self.0.pc -= 4;
    }
}
