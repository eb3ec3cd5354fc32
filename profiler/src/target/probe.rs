//! At which instruction a function is cheapest to probe.
//!
//! The kernel runs the probed instruction itself where it can (*emulates* it: 0.7 µs per hit) and otherwise single-steps it out of line
//! (9 µs). So the finder decodes from the symbol to the end of the first basic block and takes the first instruction that is emulated,
//! while every argument is still in a known register and the stack pointer has its entry value. The latter makes the point safe for a
//! return probe, which swaps the word at the top of the stack, and lets a program read the caller there.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, InstructionInfoOptions, Mnemonic, OpAccess, OpKind, Register,
};

use super::emulate::{Handling, Kernel, handling};

/// Where and how to probe a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Position of the instruction in the file, bytes.
    pub file_offset: u64,
    /// Distance of the instruction from the start of the function, bytes.
    pub offset_in_function: u64,
    /// Register (x86 number, rax 0 … r15 15) that holds each wanted argument there.
    pub registers: [Option<u8>; 3],
    /// Whether the kernel must single-step the instruction: about 13 times as expensive.
    pub stepped: bool,
    /// Why this point, for reports: the instruction and what was in the way of a better one.
    pub reason: String,
}

/// The registers of the arguments in the System V calling convention.
const ARGUMENTS: [Register; 6] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// Finds the point for a function of which these arguments (positions, at most three) are wanted, and whose `code` starts at `file_offset`.
/// Fails, with the reason, where no instruction can be probed.
pub fn find(code: &[u8], file_offset: u64, arguments: &[usize], kernel: &Kernel) -> Result<ProbePoint, String> {
    let first = first_block(code, arguments, kernel)?;
    let point = |offset: u64, registers, stepped, reason| ProbePoint {
        file_offset: file_offset.saturating_add(offset),
        offset_in_function: offset,
        registers,
        stepped,
        reason,
    };
    let Some((offset, registers)) = first.cheap else {
        let (registers, why) = entry(&first, arguments, "no instruction of the first basic block is emulated with all arguments known")?;
        return Ok(point(0, registers, true, why));
    };
    // A branch back into the block would count one call twice.
    if let Some(target) = branch_targets(code).filter(|target| (1..=offset).contains(target)).min() {
        let (registers, why) = entry(&first, arguments, &format!("a branch returns to +{target}"))?;
        return Ok(point(0, registers, true, why));
    }
    let mut why = if offset == 0 { "the entry is emulated".into() } else { format!("the entry is not emulated, +{offset} is") };
    if branch_targets(code).any(|target| target == 0) {
        why += "; a branch returns to the entry, and each turn counts as a call";
    }
    Ok(point(offset, registers, false, why))
}

/// The target of a function that begins with a direct jump, as the distance from its start.
pub fn forwards_to(code: &[u8]) -> Option<u64> {
    let first = instructions(code).find(|instruction| instruction.mnemonic() != Mnemonic::Endbr64)?;
    let direct = first.flow_control() == FlowControl::UnconditionalBranch && first.op0_kind() == OpKind::NearBranch64;
    direct.then(|| first.near_branch_target())
}

/// Where the direct jumps and calls of a function lead, as (wrapping) distances from its start.
pub fn leads_to(code: &[u8]) -> impl Iterator<Item = u64> {
    instructions(code).filter(|i| i.op0_kind() == OpKind::NearBranch64).map(|i| i.near_branch_target())
}

/// The variable through which a linkage stub jumps, as the (wrapping) distance from the stub's start.
pub fn stub_slot(code: &[u8]) -> Option<u64> {
    let jump = instructions(code).find(|instruction| instruction.mnemonic() != Mnemonic::Endbr64)?;
    let through_memory = jump.flow_control() == FlowControl::IndirectBranch && jump.is_ip_rel_memory_operand();
    through_memory.then(|| jump.ip_rel_memory_address())
}

/// The constant that a function of the form `mov $N, %eax; ret` returns.
pub fn returned_constant(code: &[u8]) -> Option<u32> {
    let mut body = instructions(code).filter(|instruction| instruction.mnemonic() != Mnemonic::Endbr64);
    let (set, end) = (body.next()?, body.next()?);
    let constant = set.mnemonic() == Mnemonic::Mov && set.op0_register() == Register::EAX && set.op1_kind() == OpKind::Immediate32;
    (constant && end.mnemonic() == Mnemonic::Ret).then(|| set.immediate32())
}

/// What the first basic block offers.
struct Block {
    /// How the kernel treats the very first instruction.
    entry: Handling,
    /// The first emulated instruction: its offset and the registers that hold the arguments there.
    cheap: Option<(u64, [Option<u8>; 3])>,
}

fn first_block(code: &[u8], arguments: &[usize], kernel: &Kernel) -> Result<Block, String> {
    let mut state = State::at_entry();
    let mut info = InstructionInfoFactory::new();
    let mut entry = None;
    for instruction in instructions(code) {
        let bytes = instruction_bytes(code, &instruction);
        let how = handling(&instruction, bytes, kernel);
        let entry = entry.get_or_insert_with(|| how.clone());
        if how == Handling::Emulated
            && let Some(registers) = state.registers(arguments)
        {
            return Ok(Block { entry: entry.clone(), cheap: Some((instruction.ip(), registers)) });
        }
        if instruction.flow_control() != FlowControl::Next {
            break;
        }
        state.step(&instruction, &mut info);
    }
    entry.map(|entry| Block { entry, cheap: None }).ok_or_else(|| "the function has no code in the file".into())
}

/// The fall-back: the entry, if the kernel accepts it.
fn entry(block: &Block, arguments: &[usize], why: &str) -> Result<([Option<u8>; 3], String), String> {
    if let Handling::Refused(reason) = &block.entry {
        return Err(format!("{why}, and the kernel refuses a probe at the entry: {reason}"));
    }
    let registers = State::at_entry().registers(arguments).ok_or("more arguments than registers")?;
    Ok((registers, format!("{why}: the entry is single-stepped")))
}

/// What is known between two instructions.
struct State {
    /// For each register (by x86 number), which argument it holds.
    holds: [Option<usize>; 16],
    /// Whether the stack pointer still has its entry value.
    stack_at_entry: bool,
}

impl State {
    fn at_entry() -> State {
        let mut holds = [None; 16];
        for (argument, register) in ARGUMENTS.iter().enumerate() {
            holds[register.number()] = Some(argument);
        }
        State { holds, stack_at_entry: true }
    }

    /// The registers of these arguments, if all are known and the stack pointer is too.
    fn registers(&self, arguments: &[usize]) -> Option<[Option<u8>; 3]> {
        let mut registers = [None; 3];
        for (index, &argument) in arguments.iter().enumerate() {
            // The argument's own register first: it reads best in a report.
            let own = ARGUMENTS.get(argument)?.number();
            let found = std::iter::once(own).chain(0..16).find(|&register| self.holds[register] == Some(argument))?;
            *registers.get_mut(index)? = Some(found as u8);
        }
        self.stack_at_entry.then_some(registers)
    }

    fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let copied = copy_source(instruction).and_then(|source| self.holds[source.number()]);
        for used in info.info_options(instruction, InstructionInfoOptions::NO_MEMORY_USAGE).used_registers() {
            let written = matches!(used.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
            let register = used.register().full_register();
            if written && register.is_gpr64() {
                self.holds[register.number()] = None;
                self.stack_at_entry &= register != Register::RSP;
            }
        }
        if copied.is_some() {
            self.holds[instruction.op0_register().number()] = copied;
        }
    }
}

/// The source of a plain move between two 64-bit registers. A 32-bit move clears the upper half: not a copy.
fn copy_source(instruction: &Instruction) -> Option<Register> {
    let plain = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register().is_gpr64()
        && instruction.op1_register().is_gpr64();
    plain.then(|| instruction.op1_register())
}

/// Every valid instruction from the start to the first undecodable byte, numbered from 0.
fn instructions(code: &[u8]) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter().take_while(|instruction| !instruction.is_invalid())
}

/// Where the direct branches of the function lead, as distances from its start.
fn branch_targets(code: &[u8]) -> impl Iterator<Item = u64> {
    instructions(code)
        .filter(|i| matches!(i.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch))
        .filter(|i| matches!(i.op0_kind(), OpKind::NearBranch64))
        .map(|i| i.near_branch_target())
}

fn instruction_bytes<'a>(code: &'a [u8], instruction: &Instruction) -> &'a [u8] {
    let start = instruction.ip() as usize;
    code.get(start..start + instruction.len()).unwrap_or_default()
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
