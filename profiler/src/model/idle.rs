//! What a model tells of its memory beside the blocks, for those who ask why a page is held.

use crate::units::{Addr, Bytes};

/// Why memory is held that no live block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Blocks in a cache, ready to be handed out again.
    Cache,
    /// Free memory that goes back after a while.
    Waiting,
    /// The allocator's own bookkeeping.
    Metadata,
}

/// How an allocator lays out its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Bytes in front of a block that belong to it.
    pub header: Bytes,
    /// Free memory goes back from the top of an area only, so that a block keeps all that lies below it.
    pub from_top: bool,
}

/// Takes a range and why it is held. Ranges do not overlap each other or a live block.
pub type Visit<'a> = dyn FnMut(Idle, Addr, Bytes) + 'a;
