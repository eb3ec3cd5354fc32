//! System calls of x86-64.

use std::arch::global_asm;
use std::ffi::c_void;

// The kernel compares the address behind the `syscall` instruction with the range, so that something must follow the last one.
global_asm!(
    ".pushsection .text",
    ".balign 16",
    ".globl heapcast_raw_call, heapcast_raw_return, heapcast_raw_end",
    ".hidden heapcast_raw_call, heapcast_raw_return, heapcast_raw_end",
    "heapcast_raw_call:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    "syscall",
    "ret",
    "heapcast_raw_return:",
    "mov eax, 15",
    "syscall",
    "ud2",
    "heapcast_raw_end:",
    ".popsection",
);

/// Calls that make a process; only some machines have them beside `clone`.
pub(super) const FORKS: [i64; 2] = [libc::SYS_fork, libc::SYS_vfork];

/// The registers at a call.
pub(super) struct Interrupted<'a>(&'a mut [libc::greg_t; 23]);

impl Interrupted<'_> {
    /// # Safety
    /// `context` is what the kernel gave a signal handler that has not returned.
    pub(super) unsafe fn new(context: *mut c_void) -> Self {
        // SAFETY: the caller's promise.
        Interrupted(unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs })
    }

    pub(super) fn number(&self) -> i64 {
        self.0[libc::REG_RAX as usize]
    }

    pub(super) fn arguments(&self) -> [usize; 6] {
        let places = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9];
        places.map(|place| self.0[place as usize] as usize)
    }

    pub(super) fn answer(&mut self, answer: i64) {
        self.0[libc::REG_RAX as usize] = answer;
    }

    /// Lets it be made again, from the two bytes of the instruction on.
    pub(super) fn again(&mut self) {
        self.0[libc::REG_RIP as usize] -= 2;
    }
}
