//! A page: blocks of one size, of which some are handed out, some are free in one of three lists, and some were never used.

use super::rules::{DIRECT, PAGE_OFFSET, SLICE, extension};

/// No block.
pub(super) const NONE: u16 = u16::MAX;
/// No page, no thread.
pub(super) const NOBODY: u32 = u32::MAX;

/// What a thread does that frees a block of another's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delayed {
    /// It tells the owner, who then looks at the page.
    Use,
    /// The owner was told and has not looked yet.
    Told,
    /// There is nobody to tell.
    Never,
}

/// Blocks are known by their number.
pub(super) struct Page {
    /// Address of the first block.
    pub(super) start: u64,
    pub(super) block_size: u64,
    /// Turns an offset into a number without a division; 0 where there is one block only.
    reciprocal: u64,
    /// The list that requests are served from, and the one that the owner's frees go to.
    pub(super) free: u16,
    local: u16,
    /// Handed out, as far as the owner knows.
    pub(super) used: u16,
    /// Blocks that are in lists or handed out; the others were never linked.
    pub(super) capacity: u16,
    pub(super) reserved: u16,
    pub(super) in_full: bool,
    /// Sweeps that it is still kept for, empty; 0: not counted.
    pub(super) retire: u8,
    pub(super) bin: u8,
    /// What other threads freed: first, last and number.
    remote: (u16, u16, u16),
    pub(super) delayed: Delayed,
    /// The thread it belongs to.
    pub(super) heap: u32,
    pub(super) segment: u32,
    pub(super) slice: u16,
    pub(super) slices: u32,
    /// Neighbours in its queue.
    pub(super) previous: u32,
    pub(super) next: u32,
    links: Vec<u16>,
}

impl Default for Page {
    fn default() -> Page {
        Page {
            start: 0,
            block_size: 0,
            reciprocal: 0,
            free: NONE,
            local: NONE,
            used: 0,
            capacity: 0,
            reserved: 0,
            in_full: false,
            retire: 0,
            bin: 0,
            remote: (NONE, NONE, 0),
            delayed: Delayed::Use,
            heap: NOBODY,
            segment: 0,
            slice: 0,
            slices: 0,
            previous: NOBODY,
            next: NOBODY,
            links: Vec::new(),
        }
    }
}

impl Page {
    /// Begins anew, on so many slices from `base` on, with one block.
    pub(super) fn renew(&mut self, segment: u32, slice: usize, slices: usize, base: u64) {
        let mut links = std::mem::take(&mut self.links);
        links.clear();
        let start = base;
        *self = Page { segment, slice: slice as u16, slices: slices as u32, start, links, ..Page::default() };
        self.divide(slices as u64 * SLICE);
    }

    /// Divides the page, of which nothing is used yet, into blocks.
    pub(super) fn divide(&mut self, block_size: u64) {
        let offset = if (8..=DIRECT).contains(&block_size) { PAGE_OFFSET } else { 0 };
        let reserved = (u64::from(self.slices) * SLICE - offset) / block_size;
        self.start += offset;
        self.block_size = block_size;
        self.reserved = reserved as u16;
        self.reciprocal = if reserved == 1 { 0 } else { (1 << 40) / block_size + 1 };
    }

    pub(super) fn address(&self, block: u16) -> u64 {
        self.start + u64::from(block) * self.block_size
    }

    /// The block that holds an address.
    pub(super) fn block_at(&self, addr: u64) -> u16 {
        ((addr - self.start).wrapping_mul(self.reciprocal) >> 40) as u16
    }

    /// Bytes that its blocks take.
    pub(super) fn area(&self) -> u64 {
        u64::from(self.reserved) * self.block_size
    }

    pub(super) fn all_free(&self) -> bool {
        self.used == 0
    }

    /// Whether it could serve a request.
    pub(super) fn has_room(&self) -> bool {
        self.used < self.reserved || self.remote.2 > 0
    }

    /// Hands out the first free block.
    pub(super) fn pop(&mut self) -> Option<u16> {
        let block = self.free;
        if block == NONE {
            return None;
        }
        self.free = self.links[usize::from(block)];
        self.used += 1;
        Some(block)
    }

    /// The owner frees.
    pub(super) fn push(&mut self, block: u16) {
        self.links[usize::from(block)] = self.local;
        self.local = block;
        self.used -= 1;
    }

    /// Another thread frees.
    pub(super) fn push_remote(&mut self, block: u16) {
        let (first, last, count) = self.remote;
        self.links[usize::from(block)] = first;
        self.remote = (block, if count == 0 { block } else { last }, count + 1);
    }

    /// Takes over what others freed, and what the owner freed once nothing else is left; with `force`, in any case.
    pub(super) fn collect(&mut self, force: bool) {
        let (first, last, count) = self.remote;
        if count > 0 {
            self.links[usize::from(last)] = self.local;
            self.local = first;
            self.used -= count;
            self.remote = (NONE, NONE, 0);
        }
        if self.local == NONE || (self.free != NONE && !force) {
            return;
        }
        if self.free != NONE {
            let mut last = self.local;
            while self.links[usize::from(last)] != NONE {
                last = self.links[usize::from(last)];
            }
            self.links[usize::from(last)] = self.free;
        }
        self.free = std::mem::replace(&mut self.local, NONE);
    }

    /// Links further blocks, which must be asked for when none is free; answers with the first and their number.
    pub(super) fn extend(&mut self) -> (u16, u16) {
        let first = self.capacity;
        let count = u64::from(self.reserved - first).min(extension(self.block_size)) as u16;
        self.capacity += count;
        self.links.extend(first + 1..self.capacity);
        self.links.push(self.free);
        self.free = first;
        (first, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(slices: usize, block_size: u64) -> Page {
        let mut page = Page::default();
        page.renew(0, 1, slices, 1 << 40);
        page.divide(block_size);
        page
    }

    #[test]
    fn every_address_has_its_block() {
        for (slices, size) in [(1, 8), (1, 48), (1, 1024), (1, 1280), (1, 16384), (8, 20480), (8, 114_688), (8, 131_072), (3, 3 << 16)] {
            let page = page(slices, size);
            for block in 0..page.reserved {
                let addr = page.address(block);
                assert_eq!([addr, addr + size - 1].map(|addr| page.block_at(addr)), [block; 2], "{size}");
            }
        }
    }

    #[test]
    fn freed_blocks_come_back_when_the_free_ones_are_used_up() {
        let mut page = page(1, 1024);
        assert_eq!((page.reserved, page.extend()), (63, (0, 4)));
        let taken: Vec<_> = (0..3).map(|_| page.pop().unwrap()).collect();
        assert_eq!(taken, [0, 1, 2]);
        page.push(0);
        page.push_remote(1);
        page.push(2);
        page.collect(false);
        assert_eq!((page.used, page.pop(), page.pop()), (0, Some(3), None));
        page.collect(false);
        assert_eq!([(); 4].map(|()| page.pop()), [Some(1), Some(2), Some(0), None]);
    }
}
