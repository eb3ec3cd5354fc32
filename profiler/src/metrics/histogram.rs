//! Requested sizes and lifetimes of blocks, in classes.

use super::threads::{ThreadUse, Threads};
use crate::event::Tid;
use crate::units::{Bytes, Nanos};

/// Exact classes for 0 … 7 bytes, then four per doubling.
const SIZES: usize = 8 + 61 * 4;
/// Below 1 µs, then a decade each, from 1000 s on one class.
const DECADES: usize = 11;

/// Requests of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Smallest size of the class.
    pub from: Bytes,
    /// Largest size of the class.
    pub to: Bytes,
    /// Requests.
    pub count: u64,
    /// Their sum.
    pub total: Bytes,
    /// Requested bytes live at the moment when all live bytes together peaked.
    pub live_at_peak: Bytes,
    /// The same at the end.
    pub live_at_end: Bytes,
    /// Blocks that were freed before their thread asked for another one.
    pub temporary: u64,
}

/// Blocks of one class of lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeClass {
    /// Shortest lifetime of the class.
    pub from: Nanos,
    /// End of the class, exclusive; `None` for blocks that nobody saw freed.
    pub to: Option<Nanos>,
    /// Blocks.
    pub count: u64,
    /// Their requested bytes.
    pub total: Bytes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: Bytes) {
        self.count += 1;
        self.bytes += bytes.0;
    }
}

/// A live block.
#[derive(Clone, Copy, Debug)]
struct Live {
    size: Bytes,
    born: Nanos,
    /// The thread that asked for it, by its number in [`Threads`].
    owner: u32,
}

/// Follows every block from its request to its end.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// By object id.
    live: Vec<Option<Live>>,
    live_bytes: u64,
    peak: u64,
    /// The live bytes stand at their peak, and `at_peak` is not taken yet.
    rising: bool,
    sizes: [Sum; SIZES],
    now: [u64; SIZES],
    at_peak: [u64; SIZES],
    temporary: [u64; SIZES],
    lifetimes: [Sum; DECADES],
    /// Blocks of which nobody knows how long they lived.
    forgotten: Sum,
    threads: Threads,
}

impl Default for Blocks {
    fn default() -> Blocks {
        let empty = Sum::default();
        Blocks {
            live: Vec::new(),
            live_bytes: 0,
            peak: 0,
            rising: false,
            sizes: [empty; SIZES],
            now: [0; SIZES],
            at_peak: [0; SIZES],
            temporary: [0; SIZES],
            lifetimes: [empty; DECADES],
            forgotten: empty,
            threads: Threads::default(),
        }
    }
}

impl Blocks {
    /// A block is born.
    pub fn alloc(&mut self, id: u32, tid: Tid, size: Bytes, time: Nanos) {
        self.sizes[size_class(size.0)].add(size);
        self.enter(id, tid, size, time);
    }

    /// A block is resized: another request, the same life.
    pub fn realloc(&mut self, id: u32, tid: Tid, size: Bytes) {
        let born = self.leave(id).map_or(Nanos(0), |block| block.born);
        self.sizes[size_class(size.0)].add(size);
        self.enter(id, tid, size, born);
    }

    /// A block ends; answers whether it was temporary.
    pub fn free(&mut self, id: u32, tid: Tid, time: Nanos) -> bool {
        let Some(&Live { owner, .. }) = self.live.get(id as usize).and_then(Option::as_ref) else { return false };
        let temporary = self.threads.free(id, tid, owner);
        if let Some(Live { size, born, .. }) = self.leave(id) {
            self.temporary[size_class(size.0)] += u64::from(temporary);
            self.lifetimes[decade(time.saturating_sub(born))].add(size);
        }
        temporary
    }

    /// A block is lost sight of: it is not live any more, and nobody saw it freed.
    pub fn forget(&mut self, id: u32) {
        if let Some(Live { size, .. }) = self.leave(id) {
            self.forgotten.add(size);
        }
    }

    /// Every thread that asked for a block or freed one, in the order in which they first did.
    pub fn threads(&self) -> Vec<ThreadUse> {
        self.threads.rows()
    }

    /// Requested bytes of live blocks.
    pub fn live_bytes(&self) -> Bytes {
        Bytes(self.live_bytes)
    }

    /// Live blocks.
    pub fn live_count(&self) -> u64 {
        self.live.iter().flatten().count() as u64
    }

    /// Classes that have requests.
    pub fn size_classes(&self) -> Vec<SizeClass> {
        let at_peak = if self.rising { &self.now } else { &self.at_peak };
        let row = |class: usize| {
            let (from, to) = size_bounds(class);
            let Sum { count, bytes } = self.sizes[class];
            let (live_at_peak, live_at_end) = (Bytes(at_peak[class]), Bytes(self.now[class]));
            let temporary = self.temporary[class];
            SizeClass { from: Bytes(from), to: Bytes(to), count, total: Bytes(bytes), live_at_peak, live_at_end, temporary }
        };
        (0..SIZES).filter(|&class| self.sizes[class].count > 0).map(row).collect()
    }

    /// Classes that have blocks; last those that were never freed.
    pub fn lifetime_classes(&self) -> Vec<LifetimeClass> {
        let mut rows = Vec::new();
        for (class, sum) in self.lifetimes.iter().enumerate().filter(|(_, sum)| sum.count > 0) {
            let (from, to) = (if class == 0 { 0 } else { 10u64.pow(class as u32 + 2) }, 10u64.pow(class as u32 + 3));
            let to = if class + 1 == DECADES { u64::MAX } else { to };
            rows.push(LifetimeClass { from: Nanos(from), to: Some(Nanos(to)), count: sum.count, total: Bytes(sum.bytes) });
        }
        let count = self.live_count() + self.forgotten.count;
        if count > 0 {
            let total = Bytes(self.live_bytes + self.forgotten.bytes);
            rows.push(LifetimeClass { from: Nanos(0), to: None, count, total });
        }
        rows
    }

    fn enter(&mut self, id: u32, tid: Tid, size: Bytes, born: Nanos) {
        let slot = id as usize;
        if slot >= self.live.len() {
            self.live.resize(slot + 1, None);
        }
        let owner = self.threads.alloc(id, tid, size);
        self.live[slot] = Some(Live { size, born, owner });
        self.now[size_class(size.0)] += size.0;
        self.live_bytes += size.0;
        if self.live_bytes > self.peak {
            self.peak = self.live_bytes;
            self.rising = true;
            self.threads.at_peak();
        }
    }

    fn leave(&mut self, id: u32) -> Option<Live> {
        let block = self.live.get_mut(id as usize)?.take()?;
        let size = block.size;
        self.threads.leave(id, block.owner, size);
        if self.rising && size.0 > 0 {
            self.at_peak = self.now;
            self.rising = false;
        }
        self.now[size_class(size.0)] -= size.0;
        self.live_bytes -= size.0;
        Some(block)
    }
}

fn size_class(size: u64) -> usize {
    if size < 8 {
        return size as usize;
    }
    let log2 = size.ilog2();
    8 + (log2 as usize - 3) * 4 + (size >> (log2 - 2) & 3) as usize
}

fn size_bounds(class: usize) -> (u64, u64) {
    if class < 8 {
        return (class as u64, class as u64);
    }
    let (shift, quarter) = ((class - 8) / 4 + 1, (class - 8) as u64 % 4);
    let from = (4 + quarter) << shift;
    (from, from + ((1 << shift) - 1))
}

fn decade(lifetime: Nanos) -> usize {
    let digits = lifetime.0.checked_ilog10().unwrap_or(0) as usize;
    digits.saturating_sub(2).min(DECADES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_lies_in_its_class_and_classes_join() {
        for size in (0..5000).chain([1 << 20, (1 << 20) - 1, 3 << 40, u64::MAX]) {
            let (from, to) = size_bounds(size_class(size));
            assert!(from <= size && size <= to, "{size}: {from}..{to}");
        }
        (1..SIZES).for_each(|class| assert_eq!(size_bounds(class - 1).1 + 1, size_bounds(class).0));
        assert_eq!(size_bounds(SIZES - 1).1, u64::MAX);
    }

    #[test]
    fn lifetimes_fall_into_decades() {
        assert_eq!([0, 999, 1000, 9_999, 10_000, u64::MAX].map(|ns| decade(Nanos(ns))), [0, 0, 1, 1, 2, 10]);
    }

    #[test]
    fn what_was_live_at_the_peak_is_remembered() {
        let mut blocks = Blocks::default();
        blocks.alloc(0, 1, Bytes(100), Nanos(0));
        blocks.alloc(1, 1, Bytes(5), Nanos(0));
        blocks.free(0, 1, Nanos(1_500));
        blocks.alloc(0, 1, Bytes(50), Nanos(2_000));
        blocks.realloc(0, 1, Bytes(60));
        let sizes: Vec<_> = blocks.size_classes().iter().map(|row| (row.from.0, row.count, row.total.0, row.live_at_peak.0)).collect();
        assert_eq!(sizes, [(5, 1, 5, 5), (48, 1, 50, 0), (56, 1, 60, 0), (96, 1, 100, 100)]);
        let lives: Vec<_> =
            blocks.lifetime_classes().iter().map(|row| (row.from.0, row.to.map(|to| to.0), row.count, row.total.0)).collect();
        assert_eq!(lives, [(1000, Some(10_000), 1, 100), (0, None, 2, 65)]);
    }
}
