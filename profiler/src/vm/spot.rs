//! Where a block lies, in terms that do not depend on where the kernel put things.

use crate::units::Bytes;
use std::fmt;

/// What a block lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The area of the program break.
    Heap,
    /// A mapping that was made without access and opened bit by bit, as the heaps of glibc's further arenas are.
    Reserve,
    /// Any other mapping.
    Mapping,
}

/// A place relative to the start of its area: what two runs of one allocator have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// What it lies in.
    pub area: Area,
    /// Bytes from the start of the area: the first break seen, or the start of what is left of the mapping.
    pub offset: Bytes,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Area::Heap => "heap",
            Area::Reserve => "arena heap",
            Area::Mapping => "mapping",
        })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {:#x}", self.area, self.offset.0)
    }
}
