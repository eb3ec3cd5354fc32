//! The calls of a program.

use super::Mimalloc;
use super::page::{NOBODY, NONE};
use super::rules::{ALIGNMENT, CLEARED, DIRECT, MOST, NATURAL, SEGMENT, bin};
use super::threads::Collect;
use crate::event::{Access, Tid};
use crate::model::{Block, Request};
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;

/// A block, and where in it the program's part begins.
#[derive(Clone, Copy)]
struct Found {
    page: u32,
    block: u16,
    addr: u64,
}

impl Mimalloc {
    pub(super) fn allocate(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let heap = self.own_heap(os, request.tid)?;
        let size = request.size.0;
        let found = match request.align {
            0 => self.plain(os, heap, size)?,
            align => self.aligned(os, heap, size, align)?,
        };
        let page = &self.pages[found.page as usize];
        let (start, whole) = (page.address(found.block), page.block_size);
        let lost = found.addr - start;
        self.totals.live += whole;
        self.totals.lost += lost;
        let usable = Bytes(whole - lost);
        if request.zeroed {
            // Also in fresh memory: what is known to be zero is not kept in this version.
            let (from, len) = if request.align > ALIGNMENT { (found.addr, usable.0) } else { (start, whole.min(CLEARED)) };
            os.touch(Addr(from), Bytes(len), Access::Write);
        }
        Some(Block { addr: Addr(found.addr), usable })
    }

    fn plain(&mut self, os: &mut dyn Os, heap: u32, size: u64) -> Option<Found> {
        if size <= DIRECT {
            let at = self.heaps[heap as usize].queues[bin(size)].0;
            if at != NOBODY
                && let Some(block) = self.pages[at as usize].pop()
            {
                return Some(self.found(at, block));
            }
        }
        self.generic(os, heap, size, 0)
    }

    fn generic(&mut self, os: &mut dyn Os, heap: u32, size: u64, align: u64) -> Option<Found> {
        let page = match self.find_page_up_to(os, heap, size, align) {
            Some(page) => page,
            None => {
                self.collect(os, heap, Collect::Force);
                self.find_page_up_to(os, heap, size, align)?
            }
        };
        let block = self.pages[page as usize].pop()?;
        Some(self.found(page, block))
    }

    fn find_page_up_to(&mut self, os: &mut dyn Os, heap: u32, size: u64, align: u64) -> Option<u32> {
        if size > MOST { None } else { self.find_page(os, heap, size, align) }
    }

    fn found(&self, page: u32, block: u16) -> Found {
        Found { page, block, addr: self.pages[page as usize].address(block) }
    }

    /// A block whose address is a multiple of `align`, which may lie inside of a larger one.
    fn aligned(&mut self, os: &mut dyn Os, heap: u32, size: u64, align: u64) -> Option<Found> {
        if size > MOST {
            return None;
        }
        if size <= DIRECT && align <= size {
            let at = self.heaps[heap as usize].queues[bin(size)].0;
            let fits = size.is_power_of_two()
                || self.pages.get(at as usize).is_some_and(|page| page.free != NONE && page.address(page.free).is_multiple_of(align));
            if fits {
                return self.plain(os, heap, size);
            }
        }
        if align <= size && size <= NATURAL && size.is_multiple_of(align) {
            return self.plain(os, heap, size);
        }
        let found = if align > ALIGNMENT {
            self.generic(os, heap, size.max(DIRECT + 1), align.max(SEGMENT))?
        } else {
            self.plain(os, heap, size.checked_add(align - 1)?)?
        };
        Some(Found { addr: found.addr.checked_next_multiple_of(align)?, ..found })
    }

    pub(super) fn release(&mut self, os: &mut dyn Os, tid: Tid, block: Block) {
        let addr = block.addr.0;
        // A block may be aligned to the end of the first part of its segment.
        let segment = self.places.get((addr - 1) / SEGMENT).expect("a block of this heap");
        let owner = &self.segments[segment as usize];
        let at = owner.page_at(addr);
        let page = &self.pages[at as usize];
        let number = page.block_at(addr);
        self.totals.live -= page.block_size;
        self.totals.lost -= page.block_size - block.usable.0;
        let heap = self.threads.heap(tid);
        if owner.owner == heap && heap != NOBODY {
            self.free_local(os, at, number);
        } else {
            self.free_remote(os, at, number);
        }
    }

    pub(super) fn resize(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let (size, usable) = (request.size.0, old.usable.0);
        if size <= usable && size >= usable / 2 && size > 0 {
            return Some(old);
        }
        let new = self.allocate(os, Request { align: 0, zeroed: false, ..request })?;
        let copied = Bytes(size.min(usable));
        os.touch(old.addr, copied, Access::Read);
        os.touch(new.addr, copied, Access::Write);
        self.release(os, request.tid, old);
        Some(new)
    }
}
