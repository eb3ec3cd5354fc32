//! Operations on a heap, and how they are written down.
//!
//! ```text
//! a=m24  7=c100  a=r5000  b=al64,100        malloc, calloc, realloc, memalign into a slot; slots are letters (a is 0) or numbers
//! b=pm64,100  b=aa64,100  b=v100  b=pv100   posix_memalign, aligned_alloc, valloc, pvalloc
//! free a   fill a                           give back; write all usable bytes
//! sbrk 4096  trim 0  opt -4=0               the program's own sbrk, malloc_trim, mallopt
//! block                                     maps a page just above the break, so that it cannot grow
//! spawn 1  exit                             starts a thread; the calling one ends
//! … @1                                      by thread 1; without it by the main thread
//! ```

use std::fmt;

/// What is called. The numbers are those of the driver that runs scripts under the real allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Call {
    Malloc,
    Calloc,
    Realloc,
    Memalign,
    PosixMemalign,
    AlignedAlloc,
    Valloc,
    Pvalloc,
    Free,
    Sbrk,
    Trim,
    Option,
    Fill,
    Block,
    Spawn,
    Exit,
}

/// How calls that answer with a block are written.
const ALLOCATING: [(&str, Call); 8] = [
    ("m", Call::Malloc),
    ("c", Call::Calloc),
    ("r", Call::Realloc),
    ("al", Call::Memalign),
    ("pm", Call::PosixMemalign),
    ("aa", Call::AlignedAlloc),
    ("v", Call::Valloc),
    ("pv", Call::Pvalloc),
];

/// One operation. What a call has no use for is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) call: Call,
    /// Who calls; 0 is the main thread.
    pub(crate) thread: u32,
    /// Where the block is kept; the new thread of `Spawn`; the parameter of `Option`.
    pub(crate) slot: i64,
    /// Bytes; the value of `Option`.
    pub(crate) size: i64,
    pub(crate) align: i64,
}

impl Op {
    /// By the main thread.
    pub(crate) fn new(call: Call, slot: i64, size: i64) -> Op {
        Op { call, thread: 0, slot, size, align: 0 }
    }

    pub(crate) fn aligned(call: Call, slot: i64, align: i64, size: i64) -> Op {
        Op { align, ..Op::new(call, slot, size) }
    }

    pub(crate) fn by(self, thread: u32) -> Op {
        Op { thread, ..self }
    }

    /// Whether it answers with a block.
    pub(crate) fn allocates(&self) -> bool {
        ALLOCATING.iter().any(|(_, call)| *call == self.call)
    }

    /// Reads one; `None` when it is not written as above.
    pub(crate) fn parse(text: &str) -> Option<Op> {
        if let Some((op, thread)) = text.split_once('@') {
            return Some(Op::parse(op.trim())?.by(thread.parse().ok()?));
        }
        if let Some((name, rest)) = text.split_once(' ') {
            return match name {
                "free" => Some(Op::new(Call::Free, slot(rest)?, 0)),
                "fill" => Some(Op::new(Call::Fill, slot(rest)?, 0)),
                "sbrk" => Some(Op::new(Call::Sbrk, 0, rest.parse().ok()?)),
                "trim" => Some(Op::new(Call::Trim, 0, rest.parse().ok()?)),
                "spawn" => Some(Op::new(Call::Spawn, rest.parse().ok()?, 0)),
                "opt" => rest.split_once('=').and_then(|(key, value)| Some(Op::new(Call::Option, key.parse().ok()?, value.parse().ok()?))),
                _ => None,
            };
        }
        match text {
            "block" => return Some(Op::new(Call::Block, 0, 0)),
            "exit" => return Some(Op::new(Call::Exit, 0, 0)),
            _ => {}
        }
        let (name, call) = text.split_once('=')?;
        let digits = call.find(|letter: char| letter.is_ascii_digit())?;
        let (_, kind) = ALLOCATING.iter().find(|(short, _)| *short == &call[..digits])?;
        let (align, size) = call[digits..].split_once(',').unwrap_or(("0", &call[digits..]));
        Some(Op::aligned(*kind, slot(name)?, align.parse().ok()?, size.parse().ok()?))
    }
}

pub(crate) fn slot(name: &str) -> Option<i64> {
    match name.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(i64::from(letter - b'a')),
        _ => name.parse().ok(),
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Op { slot, size, align, .. } = *self;
        let name = if slot < 26 { char::from(b'a' + slot.max(0) as u8).to_string() } else { slot.to_string() };
        match self.call {
            Call::Free => write!(f, "free {name}")?,
            Call::Fill => write!(f, "fill {name}")?,
            Call::Sbrk => write!(f, "sbrk {size}")?,
            Call::Trim => write!(f, "trim {size}")?,
            Call::Option => write!(f, "opt {slot}={size}")?,
            Call::Block => write!(f, "block")?,
            Call::Spawn => write!(f, "spawn {slot}")?,
            Call::Exit => write!(f, "exit")?,
            call => {
                let short = ALLOCATING.iter().find(|(_, known)| *known == call).map_or("", |(short, _)| short);
                let align = if align == 0 { String::new() } else { format!("{align},") };
                write!(f, "{name}={short}{align}{size}")?;
            }
        }
        if self.thread == 0 { Ok(()) } else { write!(f, " @{}", self.thread) }
    }
}
