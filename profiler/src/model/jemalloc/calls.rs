//! The calls of a program.

use super::Jemalloc;
use super::classes::{LARGE_MAX, LARGE_MIN, PAD, SMALL, SMALL_MAX, aligned_size, class_of, size_of};
use super::space::Need;
use super::store::Id;
use crate::event::Access;
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Blocks begin at multiples of a cache line.
const CACHELINE: u64 = 64;
const PAGE_BITS: u32 = PAGE.ilog2();

/// A block that is asked for: its size after rounding.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub(super) usable: u64,
    pub(super) align: u64,
    pub(super) zeroed: bool,
    /// Large ones may come from the thread's cache.
    pub(super) cached: bool,
    /// What decides about the arena for the largest blocks.
    pub(super) weight: u64,
}

impl Jemalloc {
    /// A block for a request, as address and size.
    pub(super) fn allocate(&mut self, os: &mut dyn Os, thread: usize, size: u64, align: u64, zeroed: bool) -> Option<(u64, u64)> {
        let want = if align == 0 {
            let usable = (size <= LARGE_MAX).then(|| size_of(class_of(size)))?;
            Want { usable, align: CACHELINE, zeroed, cached: true, weight: size }
        } else {
            let usable = aligned_size(size.max(1), align)?;
            Want { usable, align: align.max(CACHELINE), zeroed, cached: usable <= SMALL_MAX, weight: usable }
        };
        let addr = self.allocate_usable(os, thread, want)?;
        if self.params.junk_new && !zeroed {
            os.touch(Addr(addr), Bytes(want.usable), Access::Write);
        }
        self.count_allocated(os, thread, want.usable);
        Some((addr, want.usable))
    }

    /// A block without counting its bytes.
    fn allocate_usable(&mut self, os: &mut dyn Os, thread: usize, want: Want) -> Option<u64> {
        let class = class_of(want.usable);
        if class >= SMALL {
            return self.allocate_large(os, thread, class, want);
        }
        let addr = self.allocate_small(os, thread, class)?;
        if want.zeroed {
            os.touch(Addr(addr), Bytes(want.usable), Access::Write);
        }
        Some(addr)
    }

    fn allocate_small(&mut self, os: &mut dyn Os, thread: usize, class: usize) -> Option<u64> {
        if let Some(cache) = &mut self.threads[thread].cache
            && let Some(stack) = cache.stacks.get_mut(class)
        {
            return stack.pop().or_else(|| self.fill(os, thread, class));
        }
        let a = self.threads[thread].arena;
        let mut block = std::mem::take(&mut self.flushed);
        self.take_regions(os, a, class, 1, &mut block);
        let addr = block.pop();
        self.flushed = block;
        self.tick(os, thread, a, 1);
        addr
    }

    fn allocate_large(&mut self, os: &mut dyn Os, thread: usize, class: usize, want: Want) -> Option<u64> {
        let mut is_huge = self.params.oversize.is_some_and(|least| want.weight >= least);
        if want.cached
            && let Some(cache) = &mut self.threads[thread].cache
            && let Some(stack) = cache.stacks.get_mut(class)
        {
            if let Some(addr) = stack.pop() {
                if want.zeroed {
                    os.touch(Addr(addr), Bytes(want.usable), Access::Write);
                }
                return Some(addr);
            }
            stack.missed(os);
            is_huge = false;
        }
        let a = if is_huge { self.huge_arena(os) } else { self.threads[thread].arena };
        let need = Need { pages: want.usable / PAGE + PAD, align: want.align.div_ceil(PAGE), zeroed: want.zeroed };
        let extent = self.take_extent(os, a, need)?;
        self.arenas[a].pad_bytes += PAD * PAGE;
        let mut addr = self.store[extent].addr;
        if want.align < PAGE {
            let bits = PAGE_BITS - want.align.next_multiple_of(CACHELINE).ilog2();
            addr += self.threads[thread].random.bits(bits) << (PAGE_BITS - bits);
        }
        self.tick(os, thread, a, 1);
        Some(addr)
    }

    /// Takes a block back.
    pub(super) fn deallocate(&mut self, os: &mut dyn Os, thread: usize, addr: u64, usable: u64) {
        if self.params.junk_freed {
            os.touch(Addr(addr), Bytes(usable), Access::Write);
        }
        self.deallocate_uncounted(os, thread, addr, usable);
        self.count_freed(os, thread, usable);
    }

    fn deallocate_uncounted(&mut self, os: &mut dyn Os, thread: usize, addr: u64, usable: u64) {
        let class = class_of(usable);
        if let Some(cache) = &mut self.threads[thread].cache
            && let Some(stack) = cache.stacks.get_mut(class)
        {
            if stack.is_full() {
                let shift = if class < SMALL { self.params.flush_small } else { self.params.flush_large };
                let keep = stack.most >> shift;
                self.flush(os, thread, class, keep);
            }
            return self.stack(thread, class).push(os, addr);
        }
        let extent = self.extent_of(addr);
        let a = self.store[extent].arena as usize;
        if class >= SMALL {
            self.release_large(os, extent);
        } else if self.put_region(a, class, extent, addr) {
            self.release_slab(os, extent);
        }
        self.tick(os, thread, a, 1);
    }

    /// The extent of a large block is free.
    pub(super) fn release_large(&mut self, os: &mut dyn Os, extent: Id) {
        let a = self.store[extent].arena as usize;
        self.arenas[a].pad_bytes -= PAD * PAGE;
        self.release(os, a, extent);
    }

    /// The block resized, in place or elsewhere.
    pub(super) fn reallocate(&mut self, os: &mut dyn Os, thread: usize, old: (u64, u64), size: u64) -> Option<(u64, u64)> {
        let (addr, usable) = old;
        let wanted = (size <= LARGE_MAX).then(|| size_of(class_of(size)))?;
        let both_large = usable >= LARGE_MIN && wanted >= LARGE_MIN;
        let stays = if both_large { self.resize_large(os, addr, usable, wanted) } else { usable == wanted };
        let new = if stays {
            let a = self.store[self.extent_of(addr)].arena as usize;
            self.tick(os, thread, a, 1);
            addr
        } else {
            let want = Want { usable: wanted, align: CACHELINE, zeroed: self.params.zero, cached: !both_large, weight: wanted };
            let new = self.allocate_usable(os, thread, want)?;
            let copied = Bytes(usable.min(wanted));
            os.touch(Addr(addr), copied, Access::Read);
            os.touch(Addr(new), copied, Access::Write);
            self.deallocate_uncounted(os, thread, addr, usable);
            new
        };
        self.count_allocated(os, thread, wanted);
        self.count_freed(os, thread, usable);
        if self.params.junk_new && wanted > usable && !self.params.zero {
            os.touch(Addr(new + usable), Bytes(wanted - usable), Access::Write);
        }
        Some((new, wanted))
    }

    /// Tries to resize a large block in place.
    fn resize_large(&mut self, os: &mut dyn Os, addr: u64, usable: u64, wanted: u64) -> bool {
        if wanted == usable {
            return true;
        }
        let extent = self.extent_of(addr);
        let a = self.store[extent].arena as usize;
        if wanted > usable {
            return self.expand(os, a, extent, (wanted - usable) / PAGE);
        }
        let rest = self.split(os, a, extent, wanted / PAGE + PAD);
        self.release(os, a, rest);
        true
    }
}
