//! Registers at a probed function, on every machine that the one object serves.
//!
//! The user half says on which it loads the object. The verifier knows that global's value, follows one branch and deletes the other, so that
//! loading for one machine never meets the registers of another. Each machine has a file of its own.

mod aarch64;
mod x86_64;

use aya_ebpf::{Global, bindings::pt_regs, helpers::bpf_probe_read_kernel};
use profiler_ebpf::machine;

#[unsafe(no_mangle)]
static MACHINE: Global<u32> = Global::new(machine::X86_64);

/// Reads a register from the context: at a constant offset and in one instruction, as the verifier wants it. The compiler would merge the
/// branches of two machines into one load at a computed offset.
macro_rules! register {
    ($regs:expr, $offset:expr) => {{
        let value: u64;
        unsafe {
            core::arch::asm!("{value} = *(u64 *)({regs} + {offset})", value = out(reg) value, regs = in(reg) $regs, offset = const $offset)
        };
        value
    }};
}
pub(crate) use register;

macro_rules! on_each_machine {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $value:ty;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($argument: $kind),*) -> $value {
            if MACHINE.load() == machine::AARCH64 { aarch64::$name($($argument),*) } else { x86_64::$name($($argument),*) }
        }
    )*};
}

on_each_machine! {
    /// The stack pointer.
    stack_pointer(regs: *mut pt_regs) -> u64;
    /// The register that holds the frame pointer where there is one.
    frame_pointer(regs: *mut pt_regs) -> u64;
    /// What a function returns, at its return.
    result(regs: *mut pt_regs) -> u64;
    /// Where a function returns to, at its entry.
    caller(regs: *mut pt_regs) -> Result<u64, i32>;
    /// The stack pointer behind the return of a function that was entered with this one.
    stack_after_return(at_entry: u64) -> u64;
    /// Byte offset in the context of a register by the machine's own number.
    offset(number: u8) -> usize;
}

/// A register by the machine's own number. Through the helper: the verifier allows loads from the context at constant offsets only.
#[inline(always)]
pub(crate) fn by_number(regs: *mut pt_regs, number: u8) -> u64 {
    unsafe { bpf_probe_read_kernel(regs.cast::<u8>().add(offset(number)).cast::<u64>()) }.unwrap_or(0)
}
