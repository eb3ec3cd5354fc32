//! A survey of a heap: now and then a look at every resident page and who lives there.
//!
//! ```text
//! tenants   bytes of live blocks by page, kept up to date with every block
//! walk      every resident page: tenants, caches, bookkeeping, the rest
//! parts     where the resident set sits, over time
//! map       the address space in cells, at a few moments
//! pins      the few blocks that keep much memory, at two moments
//! thinned   a bounded number of moments
//! ```
//!
//! A look costs as much as the heap has resident pages. So that it never slows a replay by much, looks are paid for by operations. Only a new peak is
//! looked at in any case: such looks are few, and smaller the earlier they are, so that all together cost as much as some [`HIGHER`] looks at the last.

mod map;
mod parts;
mod pins;
mod tenants;
mod thinned;
mod walk;

pub use map::{AddressMap, Area, CELLS, Cell};
pub use parts::{Part, Parts};
pub use pins::{EachResident, Hold, Pin, Resident, Sites};
pub use thinned::Moment;
pub use walk::Memory;

use crate::model::{AllocatorModel, Block, Layout};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use map::{Mapper, Sheet};
use parts::Adder;
use tenants::Tenants;
use thinned::Thinned;
use walk::walk;

/// Moments of the parts, beside the last.
const MOMENTS: usize = 299;
/// Pages that may be looked at before any operation, and operations that pay for one more: a page takes about as long as half an operation.
const CREDIT: u64 = 1 << 17;
const PRICE: u64 = 8;
/// A resident set that is higher by this part of the highest one seen so far is a new peak.
const HIGHER: u64 = 12;
/// Heaps smaller than this are not worth a look that is not paid for.
const PEAK_LEAST: u64 = 1 << 20;
/// Blocks that keep memory are looked for again when a tenth more is free and held.
const GROWN: (u64, u64) = (11, 10);

/// What a look sees.
pub struct Scene<'a> {
    /// When.
    pub time: Nanos,
    /// Resident set of the process, and what of it are pages of files.
    pub rss: Bytes,
    /// Pages of files and shared memory among them.
    pub files: Bytes,
    /// Anonymous resident bytes of the allocator.
    pub heap: Bytes,
    /// Its memory.
    pub memory: Memory<'a>,
    /// Where the break area begins.
    pub base: Addr,
    /// The allocator.
    pub model: &'a dyn AllocatorModel,
    /// Its live blocks.
    pub blocks: &'a EachResident<'a>,
}

impl Scene<'_> {
    /// The heap is part of the process; not so where the carried memory is a difference to a library that is not loaded yet.
    fn is_whole(&self) -> bool {
        self.heap <= self.rss
    }
}

/// The pins of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// When.
    pub time: Nanos,
    /// Bytes that were free and held in all.
    pub free: Bytes,
    /// By what.
    pub pins: Vec<Pin>,
}

/// What a survey found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Where the resident set sits, in time order.
    pub parts: Vec<Moment<Parts>>,
    /// The address space.
    pub map: AddressMap,
    /// When most was free and held (within a tenth), and at the end.
    pub pinned: [Pinned; 2],
}

/// A survey under way.
pub struct Survey {
    layout: Layout,
    tenants: Tenants,
    parts: Thinned<Parts>,
    map: Mapper,
    most_free: Pinned,
    /// Highest resident set that was looked at.
    highest: Bytes,
    /// Pages that may still be looked at.
    credit: u64,
    /// Operations that have not paid for one yet.
    earned: u64,
}

impl Survey {
    /// Of an allocator with this layout.
    pub fn new(layout: Layout) -> Survey {
        Survey {
            layout,
            tenants: Tenants::new(),
            parts: Thinned::new(MOMENTS),
            map: Mapper::new(),
            most_free: Pinned::default(),
            highest: Bytes(0),
            credit: CREDIT,
            earned: 0,
        }
    }

    /// A block of `size` requested bytes is there.
    pub fn add(&mut self, block: Block, size: Bytes) {
        self.tenants.add(block, size, self.layout.header);
    }

    /// It is no more.
    pub fn remove(&mut self, block: Block, size: Bytes) {
        self.tenants.remove(block, size, self.layout.header);
    }

    /// So many operations were done.
    pub fn earn(&mut self, operations: usize) {
        self.earned += operations as u64;
        self.credit += self.earned / PRICE;
        self.earned %= PRICE;
    }

    /// Whether it is worth a look, and paid for or a new peak.
    pub fn is_due(&self, time: Nanos, rss: Bytes, heap: Bytes) -> bool {
        let is_peak = rss.0 > self.highest.0 + self.highest.0 / HIGHER && heap.0 >= PEAK_LEAST;
        is_peak || (self.parts.is_due(time, rss) || self.map.is_due(time, rss)) && self.credit >= heap.0 / PAGE
    }

    /// Looks.
    pub fn look(&mut self, scene: &Scene<'_>) {
        self.credit = self.credit.saturating_sub(1 + scene.heap.0 / PAGE);
        if !scene.is_whole() {
            return;
        }
        self.highest = self.highest.max(scene.rss);
        let map_is_due = self.map.is_due(scene.time, scene.rss);
        let (parts, sheet) = self.walk(scene);
        self.parts.put(Moment { time: scene.time, rss: scene.rss, seen: parts });
        if map_is_due {
            self.map.put(scene.time, scene.rss, sheet);
        }
        if parts.free().0 * GROWN.1 > self.most_free.free.0 * GROWN.0 && self.credit >= self.tenants.blocks {
            self.credit -= self.tenants.blocks;
            self.most_free = self.pinned(scene, parts.free());
        }
    }

    /// Looks for the last time.
    pub fn finish(mut self, scene: &Scene<'_>) -> Surveyed {
        if !scene.is_whole() {
            return Surveyed { parts: self.parts.into_moments(), ..Surveyed::default() };
        }
        let (parts, sheet) = self.walk(scene);
        let end = self.pinned(scene, parts.free());
        if end.free > self.most_free.free {
            self.most_free = end.clone();
        }
        let mut moments = self.parts.into_moments();
        moments.retain(|moment| moment.time < scene.time || moment.rss > scene.rss);
        moments.push(Moment { time: scene.time, rss: scene.rss, seen: parts });
        Surveyed { parts: moments, map: self.map.finish(scene.time, scene.rss, sheet, scene.base), pinned: [self.most_free, end] }
    }

    fn walk(&mut self, scene: &Scene<'_>) -> (Parts, Sheet) {
        self.tenants.tidy();
        let (mut adder, mut sheet) = (Adder::new(self.layout), self.map.sheet());
        walk(scene.memory, &self.tenants, scene.model, |view| {
            adder.take(&view);
            sheet.take(&view);
        });
        (adder.finish(scene.rss, scene.files), sheet)
    }

    fn pinned(&self, scene: &Scene<'_>, free: Bytes) -> Pinned {
        let pins = pins::pins(scene.memory, &self.tenants, scene.model, scene.blocks, scene.time);
        Pinned { time: scene.time, free, pins }
    }
}

#[cfg(test)]
mod tests;
