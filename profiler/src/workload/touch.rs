//! What the program touched, as far as page faults tell: the one place of inference.
//!
//! A page fault shows the first touch of a page and nothing after it. So, of a block's bytes:
//!
//! - on pages that are absent: *seen*. The fault names the byte; the rest of the block on that page follows without a fault, and is taken as
//!   touched with it except in the lowest reading. What no fault ever touches was not touched, in any reading;
//! - on pages that are resident already when the block is placed, or become so by a touch of something else (a neighbour on the same page, the
//!   allocator, another part of a huge page): never seen. Small blocks, and the beginning of large ones, are *assumed* touched. Of the rest of a
//!   large block a share is *inferred*: as much as was touched of blocks like it whose use could be seen ([`Habits`]), counted from its
//!   beginning. Where there are none, all of it is assumed.
//!
//! Faults inside a call of the malloc family, or outside of live blocks, are the allocator's own touches (headers, clearing, copying):
//! models report theirs themselves.

use super::habits::{self, Habits};
use super::live::Object;
use super::{Action, Evidence};
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE, Pages};
use crate::vm::kernel::HUGE;
use crate::vm::{Page, PageStates};
use std::ops::Range;

/// Bytes of blocks by how their touch is known; bytes of blocks that were never touched are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// On pages whose first touch was a fault in the block.
    pub seen: Bytes,
    /// Taken as touched because blocks like it were.
    pub inferred: Bytes,
    /// Taken as touched, without such a likeness.
    pub assumed: Bytes,
    /// Taken as not touched because blocks like it were not.
    pub spared: Bytes,
}

/// A live block at its recorded address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) addr: Addr,
    pub(super) object: Object,
}

/// What is known of touches so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Inference {
    habits: Habits,
    pub(super) sums: Touches,
}

/// Whether a use of this page would show as a fault: of a write at least, which is what blocks are for.
fn hides(state: Page) -> bool {
    matches!(state, Page::Anon | Page::Spare)
}

/// Whether all bytes lie on pages whose use cannot be seen.
pub(super) fn all_hidden(pages: &PageStates, addr: Addr, len: Bytes) -> bool {
    len.0 == 0 || (addr.page()..=Addr(addr.0 + (len.0 - 1)).page()).all(|page| hides(pages.get(page)))
}

/// The bytes that a fault made resident, which gained so many pages: a page, or a huge one; none if it gained nothing.
pub(super) fn around(fault: Addr, gained: Pages) -> Range<u64> {
    let unit = if gained.0 > 1 { HUGE } else { PAGE };
    let start = fault.0 & !(unit - 1);
    start..start + gained.0.min(1) * unit
}

impl Block {
    fn bytes(self) -> Range<u64> {
        self.addr.0..self.addr.0 + self.object.size.0
    }

    /// The pages in a range of bytes that hold nothing but this block.
    fn own_pages(self, range: &Range<u64>) -> Range<u64> {
        let own = clip(&self.bytes(), range);
        let first = own.start.div_ceil(PAGE);
        first..(own.end / PAGE).max(first)
    }

    /// What of a range of bytes is in it.
    pub(super) fn part(self, bytes: &Range<u64>) -> Range<u64> {
        clip(&self.bytes(), bytes)
    }

    pub(super) fn touch(self, bytes: Range<u64>, access: Access, evidence: Evidence) -> Action {
        let (from, len) = (Bytes(bytes.start - self.addr.0), Bytes(bytes.end - bytes.start));
        Action::Touch { id: self.object.id, from, len, access, evidence }
    }
}

impl Inference {
    /// The bytes of a block from `from` on are new to the program.
    pub(super) fn placed(&mut self, pages: &PageStates, block: Block, from: Bytes, mut emit: impl FnMut(Action)) {
        let fresh = block.addr.0 + from.0..block.bytes().end;
        if fresh.is_empty() {
            return;
        }
        let (own, first) = (block.own_pages(&fresh), block.addr.page());
        let mut visible = Default::default();
        habits::count(own.start - first..own.end - first, &mut visible, 1);
        let mut runs: Vec<Range<u64>> = Vec::new();
        pages.each(fresh.start / PAGE..(fresh.end - 1) / PAGE + 1, |page, state| {
            if !hides(state) {
                return;
            }
            if own.contains(&page) {
                habits::count(page - first..page - first + 1, &mut visible, -1);
            }
            match runs.last_mut() {
                Some(run) if run.end == page * PAGE => run.end += PAGE,
                _ => runs.push(page * PAGE..(page + 1) * PAGE),
            }
        });
        if block.object.size.0 > PAGE {
            self.habits.placed(block.object, visible);
        }
        runs.into_iter().for_each(|run| self.hidden(block, clip(&run, &fresh), &mut emit));
    }

    /// A fault in a block.
    pub(super) fn seen(&mut self, block: Block, fault: Addr, access: Access, gained: Pages, mut emit: impl FnMut(Action)) {
        let page = fault.page_down().0;
        let touched = fault.0..block.bytes().end.min(page + PAGE);
        let before = block.bytes().start.max(page)..fault.0;
        let first_write = access == Access::Write && gained.0 == 1;
        if (first_write || access == Access::Read) && !block.own_pages(&(page..page + PAGE)).is_empty() {
            self.habits.touched(block.object, fault.page() - block.addr.page(), access);
        }
        self.sums.seen += Bytes(touched.end - before.start);
        if !before.is_empty() {
            emit(block.touch(before, access, Evidence::Possible));
        }
        emit(block.touch(touched, access, Evidence::Seen));
    }

    /// Bytes became resident as parts of a huge page: touches of them will not be seen, and those of others say nothing of them.
    pub(super) fn lost_sight(&mut self, block: Block, bytes: Range<u64>) {
        let (own, first) = (block.own_pages(&bytes), block.addr.page());
        self.habits.unseen(block.object, own.start - first..own.end - first);
    }

    /// Bytes became resident by a touch that was not of this block, or, where it was, not of all of them: uses of them will not be seen.
    pub(super) fn hidden_by_another(&mut self, block: Block, bytes: Range<u64>, fault: Option<Addr>, mut emit: impl FnMut(Action)) {
        let page = fault.map_or(0..0, |fault| fault.page_down().0..fault.page_down().0 + PAGE);
        let bytes = clip(&block.bytes(), &bytes);
        for part in [bytes.start..bytes.end.min(page.start.max(bytes.start)), bytes.start.max(page.end)..bytes.end] {
            self.hidden(block, part, &mut emit);
        }
    }

    /// What is taken of bytes whose use cannot be seen: those at the beginning of a block for certain, of the others a share.
    fn hidden(&mut self, block: Block, bytes: Range<u64>, emit: &mut impl FnMut(Action)) {
        if bytes.is_empty() {
            return;
        }
        if block.object.zeroed {
            let evidence = if self.habits.reads_first(block.object) { Evidence::Inferred } else { Evidence::Possible };
            emit(block.touch(bytes.clone(), Access::Read, evidence));
        }
        let head = clip(&bytes, &(0..block.addr.0 + block.object.size.0.min(PAGE)));
        let mut parts = vec![(head.clone(), Evidence::Assumed)];
        let page_of = |byte: u64| byte / PAGE - block.addr.page();
        for (place, pages) in habits::places(page_of(head.end)..page_of(bytes.end - 1) + 1) {
            let part = clip(&bytes, &((block.addr.page() + pages.start) * PAGE..(block.addr.page() + pages.end) * PAGE));
            let part = clip(&part, &(head.end..bytes.end));
            match self.habits.expect(block.object, place, pages.end - pages.start) {
                None => parts.push((part, Evidence::Assumed)),
                Some(taken) => {
                    let middle = (part.start / PAGE + taken) * PAGE;
                    let middle = middle.clamp(part.start, part.end);
                    parts.extend([(part.start..middle, Evidence::Inferred), (middle..part.end, Evidence::Possible)]);
                }
            }
        }
        parts.retain(|(part, _)| !part.is_empty());
        parts.dedup_by(|later, kept| {
            let one = later.1 == kept.1;
            if one {
                kept.0.end = later.0.end;
            }
            one
        });
        for (part, evidence) in parts {
            *self.sums.of(evidence) += Bytes(part.end - part.start);
            emit(block.touch(part, Access::Write, evidence));
        }
    }
}

impl Touches {
    fn of(&mut self, evidence: Evidence) -> &mut Bytes {
        match evidence {
            Evidence::Seen => &mut self.seen,
            Evidence::Inferred => &mut self.inferred,
            Evidence::Assumed => &mut self.assumed,
            Evidence::Possible => &mut self.spared,
        }
    }
}

fn clip(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}
