//! Pages that were written lately and are anonymous in every reading: touching them again changes nothing, which is nearly every touch.

use crate::units::{Addr, Bytes, PAGE};
use std::ops::Range;

const SLOTS: usize = 256;
const NONE: u64 = u64::MAX;

/// A direct-mapped memory of such pages.
#[derive(Clone)]
pub(super) struct Hot([u64; SLOTS]);

impl Hot {
    pub(super) fn new() -> Hot {
        Hot([NONE; SLOTS])
    }

    /// Whether the bytes lie in one such page.
    pub(super) fn holds(&self, addr: Addr, len: Bytes) -> bool {
        let page = addr.page();
        self.0[page as usize % SLOTS] == page && len.0 != 0 && addr.0 + (len.0 - 1) < (page + 1) * PAGE
    }

    pub(super) fn add(&mut self, page: u64) {
        self.0[page as usize % SLOTS] = page;
    }

    /// The pages of the range may be gone.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        if range.end - range.start >= SLOTS as u64 {
            return self.forget_all();
        }
        for page in range.clone() {
            let slot = &mut self.0[page as usize % SLOTS];
            if *slot == page {
                *slot = NONE;
            }
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.0.fill(NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::space::page_range;

    #[test]
    fn what_is_held_is_one_page_and_is_forgotten_with_its_range() {
        let mut hot = Hot::new();
        hot.add(7);
        let at = |offset| Addr(7 * PAGE + offset);
        assert!(hot.holds(at(0), Bytes(PAGE)) && hot.holds(at(4095), Bytes(1)));
        assert!(!hot.holds(at(1), Bytes(PAGE)) && !hot.holds(at(0), Bytes(0)) && !hot.holds(Addr(6 * PAGE), Bytes(1)));
        hot.forget(&page_range(Addr(0), Bytes(7 * PAGE)));
        assert!(hot.holds(at(0), Bytes(1)));
        hot.forget(&page_range(at(100), Bytes(1)));
        assert!(!hot.holds(at(0), Bytes(1)));
        hot.add(7);
        hot.forget(&(0..1 << 40));
        assert!(!hot.holds(at(0), Bytes(1)));
    }
}
