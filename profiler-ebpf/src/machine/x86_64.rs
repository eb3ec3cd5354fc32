//! `struct pt_regs` of x86-64: 21 words.

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user};

use super::register;

/// Byte offset of each register, by its number (rax 0 … r15 15).
static OFFSETS: [u8; 16] = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0];

#[inline(always)]
pub(super) fn stack_pointer(regs: *mut pt_regs) -> u64 {
    register!(regs, 152)
}

#[inline(always)]
pub(super) fn frame_pointer(regs: *mut pt_regs) -> u64 {
    register!(regs, 32)
}

#[inline(always)]
pub(super) fn result(regs: *mut pt_regs) -> u64 {
    register!(regs, 80)
}

/// The call has put it on the stack.
#[inline(always)]
pub(super) fn caller(regs: *mut pt_regs) -> Result<u64, i32> {
    unsafe { bpf_probe_read_user(stack_pointer(regs) as *const u64) }
}

/// The return has popped the return address.
#[inline(always)]
pub(super) fn stack_after_return(at_entry: u64) -> u64 {
    at_entry + 8
}

#[inline(always)]
pub(super) fn offset(number: u8) -> usize {
    OFFSETS[(number & 15) as usize] as usize
}
