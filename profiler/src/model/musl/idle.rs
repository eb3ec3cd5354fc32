//! Memory that is kept for a class, and bookkeeping, by address.

use super::Musl;
use super::classes::UNIT;
use super::group::NOBODY;
use crate::model::{Idle, Visit};
use crate::units::{Addr, Bytes, PAGE};

impl Musl {
    pub(super) fn visit_idle(&self, visit: &mut Visit) {
        self.metadata.chunks().iter().for_each(|&(start, len)| visit(Idle::Metadata, Addr(start), Bytes(len)));
        for group in self.groups.iter().filter(|group| group.pages > 0) {
            visit(Idle::Metadata, Addr(group.base), Bytes(UNIT));
            if group.free() == group.all() {
                visit(Idle::Cache, Addr(group.base + UNIT), Bytes(group.pages * PAGE - UNIT));
            }
        }
    }

    /// The mapping of a block.
    pub(super) fn around(&self, addr: u64) -> Option<(Addr, Bytes)> {
        let id = self.places.find((addr - UNIT) / PAGE);
        let group = self.groups.get(id as usize).filter(|_| id != NOBODY)?;
        Some((Addr(group.base), Bytes(group.pages * PAGE)))
    }
}
