//! mimalloc 2.0.9, the version in Debian 12, address for address (x86-64, 4 KiB pages).
//!
//! ```text
//! calls      malloc, calloc, realloc, memalign, free: what a program sees
//! heap       queues of pages of one thread, by block size        page      blocks of one size
//! spans      queues of free spans of slices                      segment   32 MiB, or one huge block
//! commit     what of a segment is committed, and returned when   mask      a bit for each slice
//! cache      empty segments                                      abandoned segments of threads that ended
//! threads    the heap of a thread, its start and its end         system    mappings, and where they lie
//! rules      sizes, classes, settings                            spec      the real knobs
//! ```
//!
//! Nothing is clocked by a timer: what waits for its time is returned when pages and segments are allocated and freed.
//!
//! The allocator itself touches: the header of a segment (its first page, and those where the entries of slices lie that are written), the
//! first word of each block that becomes free, and the data of each thread but the first. The entry of a page is written at each
//! request, too; here only when spans change, because the page it lies on is resident since. (After a `fork`, the one fault for it is
//! missed.) For the same reason, reading the link of a free block is not simulated.
//!
//! Differential runs against `libmimalloc2.0` (the same seeded scripts here and there, with one and with several threads taking turns) agree
//! in every pointer, call and fault. So they do with the default delays on the real clock, but for operations that take so long that a
//! delay ends meanwhile: here no time passes within an operation. Beyond what is documented, they showed:
//!
//! - The end of a thread is counted twice, so that the number of threads decides otherwise than meant which segments are lazy.
//! - The first block of any page, full or not, that another thread frees goes to the owner's list; further ones to the page, until the
//!   owner has looked.
//! - Alignments up to 16, too, cost a larger block where the next free block of the class is not at hand.
//! - A segment whose header had to be committed has all of its entries cleared, also when it is fresh.
//! - The huge-page pool is asked twice for each mapping, and each attempt uses up an address.
//! - When memory runs out, even for one absurd size, all that is free is given back before the request fails.
//!
//! Not modelled: a huge-page pool that has pages (`large_os_pages` falls back to transparent huge pages, and `reserve_huge_os_pages` gets
//! none); time that passes within an operation; several NUMA nodes; heaps and arenas that a program makes through mimalloc's own
//! interface; `mi_collect`; what depends on which of two threads wins a race; `vm.overcommit_memory=2`. `malloc_trim` and `mallopt` do
//! nothing: mimalloc does not have them.

mod abandoned;
mod cache;
mod calls;
mod commit;
mod heap;
mod idle;
mod mask;
mod page;
mod places;
mod rules;
mod segment;
mod spans;
mod spec;
mod system;
mod threads;

pub(super) use spec::SPEC;

use super::{AllocatorModel, Block, Counters, Request, Settings, Visit};
use crate::error::Result;
use crate::event::Tid;
use crate::units::{Addr, Bytes};
use crate::vm::os::Os;
use abandoned::Abandoned;
use cache::Cache;
use heap::Heap;
use page::Page;
use places::Places;
use rules::{Params, SLICE, bin};
use segment::Segment;
use system::System;
use threads::Threads;

/// The state of one process's malloc.
struct Mimalloc {
    params: Params,
    /// Of threads; the first is the main one's.
    heaps: Vec<Heap>,
    threads: Threads,
    pages: Vec<Page>,
    idle_pages: Vec<u32>,
    segments: Vec<Segment>,
    idle_segments: Vec<u32>,
    places: Places,
    cache: Cache,
    abandoned: Abandoned,
    system: System,
    totals: Totals,
}

/// Sums over all segments that are not in the cache.
#[derive(Default)]
struct Totals {
    segments: u64,
    /// Their lengths.
    segment_bytes: u64,
    /// What their pages take, and of that what the blocks take.
    page_bytes: u64,
    area: u64,
    /// Whole blocks that are live, and what alignment loses of them.
    live: u64,
    lost: u64,
}

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    Ok(Box::new(Mimalloc {
        params: Params::new(settings),
        heaps: Vec::new(),
        threads: Threads::default(),
        pages: Vec::new(),
        idle_pages: Vec::new(),
        segments: Vec::new(),
        idle_segments: Vec::new(),
        places: Places::new(),
        cache: Cache::default(),
        abandoned: Abandoned::default(),
        system: System::new(),
        totals: Totals::default(),
    }))
}

impl AllocatorModel for Mimalloc {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        self.allocate(os, request)
    }

    fn free(&mut self, os: &mut dyn Os, tid: Tid, block: Block) {
        self.release(os, tid, block);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        self.resize(os, request, old)
    }

    fn thread_exit(&mut self, os: &mut dyn Os, tid: Tid) {
        self.end_thread(os, tid);
    }

    fn counters(&self) -> Counters {
        let totals = &self.totals;
        let held = self.system.mapped;
        let infos = totals.segments * SLICE;
        let spans = totals.segment_bytes - infos - totals.page_bytes;
        let blocks = totals.area - totals.live;
        let cached = self.cache.bytes();
        let (reserved, description) = self.system.reserved();
        let data = self.threads.data_bytes(&self.heaps);
        let slack = held - totals.segment_bytes - cached - reserved - description - data;
        let headers = infos + totals.page_bytes - totals.area + totals.lost + data + description + slack;
        let parts = [("blocks", blocks), ("spans", spans), ("segment cache", cached), ("reserved", reserved), ("headers", headers)];
        let free = blocks + spans + cached + reserved;
        Counters { held: Bytes(held), free: Bytes(free), parts: parts.map(|(name, bytes)| (name, Bytes(bytes))).to_vec() }
    }

    fn idle(&self, visit: &mut Visit) {
        self.visit_idle(visit);
    }

    fn unit(&self, addr: Addr) -> Option<(Addr, Bytes)> {
        self.around(addr.0)
    }

    fn describe(&self, tid: Tid, size: Bytes) -> String {
        let Some(heap) = self.threads.known(tid) else { return "the thread has no heap yet".to_owned() };
        if size.0 > rules::MEDIUM {
            let own = if rules::good(size.0) > rules::LARGE { "a segment" } else { "a page" };
            return format!("{own} of its own; the thread has {} segments", self.heaps[heap as usize].segments);
        }
        let queue = bin(size.0);
        match self.pages.get(self.heaps[heap as usize].queues[queue].0 as usize) {
            None => format!("a fresh page for blocks of {}", Bytes(rules::bin_size(queue))),
            Some(page) => format!(
                "a page of slice {} with {} of {} blocks of {} in use, {} ever linked, the next {}",
                page.slice,
                page.used,
                page.reserved,
                Bytes(page.block_size),
                page.capacity,
                if page.free == page::NONE { "to be collected".to_owned() } else { format!("number {}", page.free) },
            ),
        }
    }
}

#[cfg(test)]
mod vectors;
