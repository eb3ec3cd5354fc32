//! At which instruction a function is cheapest to probe.
//!
//! The kernel runs the probed instruction itself where it can (*emulates* it: 0.7 µs per hit) and otherwise single-steps it out of line
//! (9 µs). So the finder decodes from the symbol to the end of the first basic block and takes the first instruction that is emulated,
//! while every argument is still in a known register and the stack pointer and the return address are where they were at the entry. The latter
//! makes the point safe for a return probe, which replaces the return address there, and lets a program read the caller.
//!
//! The search is the same for every machine; [`x86_64`](super::x86_64) and [`aarch64`](super::aarch64) decode.

use super::emulate::{Handling, Kernel};
use super::flow::Turn;

#[cfg(target_arch = "aarch64")]
pub(super) use super::aarch64::Aarch64 as Native;
#[cfg(not(target_arch = "aarch64"))]
pub(super) use super::x86_64::X86_64 as Native;

/// Where and how to probe a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Position of the instruction in the file, bytes.
    pub file_offset: u64,
    /// Distance of the instruction from the start of the function, bytes.
    pub offset_in_function: u64,
    /// Register (the machine's own number: rax 0 … r15 15, x0 0 … x30 30) that holds each wanted argument there.
    pub registers: [Option<u8>; 3],
    /// Whether the kernel must single-step the instruction: about 13 times as expensive.
    pub stepped: bool,
    /// Why this point, for reports: the instruction and what was in the way of a better one.
    pub reason: String,
}

/// A processor's code, as far as the search must understand it. Distances are from the start of the function, in bytes.
pub(super) trait Machine {
    /// The registers of the first six arguments.
    const ARGUMENTS: [u8; 6];

    /// Every instruction from the start to the first that is not understood.
    fn steps(code: &[u8], kernel: &Kernel) -> impl Iterator<Item = Step>;

    /// The instructions from a place on, as [`flow`](super::flow) sees them.
    fn turns(code: &[u8], start: u64) -> impl Iterator<Item = (u64, Turn)>;

    /// The direct jumps, branches and calls.
    fn jumps(code: &[u8]) -> impl Iterator<Item = Jump>;

    /// The target of a function that begins with a direct jump.
    fn forwards_to(code: &[u8]) -> Option<u64>;

    /// The variable through which a linkage stub at `address` jumps.
    fn stub_slot(code: &[u8], address: u64) -> Option<u64>;

    /// The constant that a function returns whose whole body that is.
    fn returned_constant(code: &[u8]) -> Option<u32>;
}

/// One instruction.
pub(super) struct Step {
    pub(super) at: u64,
    /// What the kernel does with a probe on it.
    pub(super) handling: Handling,
    /// Whether the next instruction always follows.
    pub(super) falls_through: bool,
    /// The registers that it may change, a bit each.
    pub(super) writes: u32,
    /// The register that becomes a copy of another, and that other.
    pub(super) copy: Option<(u8, u8)>,
    /// Whether the stack pointer or the place of the return address may be others after it.
    pub(super) disturbs: bool,
}

/// A direct jump, branch or call.
pub(super) struct Jump {
    /// May lie before the start: then it wraps.
    pub(super) target: u64,
    pub(super) call: bool,
}

/// Finds the point for a function of which these arguments (positions, at most three) are wanted, and whose `code` starts at `file_offset`.
/// Fails, with the reason, where no instruction can be probed.
pub fn find(code: &[u8], file_offset: u64, arguments: &[usize], kernel: &Kernel) -> Result<ProbePoint, String> {
    search::<Native>(code, file_offset, arguments, kernel)
}

/// The target of a function that begins with a direct jump, as the distance from its start.
pub fn forwards_to(code: &[u8]) -> Option<u64> {
    Native::forwards_to(code)
}

/// The address of the variable through which a linkage stub at `address` jumps.
pub fn stub_slot(code: &[u8], address: u64) -> Option<u64> {
    Native::stub_slot(code, address)
}

/// The constant that a function returns whose whole body that is.
pub fn returned_constant(code: &[u8]) -> Option<u32> {
    Native::returned_constant(code)
}

/// [`find`] for any machine's code.
pub(super) fn search<M: Machine>(code: &[u8], file_offset: u64, arguments: &[usize], kernel: &Kernel) -> Result<ProbePoint, String> {
    let first = first_block::<M>(code, arguments, kernel)?;
    let point = |offset: u64, registers, stepped, reason| ProbePoint {
        file_offset: file_offset.saturating_add(offset),
        offset_in_function: offset,
        registers,
        stepped,
        reason,
    };
    let Some((offset, registers)) = first.cheap else {
        let (registers, why) =
            entry::<M>(&first, arguments, "no instruction of the first basic block is emulated with all arguments known")?;
        return Ok(point(0, registers, true, why));
    };
    let branch_targets = || M::jumps(code).filter(|jump| !jump.call).map(|jump| jump.target);
    // A branch back into the block would count one call twice.
    if let Some(target) = branch_targets().filter(|target| (1..=offset).contains(target)).min() {
        let (registers, why) = entry::<M>(&first, arguments, &format!("a branch returns to +{target}"))?;
        return Ok(point(0, registers, true, why));
    }
    let mut why = if offset == 0 { "the entry is emulated".into() } else { format!("the entry is not emulated, +{offset} is") };
    if branch_targets().any(|target| target == 0) {
        why += "; a branch returns to the entry, and each turn counts as a call";
    }
    Ok(point(offset, registers, false, why))
}

/// What the first basic block offers.
struct Block {
    /// How the kernel treats the very first instruction.
    entry: Handling,
    /// The first emulated instruction: its offset and the registers that hold the arguments there.
    cheap: Option<(u64, [Option<u8>; 3])>,
}

fn first_block<M: Machine>(code: &[u8], arguments: &[usize], kernel: &Kernel) -> Result<Block, String> {
    let mut state = State::at_entry::<M>();
    let mut entry = None;
    for step in M::steps(code, kernel) {
        let entry = entry.get_or_insert_with(|| step.handling.clone());
        if step.handling == Handling::Emulated
            && let Some(registers) = state.registers::<M>(arguments)
        {
            return Ok(Block { entry: entry.clone(), cheap: Some((step.at, registers)) });
        }
        if !step.falls_through {
            break;
        }
        state.after(&step);
    }
    entry.map(|entry| Block { entry, cheap: None }).ok_or_else(|| "the function has no code in the file".into())
}

/// The fall-back: the entry, if the kernel accepts it.
fn entry<M: Machine>(block: &Block, arguments: &[usize], why: &str) -> Result<([Option<u8>; 3], String), String> {
    if let Handling::Refused(reason) = &block.entry {
        return Err(format!("{why}, and the kernel refuses a probe at the entry: {reason}"));
    }
    let registers = State::at_entry::<M>().registers::<M>(arguments).ok_or("more arguments than registers")?;
    Ok((registers, format!("{why}: the entry is single-stepped")))
}

/// What is known between two instructions.
struct State {
    /// For each register, which argument it holds.
    holds: [Option<usize>; 32],
    /// Whether the stack pointer and the return address are still as at the entry.
    as_at_entry: bool,
}

impl State {
    fn at_entry<M: Machine>() -> State {
        let mut holds = [None; 32];
        for (argument, register) in M::ARGUMENTS.into_iter().enumerate() {
            holds[usize::from(register)] = Some(argument);
        }
        State { holds, as_at_entry: true }
    }

    /// The registers of these arguments, if all are known and a return probe may be placed.
    fn registers<M: Machine>(&self, arguments: &[usize]) -> Option<[Option<u8>; 3]> {
        let mut registers = [None; 3];
        for (index, &argument) in arguments.iter().enumerate() {
            // The argument's own register first: it reads best in a report.
            let own = *M::ARGUMENTS.get(argument)?;
            let found = std::iter::once(own).chain(0..32).find(|&register| self.holds[usize::from(register)] == Some(argument))?;
            *registers.get_mut(index)? = Some(found);
        }
        self.as_at_entry.then_some(registers)
    }

    fn after(&mut self, step: &Step) {
        let copied = step.copy.and_then(|(to, from)| Some((to, self.holds[usize::from(from)]?)));
        for (register, holds) in self.holds.iter_mut().enumerate() {
            if step.writes >> register & 1 == 1 {
                *holds = None;
            }
        }
        if let Some((to, argument)) = copied {
            self.holds[usize::from(to)] = Some(argument);
        }
        self.as_at_entry &= !step.disturbs;
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
