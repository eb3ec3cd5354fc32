//! What the kernel does with a probed x86-64 instruction: runs it itself, single-steps it, or refuses it.
//!
//! The rules are those of the kernel's `arch/x86/kernel/uprobes.c`; those of arm64 stand in [`aarch64`](super::aarch64). They are decided here because the kernel says nothing when a probe is
//! registered for a file that is not mapped yet: a refused instruction then simply never reports.

use iced_x86::{Instruction, Mnemonic};

use crate::error::{Context, Error, Kind, Result};

/// Which kernel's rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// First number of the release.
    pub major: u32,
    /// Second number of the release.
    pub minor: u32,
}

impl Kernel {
    /// The kernel that runs here, from `/proc/sys/kernel/osrelease`.
    pub fn running() -> Result<Kernel> {
        let path = "/proc/sys/kernel/osrelease";
        let release = std::fs::read_to_string(path).context(Kind::Unsupported, format_args!("cannot read {path}"))?;
        Kernel::parse(&release).ok_or_else(|| Error::new(Kind::Unsupported, format!("cannot understand the kernel release {release:?}")))
    }

    /// Reads a release such as `6.1.0-18-amd64`.
    pub fn parse(release: &str) -> Option<Kernel> {
        let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
        Some(Kernel { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }

    /// Whether multi-byte nops are emulated.
    fn emulates_long_nops(&self) -> bool {
        *self >= Kernel { major: 6, minor: 16 }
    }

    /// Whether arm64's `nop` is simulated.
    pub(super) fn simulates_arm64_nop(&self) -> bool {
        *self >= Kernel { major: 6, minor: 13 }
    }
}

/// What happens to a probed instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handling {
    /// The kernel computes its effect: cheap.
    Emulated,
    /// It is run out of line under single-step: expensive.
    Stepped,
    /// No probe can be placed; the text says why.
    Refused(&'static str),
}

/// How this kernel treats an instruction; `bytes` is its encoding.
pub fn handling(instruction: &Instruction, bytes: &[u8], kernel: &Kernel) -> Handling {
    let legacy = bytes.iter().take_while(|byte| is_legacy_prefix(**byte)).count();
    let (prefixes, rest) = bytes.split_at(legacy);
    let (rex, opcode) = match rest {
        [rex @ 0x40..=0x4f, opcode @ ..] => (Some(*rex), opcode),
        opcode => (None, opcode),
    };
    let branch = matches!(opcode, [0xe8 | 0xe9 | 0xeb | 0x70..=0x7f, ..] | [0x0f, 0x80..=0x8f, ..]);
    if prefixes.iter().any(|byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e)) {
        Handling::Refused("a segment prefix")
    } else if prefixes.contains(&0xf0) {
        Handling::Refused("a lock prefix")
    } else if matches!(opcode, [] | [0xcc | 0xcd | 0xce | 0xf1 | 0xf4 | 0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef | 0xfa | 0xfb, ..]) {
        Handling::Refused("a trap or a privileged instruction")
    } else if branch && prefixes.contains(&0x66) {
        Handling::Refused("a branch with an operand-size prefix")
    } else if branch || is_push(bytes) || is_nop(instruction, rex, bytes, kernel) {
        Handling::Emulated
    } else {
        Handling::Stepped
    }
}

/// The prefixes that may stand before an opcode in any order (a REX prefix follows them).
fn is_legacy_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// `push` of a 64-bit register in its shortest form; the kernel takes no other.
fn is_push(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x57] | [0x41, 0x50..=0x57])
}

fn is_nop(instruction: &Instruction, rex: Option<u8>, bytes: &[u8], kernel: &Kernel) -> bool {
    // With REX.B the same opcode is an exchange with r8, so a REX prefix is better left alone.
    let short = bytes.last() == Some(&0x90) && rex.is_none() && matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Pause);
    short || (kernel.emulates_long_nops() && LONG_NOPS.contains(&bytes))
}

/// The multi-byte nops that the kernel itself uses: it compares whole encodings.
const LONG_NOPS: [&[u8]; 6] = [
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    const OLD: Kernel = Kernel { major: 6, minor: 15 };
    const NEW: Kernel = Kernel { major: 6, minor: 16 };

    fn how(bytes: &[u8], kernel: Kernel) -> Handling {
        let instruction = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        assert_eq!(instruction.len(), bytes.len(), "one instruction: {bytes:02x?}");
        handling(&instruction, bytes, &kernel)
    }

    #[test]
    fn pushes_branches_and_nops_are_emulated() {
        let emulated: [&[u8]; 12] = [
            &[0x55],
            &[0x41, 0x54],
            &[0x74, 0x10],
            &[0x0f, 0x84, 0, 1, 0, 0],
            &[0xe9, 0, 1, 0, 0],
            &[0xeb, 0x10],
            &[0xe8, 0, 1, 0, 0],
            &[0xf2, 0xe9, 0, 1, 0, 0],
            &[0x90],
            &[0x66, 0x90],
            &[0xf3, 0x90],
            &[0x66, 0x66, 0x90],
        ];
        for bytes in emulated {
            assert_eq!(how(bytes, OLD), Handling::Emulated, "{bytes:02x?}");
        }
    }

    #[test]
    fn other_forms_are_stepped() {
        // mov, test, endbr64, sub rsp, push imm, push [rax], 48-prefixed push, xchg r8 (a nop's opcode), indirect jmp, ret, loop
        let stepped: [&[u8]; 11] = [
            &[0x48, 0x89, 0xf8],
            &[0x48, 0x85, 0xff],
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0x48, 0x83, 0xec, 0x18],
            &[0x6a, 0x01],
            &[0xff, 0x30],
            &[0x48, 0x55],
            &[0x49, 0x90],
            &[0xff, 0xe0],
            &[0xc3],
            &[0xe2, 0x10],
        ];
        for bytes in stepped {
            assert_eq!(how(bytes, NEW), Handling::Stepped, "{bytes:02x?}");
        }
    }

    #[test]
    fn long_nops_depend_on_the_kernel() {
        for bytes in LONG_NOPS {
            assert_eq!((how(bytes, OLD), how(bytes, NEW)), (Handling::Stepped, Handling::Emulated), "{bytes:02x?}");
        }
        // The same operation in another encoding is not in the kernel's table.
        assert_eq!(how(&[0x0f, 0x1f, 0x45, 0x00], NEW), Handling::Stepped);
    }

    #[test]
    fn prefixes_the_kernel_refuses() {
        let refused: [&[u8]; 7] = [
            &[0x2e, 0x0f, 0x1f, 0x40, 0x00],
            &[0x3e, 0x74, 0x10],
            &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
            &[0xf0, 0x48, 0x0f, 0xb1, 0x37],
            &[0x66, 0x0f, 0x84, 0, 1, 0, 0],
            &[0xcc],
            &[0xf4],
        ];
        for bytes in refused {
            assert!(matches!(how(bytes, NEW), Handling::Refused(_)), "{bytes:02x?}");
        }
    }

    #[test]
    fn releases() {
        assert_eq!(Kernel::parse("6.1.0-18-amd64\n"), Some(Kernel { major: 6, minor: 1 }));
        assert_eq!(Kernel::parse("6.18.44+"), Some(Kernel { major: 6, minor: 18 }));
        assert_eq!((Kernel::parse(""), Kernel::parse("six")), (None, None));
        assert!(NEW > OLD && Kernel { major: 7, minor: 0 } > NEW);
    }
}
