//! Small blocks: taken from slabs lowest first, put back into them.

use super::Jemalloc;
use super::classes::size_of;
use super::space::Need;
use super::store::Id;
use crate::units::PAGE;
use crate::vm::os::Os;

impl Jemalloc {
    /// Takes `count` small blocks of a class, in the order in which they are used; fewer where the system refuses memory.
    pub(super) fn take_regions(&mut self, os: &mut dyn Os, a: usize, class: usize, count: u32, into: &mut Vec<u64>) {
        let mut left = count;
        while left > 0 {
            let current = self.arenas[a].bins[class].current;
            if current != 0 && self.store[current].free > 0 {
                left -= self.take_from_slab(current, class, left, into);
            } else if !self.next_slab(os, a, class) {
                break;
            }
        }
        self.arenas[a].region_bytes += u64::from(count - left) * size_of(class);
    }

    fn take_from_slab(&mut self, slab: Id, class: usize, most: u32, into: &mut Vec<u64>) -> u32 {
        let extent = &mut self.store[slab];
        let taken = most.min(extent.free);
        extent.free -= taken;
        let (size, addr) = (size_of(class), extent.addr);
        let mut left = taken;
        for (word, bits) in extent.regions.iter_mut().enumerate() {
            while *bits != 0 && left > 0 {
                let region = 64 * word as u64 + u64::from(bits.trailing_zeros());
                *bits &= *bits - 1;
                into.push(addr + region * size);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        taken
    }

    /// The next slab to use: the oldest and lowest with free blocks, or a new one.
    fn next_slab(&mut self, os: &mut dyn Os, a: usize, class: usize) -> bool {
        let bin = &mut self.arenas[a].bins[class];
        bin.current = bin.others;
        if bin.others != 0 {
            bin.others = self.store.heap_remove(bin.others, bin.others);
            return true;
        }
        let kind = self.params.slabs[class];
        let Some(slab) = self.take_extent(os, a, Need { pages: kind.pages, align: 1, zeroed: false }) else { return false };
        self.store[slab].fill_slab(kind.regions);
        self.register_inside(os, slab);
        self.arenas[a].slab_bytes += kind.pages * PAGE;
        self.arenas[a].bins[class].current = slab;
        true
    }

    /// Puts a block back; answers whether its slab is empty now, and then belongs to no bin any more.
    pub(super) fn put_region(&mut self, a: usize, class: usize, slab: Id, addr: u64) -> bool {
        let kind = &self.params.slabs[class];
        let extent = &mut self.store[slab];
        let region = kind.region(addr - extent.addr);
        extent.regions[region / 64] |= 1 << (region % 64);
        extent.free += 1;
        let arena = &mut self.arenas[a];
        arena.region_bytes -= size_of(class);
        let bin = &mut arena.bins[class];
        if extent.free == kind.regions {
            if slab == bin.current {
                bin.current = 0;
            } else if kind.regions > 1 {
                bin.others = self.store.heap_remove(bin.others, slab);
            }
            return true;
        }
        if extent.free == 1 && slab != bin.current {
            self.slab_has_room(a, class, slab);
        }
        false
    }

    /// A slab was full until now: the current one shall be the oldest and lowest.
    fn slab_has_room(&mut self, a: usize, class: usize, slab: Id) {
        let bin = &mut self.arenas[a].bins[class];
        let current = bin.current;
        if current == 0 || self.store.is_before(current, slab) {
            bin.others = self.store.heap_add(bin.others, slab);
            return;
        }
        bin.current = slab;
        if self.store[current].free > 0 {
            bin.others = self.store.heap_add(bin.others, current);
        }
    }

    /// An empty slab is an extent like others again.
    pub(super) fn release_slab(&mut self, os: &mut dyn Os, slab: Id) {
        let a = self.store[slab].arena as usize;
        self.arenas[a].slab_bytes -= self.store[slab].bytes();
        self.release(os, a, slab);
    }
}
