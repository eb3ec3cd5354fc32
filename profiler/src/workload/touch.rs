//! What the program touched, as far as page faults tell: the one place of inference.
//!
//! A page fault shows the first touch of a page and nothing after it. So, of a block's bytes:
//!
//! - on pages that were absent when the block was placed: *seen*. The fault names the byte; the rest of the block on that page follows
//!   without a fault, and is taken as touched with it except in the lowest reading;
//! - on pages that were resident already: never seen, so *assumed* touched when the block was placed.
//!
//! Faults inside a call of the malloc family, or outside of live blocks, are the allocator's own touches (headers, clearing, copying):
//! models report theirs themselves.

use super::live::Object;
use super::{Action, ObjectId};
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::{Page, PageStates};

/// Whether a use of this page would show as a fault: of a write at least, which is what blocks are for.
fn hides(state: Page) -> bool {
    matches!(state, Page::Anon | Page::Spare)
}

/// Whether all bytes lie on pages whose use cannot be seen.
pub(super) fn all_hidden(pages: &PageStates, addr: Addr, len: Bytes) -> bool {
    len.0 == 0 || (addr.page()..=Addr(addr.0 + (len.0 - 1)).page()).all(|page| hides(pages.get(page)))
}

/// The assumed touches of the bytes `from..to` of a block at `addr`: one for each run of pages whose use cannot be seen.
pub(super) fn assumed(pages: &PageStates, id: ObjectId, addr: Addr, from: Bytes, to: Bytes, mut emit: impl FnMut(Action)) {
    let (start, end) = (addr.0 + from.0, addr.0 + to.0);
    if start >= end {
        return;
    }
    let mut run: Option<(u64, u64)> = None;
    let mut close = |run: &mut Option<(u64, u64)>| {
        let Some((low, high)) = run.take() else { return };
        let (low, high) = ((low * PAGE).max(start), (high * PAGE).min(end));
        emit(Action::Touch { id, from: Bytes(low - addr.0), len: Bytes(high - low), access: Access::Write, seen: false });
    };
    pages.each(start / PAGE..(end - 1) / PAGE + 1, |page, state| {
        if run.is_some_and(|(_, high)| high != page) || !hides(state) {
            close(&mut run);
        }
        if hides(state) {
            run = Some((run.map_or(page, |(low, _)| low), page + 1));
        }
    });
    close(&mut run);
}

/// A fault in a live block that starts at `start`.
pub(super) fn seen(start: Addr, object: Object, fault: Addr, access: Access) -> Action {
    let page_end = fault.page_down().0 + PAGE;
    let end = (start.0 + object.size.0).min(page_end);
    Action::Touch { id: object.id, from: fault.since(start), len: Bytes(end - fault.0), access, seen: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Addr = Addr(0x10_0000);

    fn touched(resident: &[u64], offset: u64, size: u64) -> Vec<(u64, u64)> {
        let mut pages = PageStates::default();
        resident.iter().for_each(|page| pages.set(BASE.page() + page, Page::Anon));
        let mut found = Vec::new();
        assumed(&pages, 0, Addr(BASE.0 + offset), Bytes(0), Bytes(size), |action| match action {
            Action::Touch { from, len, seen: false, .. } => found.push((from.0, len.0)),
            other => panic!("{other:?}"),
        });
        found
    }

    #[test]
    fn runs_of_resident_pages_are_assumed() {
        assert_eq!(touched(&[0, 1, 3], 100, 5 * PAGE), [(0, 2 * PAGE - 100), (3 * PAGE - 100, PAGE)]);
        assert_eq!(touched(&[2], 0, 2 * PAGE), []);
        assert_eq!(touched(&[0], 10, 20), [(0, 20)]);
        assert_eq!(touched(&[0], 10, 0), []);
    }

    #[test]
    fn a_fault_names_its_byte_and_reaches_to_the_end_of_page_or_block() {
        let object = Object { id: 7, size: Bytes(5000), inherited: false };
        let start = Addr(BASE.0 + 16);
        let found = [Addr(start.0 + 8), Addr(BASE.0 + PAGE)].map(|fault| match seen(start, object, fault, Access::Read) {
            Action::Touch { from, len, .. } => (from.0, len.0),
            other => panic!("{other:?}"),
        });
        assert_eq!(found, [(8, PAGE - 24), (PAGE - 16, 5000 - (PAGE - 16))]);
    }
}
