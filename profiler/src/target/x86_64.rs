//! x86-64 code: what each instruction does to a search for a probe point.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, InstructionInfoOptions, Mnemonic, OpAccess, OpKind, Register,
};

use super::emulate::{Kernel, handling};
use super::flow::{Transfer, Turn};
use super::probe::{Jump, Machine, Step};

/// Code of x86-64.
pub struct X86_64;

impl Machine for X86_64 {
    /// rdi, rsi, rdx, rcx, r8, r9.
    const ARGUMENTS: [u8; 6] = [7, 6, 2, 1, 8, 9];

    fn steps(code: &[u8], kernel: &Kernel) -> impl Iterator<Item = Step> {
        let mut info = InstructionInfoFactory::new();
        instructions(code).map(move |instruction| {
            let writes = writes(&instruction, &mut info);
            Step {
                at: instruction.ip(),
                handling: handling(&instruction, bytes_of(code, &instruction), kernel),
                falls_through: instruction.flow_control() == FlowControl::Next,
                writes,
                copy: copy(&instruction),
                disturbs: writes >> Register::RSP.number() & 1 == 1,
            }
        })
    }

    fn turns(code: &[u8], start: u64) -> impl Iterator<Item = (u64, Turn)> {
        let rest = usize::try_from(start).ok().and_then(|start| code.get(start..)).unwrap_or_default();
        let decoder = Decoder::with_ip(64, rest, start, DecoderOptions::NONE).into_iter();
        decoder.take_while(|instruction| !instruction.is_invalid()).map(|instruction| (instruction.ip(), turn(&instruction)))
    }

    fn jumps(code: &[u8]) -> impl Iterator<Item = Jump> {
        let direct = instructions(code).filter(|instruction| instruction.op0_kind() == OpKind::NearBranch64);
        direct.map(|instruction| Jump {
            target: instruction.near_branch_target(),
            call: !matches!(instruction.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch),
        })
    }

    fn forwards_to(code: &[u8]) -> Option<u64> {
        let first = body(code).next()?;
        let direct = first.flow_control() == FlowControl::UnconditionalBranch && first.op0_kind() == OpKind::NearBranch64;
        direct.then(|| first.near_branch_target())
    }

    fn stub_slot(code: &[u8], address: u64) -> Option<u64> {
        let jump = body(code).next()?;
        let through_memory = jump.flow_control() == FlowControl::IndirectBranch && jump.is_ip_rel_memory_operand();
        through_memory.then(|| address.wrapping_add(jump.ip_rel_memory_address()))
    }

    /// `mov $N, %eax; ret`.
    fn returned_constant(code: &[u8]) -> Option<u32> {
        let mut body = body(code);
        let (set, end) = (body.next()?, body.next()?);
        let constant = set.mnemonic() == Mnemonic::Mov && set.op0_register() == Register::EAX && set.op1_kind() == OpKind::Immediate32;
        (constant && end.mnemonic() == Mnemonic::Ret).then(|| set.immediate32())
    }
}

fn turn(instruction: &Instruction) -> Turn {
    let to = || Transfer::To(instruction.near_branch_target());
    let direct = || (instruction.op0_kind() == OpKind::NearBranch64).then(to);
    let through = || instruction.is_ip_rel_memory_operand().then(|| Transfer::Through(instruction.ip_rel_memory_address()));
    match instruction.flow_control() {
        FlowControl::Next => Turn::Next,
        FlowControl::Call => Turn::Call(direct()),
        FlowControl::IndirectCall => Turn::Call(through()),
        FlowControl::UnconditionalBranch => Turn::Jump(direct()),
        FlowControl::IndirectBranch => Turn::Jump(through()),
        FlowControl::ConditionalBranch => direct().map_or(Turn::Return, Turn::Branch),
        FlowControl::Exception | FlowControl::Interrupt => Turn::Trap,
        _ => Turn::Return,
    }
}

/// Every valid instruction from the start to the first undecodable byte, numbered from 0.
fn instructions(code: &[u8]) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter().take_while(|instruction| !instruction.is_invalid())
}

/// All but the landing marks.
fn body(code: &[u8]) -> impl Iterator<Item = Instruction> {
    instructions(code).filter(|instruction| instruction.mnemonic() != Mnemonic::Endbr64)
}

fn bytes_of<'a>(code: &'a [u8], instruction: &Instruction) -> &'a [u8] {
    let start = instruction.ip() as usize;
    code.get(start..start + instruction.len()).unwrap_or_default()
}

fn writes(instruction: &Instruction, info: &mut InstructionInfoFactory) -> u32 {
    let used = info.info_options(instruction, InstructionInfoOptions::NO_MEMORY_USAGE).used_registers();
    let written = |access| matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
    let registers = used.iter().filter(|used| written(used.access())).map(|used| used.register().full_register());
    registers.filter(|register| register.is_gpr64()).fold(0, |bits, register| bits | 1 << register.number())
}

/// A plain move between two 64-bit registers. A 32-bit move clears the upper half: not a copy.
fn copy(instruction: &Instruction) -> Option<(u8, u8)> {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    let plain = instruction.mnemonic() == Mnemonic::Mov && to.is_gpr64() && from.is_gpr64();
    let registers = instruction.op0_kind() == OpKind::Register && instruction.op1_kind() == OpKind::Register;
    (plain && registers).then(|| (to.number() as u8, from.number() as u8))
}
