//! Where the resident memory of a process sits: parts that make up the whole resident set.

use super::walk::View;
use crate::model::{Idle, Layout};
use crate::units::{Bytes, PAGE};

/// A part of the resident set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Requested bytes of live blocks, on pages that are resident.
    Live,
    /// Headers, rounding, and the allocator's bookkeeping.
    Overhead,
    /// Cached blocks.
    Cache,
    /// Free, on pages or in slabs that live blocks are in.
    Inside,
    /// Free pages that cannot go back because a block lies above them.
    Below,
    /// Free pages above the last block.
    Top,
    /// Free pages that go back after a while.
    Waiting,
    /// Pages that are resident only because the rest of their huge page is.
    Huge,
    /// Stacks, data and the program's own mappings.
    Other,
    /// Pages of files and shared memory.
    File,
}

impl Part {
    /// All of them, in the order in which they are stacked.
    pub const ALL: [Part; 10] =
        [Part::Live, Part::Overhead, Part::Cache, Part::Inside, Part::Below, Part::Top, Part::Waiting, Part::Huge, Part::Other, Part::File];
    /// What is free and held all the same.
    pub const FREE: [Part; 5] = [Part::Cache, Part::Inside, Part::Below, Part::Top, Part::Waiting];
}

/// Bytes by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts([u64; Part::ALL.len()]);

impl Parts {
    /// Bytes of a part.
    pub fn of(&self, part: Part) -> Bytes {
        Bytes(self.0[part as usize])
    }

    /// Bytes that are free and held.
    pub fn free(&self) -> Bytes {
        Part::FREE.iter().map(|&part| self.of(part)).sum()
    }

    /// All parts together.
    pub fn sum(&self) -> Bytes {
        Bytes(self.0.iter().sum())
    }

    fn add(&mut self, part: Part, bytes: u64) {
        self.0[part as usize] += bytes;
    }
}

/// Sums up a walk.
pub(super) struct Adder {
    layout: Layout,
    parts: Parts,
    area: u64,
    /// Free bytes below which nobody lives, as far as the walk has come in this area.
    open: u64,
}

impl Adder {
    pub(super) fn new(layout: Layout) -> Adder {
        Adder { layout, parts: Parts::default(), area: u64::MAX, open: 0 }
    }

    pub(super) fn take(&mut self, view: &View) {
        if view.area != self.area {
            self.close(Part::Top);
            self.area = view.area;
        }
        if view.spare {
            return self.parts.add(Part::Huge, PAGE);
        }
        if !view.is_empty() {
            self.close(Part::Below);
        }
        let rest = view.rest();
        self.parts.add(Part::Live, view.live);
        self.parts.add(Part::Overhead, view.whole - view.live + view.idle[Idle::Metadata as usize]);
        self.parts.add(Part::Cache, view.idle[Idle::Cache as usize]);
        self.parts.add(Part::Waiting, view.idle[Idle::Waiting as usize]);
        if view.is_empty() && self.layout.from_top {
            self.open += rest;
        } else {
            self.parts.add(Part::Inside, rest);
        }
    }

    /// The parts of a process whose resident set is `rss`, of which `files` are pages of files.
    pub(super) fn finish(mut self, rss: Bytes, files: Bytes) -> Parts {
        self.close(Part::Top);
        let others = rss.0.saturating_sub(self.parts.sum().0);
        let files = files.0.min(others);
        self.parts.add(Part::File, files);
        self.parts.add(Part::Other, others - files);
        self.parts
    }

    fn close(&mut self, part: Part) {
        let open = std::mem::take(&mut self.open);
        self.parts.add(part, open);
    }
}
