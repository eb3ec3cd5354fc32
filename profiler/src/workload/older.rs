//! What the allocator held before the recording began (attach, fork).

use super::placement::Placement;
use super::regions::Owner;
use crate::units::Pages;

impl Placement {
    /// Resident pages of the allocator that are older than the recording. Every policy carries them; in how much of them the real allocator had room
    /// for later blocks is unknown.
    pub fn older_heap(&self) -> Pages {
        let theirs = self.regions.pieces(0..u64::MAX).filter(|(_, id)| self.regions.get(*id).owner == Owner::Allocator);
        Pages(theirs.map(|(piece, _)| self.older.tally(piece).anon).sum())
    }
}
