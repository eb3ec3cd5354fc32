//! Where blocks were asked for: call stacks as a tree, the code that they run through, and what it is called.
//!
//! Plain numbers and text, as the tables of a trace hold them.

use super::ProcessId;

/// A place in the tree of stacks: one more than the position of its [`Frame`] in the recording; 0 is unknown.
pub type SiteId = u32;

/// Which call of which caller: a node of the tree of all stacks. Where only immediate callers were recorded, every node is a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Whose address space.
    pub process: ProcessId,
    /// The place of the frame that called this one, which comes earlier; 0 for the outermost.
    pub parent: SiteId,
    /// Return address: the instruction after the call.
    pub addr: u64,
}

/// Code of a file in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// Whose address space.
    pub process: ProcessId,
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What lies at `start`: bytes from the beginning of the file.
    pub offset: u64,
    /// Number of the file, the same wherever it is mapped.
    pub file: u32,
    /// Its path as the process sees it.
    pub path: String,
    /// Its GNU build id in hex; empty where it has none or could not be read.
    pub build_id: String,
}

/// A function at an address. Functions that were inlined there come first, innermost first, then the one that has the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// Number of the file, see [`Code`].
    pub file: u32,
    /// Return address, bytes from the beginning of the file.
    pub offset: u64,
    /// Name, demangled.
    pub name: String,
    /// Source file; empty where it is not known.
    pub source: String,
    /// Line of the call in it; 0 where it is not known.
    pub line: u32,
    /// Whether the function was inlined into the next one.
    pub inlined: bool,
}

/// What a recording tells of origins besides its events; each comes before the events that need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// New nodes of the tree of stacks.
    pub frames: Vec<Frame>,
    /// Code that was mapped.
    pub code: Vec<Code>,
    /// Names, known at the end.
    pub symbols: Vec<Symbol>,
}

impl Origins {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.code.is_empty() && self.symbols.is_empty()
    }
}
