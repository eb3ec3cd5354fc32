//! A64 code: what each instruction does to a search for a probe point, and what the kernel does with a probe on it.
//!
//! The rules are those of the kernel's `arch/arm64/kernel/probes/decode-insn.c`. Instructions are words of four bytes; bits 28 to 25 tell the group.
//! Where a form is not known here, more is taken to be changed than is: that costs a cheap point, never a right one.
//!
//! A return probe replaces the link register (x30) where it stands. It works only before the function has stored or signed that register.

use super::emulate::{Handling, Kernel};
use super::flow::{Transfer, Turn};
use super::probe::{Jump, Machine, Step};

/// Code of arm64.
pub struct Aarch64;

/// Number of the link register, which holds the return address.
const LINK: u8 = 30;
/// Number of the stack pointer, where an instruction does not take it for the zero register.
const STACK: u8 = 31;

impl Machine for Aarch64 {
    const ARGUMENTS: [u8; 6] = [0, 1, 2, 3, 4, 5];

    fn steps(code: &[u8], kernel: &Kernel) -> impl Iterator<Item = Step> {
        words(code).map(|(at, word)| {
            // What is not known ends the search.
            let unknown = Effect { writes: u32::MAX, disturbs: true };
            let (known, effect) = effect(word).map_or((false, unknown), |effect| (true, effect));
            Step {
                at,
                handling: handling(word, kernel),
                falls_through: known && !is_branch(word),
                writes: effect.writes,
                copy: copy(word),
                disturbs: effect.disturbs || effect.writes & (1 << LINK | 1 << STACK) != 0,
            }
        })
    }

    fn turns(code: &[u8], start: u64) -> impl Iterator<Item = (u64, Turn)> {
        words(code).skip_while(move |(at, _)| *at < start).map(|(at, word)| (at, turn(at, word)))
    }

    fn jumps(code: &[u8]) -> impl Iterator<Item = Jump> {
        words(code).filter_map(|(at, word)| Some(Jump { target: at.wrapping_add_signed(displacement(word)?), call: is_call(word) }))
    }

    fn forwards_to(code: &[u8]) -> Option<u64> {
        let (at, word) = words(code).find(|(_, word)| !is_landing(*word))?;
        (word >> 26 == 0b000101).then(|| at.wrapping_add_signed(displacement(word).unwrap_or(0)))
    }

    /// ```text
    /// adrp x16, page      ldr x17, [x16, offset]      add x16, x16, offset      br x17
    /// ```
    fn stub_slot(code: &[u8], address: u64) -> Option<u64> {
        let mut body = words(code).filter(|(_, word)| !is_landing(*word));
        let ((at, page), (_, load)) = (body.next()?, body.next()?);
        let is_stub = page & 0x9f00_001f == 0x9000_0010 && load & 0xffc0_03ff == 0xf940_0211;
        let high = i64::from(signed(page >> 5, 19)) << 2 | i64::from(page >> 29 & 3);
        let base = (address.wrapping_add(at) & !0xfff).wrapping_add_signed(high << 12);
        is_stub.then(|| base.wrapping_add(u64::from(load >> 10 & 0xfff) * 8))
    }

    /// `movz w0, N; ret`.
    fn returned_constant(code: &[u8]) -> Option<u32> {
        let mut body = words(code).map(|(_, word)| word).filter(|word| !is_landing(*word));
        let (set, end) = (body.next()?, body.next()?);
        (set & 0xffe0_001f == 0x5280_0000 && end == 0xd65f_03c0).then_some(set >> 5 & 0xffff)
    }
}

fn turn(at: u64, word: u32) -> Turn {
    let direct = displacement(word).map(|distance| Transfer::To(at.wrapping_add_signed(distance)));
    match direct {
        Some(_) if is_call(word) => Turn::Call(direct),
        Some(_) if word >> 26 == 0b000101 => Turn::Jump(direct),
        Some(transfer) => Turn::Branch(transfer),
        // blr; br; the rest of them return. An exception that is raised on purpose ends the program.
        None if is_register_branch(word) && word >> 21 & 0xf == 1 => Turn::Call(None),
        None if is_register_branch(word) && word >> 21 & 0xf == 0 => Turn::Jump(None),
        None if is_branch(word) => {
            if word >> 24 == 0xd4 {
                Turn::Trap
            } else {
                Turn::Return
            }
        }
        None => Turn::Next,
    }
}

/// What happens to a probe on this instruction.
pub fn handling(word: u32, kernel: &Kernel) -> Handling {
    if word == NOP {
        return if kernel.simulates_arm64_nop() { Handling::Emulated } else { Handling::Stepped };
    }
    if displacement(word).is_some() || is_register_branch(word) || is_page_address(word) {
        return Handling::Emulated;
    }
    match word >> 25 & 0xf {
        0b0000 => Handling::Refused("not an instruction"),
        0b1010 | 0b1011 if is_hint(word) && !is_steppable_hint(word) => Handling::Refused("a hint that may trap"),
        0b1010 | 0b1011 if !is_hint(word) && !is_barrier_or_cache(word) => Handling::Refused("an exception or a system register"),
        0b0100 | 0b0110 | 0b1100 | 0b1110 if word & 0x3b00_0000 == 0x1800_0000 => Handling::Refused("a literal load"),
        0b0100 | 0b0110 | 0b1100 | 0b1110 if word & 0x3f00_0000 == 0x0800_0000 => Handling::Refused("an exclusive access"),
        0b0100 | 0b0110 | 0b1100 | 0b1110 if word & 0x3b20_0c00 == 0x1900_0400 => Handling::Refused("a part of a copy of memory"),
        _ => Handling::Stepped,
    }
}

const NOP: u32 = 0xd503_201f;

/// What an instruction does to registers.
struct Effect {
    /// A bit for each register that may be changed.
    writes: u32,
    /// Whether the return address may leave its register, or be signed there.
    disturbs: bool,
}

/// `None` for forms about which nothing is known.
fn effect(word: u32) -> Option<Effect> {
    let [d, n, m] = [word, word >> 5, word >> 16].map(|bits| (bits & 31) as u8);
    let reads = |registers: &[u8]| registers.contains(&LINK);
    match word >> 25 & 0xf {
        0b1000 | 0b1001 => {
            // Page addresses and wide moves have no source register.
            let has_source = !matches!(word >> 23 & 7, 0b000 | 0b001 | 0b101);
            Some(Effect { writes: bit(d, immediate_form_writes_stack(word)), disturbs: has_source && reads(&[n]) })
        }
        0b1010 | 0b1011 => Some(system(word)),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word),
        // Conditional compares change the flags only.
        0b0101 | 0b1101 if word & 0x1fe0_0000 == 0x1a40_0000 => Some(Effect { writes: 0, disturbs: false }),
        0b0101 | 0b1101 => {
            let extended_add = word & 0x3fe0_0000 == 0x0b20_0000;
            Some(Effect { writes: bit(d, extended_add), disturbs: reads(&[n, m]) })
        }
        // Vectors: where one goes to a general register, that is the first field.
        0b0111 | 0b1111 => Some(Effect { writes: bit(d, false), disturbs: reads(&[n]) }),
        _ => None,
    }
}

/// The bit of a register; number 31 is nothing, or the stack pointer.
fn bit(register: u8, stack: bool) -> u32 {
    if register == STACK && !stack { 0 } else { 1 << register }
}

/// Additions and logical operations with an immediate reach the stack pointer unless they set the flags.
fn immediate_form_writes_stack(word: u32) -> bool {
    match word >> 23 & 7 {
        0b010 => word >> 29 & 1 == 0,
        0b011 => true,
        0b100 => word >> 29 & 3 != 3,
        _ => false,
    }
}

fn system(word: u32) -> Effect {
    if word == NOP || is_landing(word) {
        Effect { writes: 0, disturbs: false }
    } else if is_hint(word) {
        // Those that sign or strip addresses use x16, x17 and the link register.
        Effect { writes: 1 << 16 | 1 << 17, disturbs: true }
    } else if is_call(word) {
        Effect { writes: 1 << LINK, disturbs: true }
    } else {
        // Reading a system register is the only other form that changes one.
        let reads_system = word >> 22 == 0b11_0101_0100 && word >> 21 & 1 == 1;
        Effect { writes: if reads_system { bit((word & 31) as u8, false) } else { 0 }, disturbs: false }
    }
}

/// Loads and stores. Bits 29 to 27 and 25, 24 tell the form, bit 26 whether the data are vectors.
fn memory(word: u32) -> Option<Effect> {
    let [t, n, t2, s] = [word, word >> 5, word >> 10, word >> 16].map(|bits| (bits & 31) as u8);
    let (vector, load) = (word >> 26 & 1 == 1, word >> 22 & 3 != 0);
    let base = |written: bool| if written { bit(n, true) } else { 0 };
    let stores_link = |registers: &[u8]| n == LINK || (!vector && registers.contains(&LINK));
    if word & 0x3a00_0000 == 0x2800_0000 {
        // A pair; bit 23: the base register is moved as well.
        let loaded = if word >> 22 & 1 == 1 && !vector { bit(t, false) | bit(t2, false) } else { 0 };
        return Some(Effect { writes: loaded | base(word >> 23 & 1 == 1), disturbs: stores_link(&[t, t2]) });
    }
    if word & 0x3b00_0000 == 0x3900_0000 {
        let loaded = if load && !vector { bit(t, false) } else { 0 };
        return Some(Effect { writes: loaded, disturbs: stores_link(&[t]) });
    }
    if word & 0x3b20_0000 == 0x3800_0000 {
        // Bit 10: before or after, the base register is moved.
        let loaded = if load && !vector { bit(t, false) } else { 0 };
        return Some(Effect { writes: loaded | base(word >> 10 & 1 == 1), disturbs: stores_link(&[t]) });
    }
    if word & 0x3b20_0c00 == 0x3820_0800 {
        let loaded = if load && !vector { bit(t, false) } else { 0 };
        return Some(Effect { writes: loaded, disturbs: stores_link(&[t, s]) });
    }
    if word & 0x3b00_0000 == 0x1800_0000 {
        return Some(Effect { writes: if vector { 0 } else { bit(t, false) }, disturbs: false });
    }
    // Atomic operations and exclusives: any register they name may be changed.
    let named = word & 0x3f00_0000 == 0x0800_0000 || word & 0x3f20_0c00 == 0x3820_0000;
    named.then(|| Effect { writes: [t, t2, s].iter().fold(0, |bits, register| bits | bit(*register, false)), disturbs: n == LINK })
}

/// `mov xD, xM` between two whole registers.
fn copy(word: u32) -> Option<(u8, u8)> {
    (word & 0xffe0_ffe0 == 0xaa00_03e0).then_some(((word & 31) as u8, (word >> 16 & 31) as u8)).filter(|(to, from)| *to < 31 && *from < 31)
}

/// `adr`, `adrp`.
fn is_page_address(word: u32) -> bool {
    word & 0x1f00_0000 == 0x1000_0000
}

/// `b`, `bl`, `b.cond`, `cbz`, `cbnz`, `tbz`, `tbnz`: how far it goes, bytes.
fn displacement(word: u32) -> Option<i64> {
    let words = if word & 0x7c00_0000 == 0x1400_0000 {
        signed(word, 26)
    } else if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        signed(word >> 5, 19)
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        signed(word >> 5, 14)
    } else {
        return None;
    };
    Some(i64::from(words) * 4)
}

/// The lowest `width` bits as a number with a sign.
fn signed(bits: u32, width: u32) -> i32 {
    let unused = 32 - width;
    (bits << unused) as i32 >> unused
}

/// `br`, `blr`, `ret`, without a signed address.
fn is_register_branch(word: u32) -> bool {
    matches!(word & 0xffff_fc1f, 0xd61f_0000 | 0xd63f_0000 | 0xd65f_0000)
}

/// Everything that does not go on with the next instruction: branches of all forms, exceptions.
fn is_branch(word: u32) -> bool {
    displacement(word).is_some() || word & 0xfe00_0000 == 0xd600_0000 || word & 0xff00_0000 == 0xd400_0000
}

fn is_call(word: u32) -> bool {
    word >> 26 == 0b10_0101 || word & 0xfffc_0000 == 0xd63c_0000
}

fn is_hint(word: u32) -> bool {
    word & 0xffff_f01f == NOP
}

/// A landing mark (`bti`), which marks where an indirect branch may arrive.
fn is_landing(word: u32) -> bool {
    word & 0xffff_ff3f == 0xd503_241f
}

/// The kernel steps `nop`, landing marks, and those that sign or strip addresses; not those that check them.
fn is_steppable_hint(word: u32) -> bool {
    // xpaclri 7; pacia1716 8, pacib1716 10; paciaz 24, paciasp 25, pacibz 26, pacibsp 27
    word == NOP || is_landing(word) || matches!(word >> 5 & 0x7f, 7 | 8 | 10 | 24..=27)
}

/// The system instructions that can be stepped: barriers and cache maintenance.
fn is_barrier_or_cache(word: u32) -> bool {
    word & 0xffff_f000 == 0xd503_3000 || word & 0xffd8_0000 == 0xd508_0000
}

/// The whole words of the code, each with its distance from the start.
fn words(code: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    code.as_chunks::<4>().0.iter().enumerate().map(|(index, word)| (4 * index as u64, u32::from_le_bytes(*word)))
}

#[cfg(test)]
#[path = "aarch64_tests.rs"]
mod tests;
