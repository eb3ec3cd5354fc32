//! Where a policy's memory lies and what keeps it.

use serde::{Deserialize, Serialize};

use crate::schema::described;

described! {
/// Parts of the resident set at a moment; together they are all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Since the process began to be recorded.
    pub time_ns: u64,
    /// Resident set of the process.
    pub rss_bytes: u64,
    /// Requested bytes of live blocks, on resident pages.
    pub live_bytes: u64,
    /// Headers, rounding, and the allocator's bookkeeping.
    pub overhead_bytes: u64,
    /// Cached blocks.
    pub cache_bytes: u64,
    /// Free, on pages or in slabs that live blocks are in.
    pub inside_bytes: u64,
    /// Free pages that cannot go back because a block lies above them.
    pub below_bytes: u64,
    /// Free pages above the last block.
    pub top_bytes: u64,
    /// Free pages that go back after a while.
    pub waiting_bytes: u64,
    /// Pages that are resident only because the rest of their huge page is.
    pub huge_bytes: u64,
    /// Stacks, data and the program's own mappings.
    pub other_bytes: u64,
    /// Pages of files and shared memory.
    pub file_bytes: u64,
}

/// Live blocks that keep free memory. Those at the top of a heap keep it together with all that lie above them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PinRow {
    /// Which moment: `most free` (when most memory was free and held, within a tenth) or `end`.
    pub moment: String,
    /// That moment.
    pub time_ns: u64,
    /// `top`: they lie above free pages in a heap that shrinks from its top. `slab`: they lie in slabs or pages that are mostly free.
    pub hold: String,
    /// Start of the lowest of them, or of the lowest slab.
    pub at: u64,
    /// How many; 0 where only cached blocks are in the way.
    pub blocks: u64,
    /// Slabs that they lie in.
    pub slabs: u64,
    /// Their requested bytes.
    pub live_bytes: u64,
    /// Smallest request among them.
    pub smallest_bytes: u64,
    /// Largest request among them.
    pub largest_bytes: u64,
    /// Time since the youngest was asked for.
    pub youngest_ns: u64,
    /// Time since the oldest was asked for.
    pub oldest_ns: u64,
    /// Free resident bytes that they keep.
    pub holds_bytes: u64,
    /// What asked for most of them, where the recording tells.
    pub caller: Option<String>,
}

/// The allocator's address space in cells, at a few moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressMap {
    /// Size of a cell.
    pub cell_bytes: u64,
    /// Pieces of the address space, ascending; they are the same at all moments.
    pub areas: Vec<MapArea>,
    /// In time order.
    pub moments: Vec<MapMoment>,
}

/// Cells that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapArea {
    /// Where the first begins.
    pub start: u64,
    /// How many.
    pub cells: u64,
    /// It belongs to the program break.
    pub heap: bool,
}

/// The cells of all areas at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapMoment {
    /// Since the process began to be recorded.
    pub time_ns: u64,
    /// Resident set of the process.
    pub rss_bytes: u64,
    /// Runs of cells: a letter, and how many if not one. `a` nothing resident, `f` resident and free, `p` live blocks have less than half, `l` they have
    /// half or more.
    pub cells: String,
}
}
