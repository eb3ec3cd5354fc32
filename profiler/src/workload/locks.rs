//! Memory that is made resident at once, for good: the program's own is carried, blocks are touched.

use super::touch::Block;
use super::{Action, Evidence, Fate, Op, Process, What};
use crate::event::{Access, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT};
use crate::units::PAGE;
use crate::vm::space::page_range;

use std::ops::Range;

/// All pages.
const EVERYTHING: Range<u64> = 0..u64::MAX / PAGE;

impl Process {
    pub(super) fn lock(&mut self, what: What, out: &mut Vec<Op>) -> Fate {
        match what {
            What::Mlock { addr, len, on_fault, errno: 0 } => self.lock_pages(page_range(addr, len), on_fault, out),
            What::Munlock { addr, len, errno: 0 } => self.placement.space_mut().unlock(addr, len),
            What::Mlockall { flags, errno: 0 } => self.lock_all(flags, out),
            _ => {}
        }
        Fate::Carried
    }

    /// Blocks that lie there are resident under every policy.
    fn lock_pages(&mut self, range: Range<u64>, on_fault: bool, out: &mut Vec<Op>) {
        if !on_fault {
            self.touch_blocks(&range, out);
        }
        let carried = self.placement.lock(range, on_fault);
        self.carry(carried, out);
    }

    /// What the allocator holds is the policies' own to lock.
    fn lock_all(&mut self, flags: u32, out: &mut Vec<Op>) {
        self.emit(Action::LockAll { flags }, out);
        if flags & MCL_CURRENT != 0 {
            let carried = self.placement.lock(EVERYTHING, flags & MCL_ONFAULT != 0);
            self.carry(carried, out);
        } else if flags & MCL_FUTURE == 0 {
            self.placement.space_mut().unlock_all();
        }
        self.placement.space_mut().lock_new(flags);
    }

    fn touch_blocks(&mut self, range: &Range<u64>, out: &mut Vec<Op>) {
        let time = self.now();
        for (addr, object) in
            self.live.overlapping(range.start * PAGE..range.end.saturating_mul(PAGE)).filter(|(_, object)| !object.inherited)
        {
            let block = Block { addr, object };
            for page in page_range(addr, object.size).filter(|page| range.contains(page)) {
                if !self.placement.space().pages().get(page).is_anon() {
                    self.inference.lost_sight(block, page * PAGE..(page + 1) * PAGE);
                }
                let bytes = block.part(&(page * PAGE..(page + 1) * PAGE));
                out.push(Op { time, action: block.touch(bytes, Access::Write, Evidence::Seen) });
            }
        }
    }
}
