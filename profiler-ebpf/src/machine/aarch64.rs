//! `struct user_pt_regs` of arm64: x0 to x30, the stack pointer, the program counter, the flags.

use aya_ebpf::bindings::pt_regs;

use super::register;

#[inline(always)]
pub(super) fn stack_pointer(regs: *mut pt_regs) -> u64 {
    register!(regs, 8 * 31)
}

/// x29.
#[inline(always)]
pub(super) fn frame_pointer(regs: *mut pt_regs) -> u64 {
    register!(regs, 8 * 29)
}

/// x0.
#[inline(always)]
pub(super) fn result(regs: *mut pt_regs) -> u64 {
    register!(regs, 0)
}

/// The link register, x30, until the function stores it.
#[inline(always)]
pub(super) fn caller(regs: *mut pt_regs) -> Result<u64, i32> {
    Ok(register!(regs, 8 * 30))
}

#[inline(always)]
pub(super) fn stack_after_return(at_entry: u64) -> u64 {
    at_entry
}

#[inline(always)]
pub(super) fn offset(number: u8) -> usize {
    8 * (number & 31) as usize
}
