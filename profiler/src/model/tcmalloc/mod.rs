//! gperftools tcmalloc 2.10 (`libtcmalloc_minimal.so.4` of Debian 12), address for address: x86-64, pages of 4 KiB below its own of 8 KiB.
//!
//! ```text
//! calls      malloc, calloc, realloc, memalign, free: what a program sees
//! cache      free objects of one thread          threads    the caches of all threads, and what each may keep
//! central    batches and spans of one class      classes    which sizes there are
//! page_heap  spans out of free memory            release    how it grows, and what it gives back
//! spans      runs of pages, and whose a page is  metadata   the allocator's own memory
//! system     the break, or mappings              rules      settings
//! start      what happens before `main`
//! ```
//!
//! Nothing here goes by the clock: what is given back follows from what is freed (`malloc_trim` and `mallopt` do nothing, as observed).
//! Objects have no header; a free one holds a link in its first word. Written from the facts of the real library (its behaviour and its
//! source), and tested against it: the tests replay the same programs here and there.
//!
//! # What the library costs a process beside the heap
//!
//! Not in the model's figures, because it is no memory that the allocator asks for. Measured under `LD_PRELOAD` in a C program that does
//! nothing else: 1696 KiB more anonymous memory in `.bss` (the root of the page map, 1 MiB, and the cache of size classes, 512 KiB, are
//! written completely; the rest is mostly the central lists), 80 KiB more in private pages of libraries, and 1820 KiB more resident file
//! pages: libtcmalloc 156, libstdc++ 868, libm 284, libgcc 92, and of libc 420. What a C++ program loads anyway is among them.
//!
//! In the figures are the metadata (2 MiB of page map for each 2 GiB of addresses are written at once), and what the library allocates
//! before `main`. That is libstdc++'s pool of 72704 bytes above all: a program whose first request is that pool brings it along, for any
//! other it is added.
//!
//! # Not modelled
//!
//! Contention (caches of threads are used one at a time, so no lock is ever missed), the calls of `MallocExtension` (a release of
//! everything at regular times is a setting), `/dev/mem`, replaced system allocators, and the sampling and heap checking of the full
//! `libtcmalloc.so`. After a fork, writes to free objects copy their pages; the few pages of the allocator's own structures are taken to be
//! copied already. A process whose metadata gets no memory ends, here it goes on.

mod cache;
mod calls;
mod central;
mod classes;
mod idle;
mod metadata;
mod page_heap;
mod release;
mod rules;
mod spans;
mod spec;
mod start;
mod system;
#[cfg(test)]
mod tests;
mod threads;

pub(super) use spec::SPEC;

use super::{AllocatorModel, Block, Counters, Request, Settings, Visit};
use crate::error::Result;
use crate::event::Tid;
use crate::units::{Addr, Bytes, Nanos};
use crate::vm::os::Os;
use calls::Heap;
use rules::Params;
use start::{POOL, start};

const SECOND: u64 = 1_000_000_000;

struct Tcmalloc {
    params: Params,
    /// From the first request on.
    heap: Option<Heap>,
    /// Bytes of live blocks that the library made for itself.
    own: u64,
    release: Option<Release>,
}

/// A release of everything at regular times.
struct Release {
    every: Nanos,
    next: Nanos,
}

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    let every = Nanos(settings.bytes("release_every").saturating_mul(SECOND));
    let release = (every.0 > 0).then_some(Release { every, next: every });
    Ok(Box::new(Tcmalloc { params: Params::new(settings), heap: None, own: 0, release }))
}

impl Tcmalloc {
    /// Starts the library; answers with the request's block where that is libstdc++'s own, which a C++ program brings along.
    fn begin(&mut self, os: &mut dyn Os, request: Request) -> Option<Option<u64>> {
        let started = start(os, request.tid, &self.params)?;
        let brought = request.size.0 == POOL && request.align == 0 && !request.zeroed;
        self.own = started.own + if brought { 0 } else { started.heap.usable(started.pool) };
        self.heap = Some(started.heap);
        Some(brought.then_some(started.pool))
    }

    fn serve(&mut self, os: &mut dyn Os, request: Request) -> Option<u64> {
        if self.heap.is_none()
            && let Some(pool) = self.begin(os, request)?
        {
            return Some(pool);
        }
        let (heap, tid, size) = (self.heap.as_mut()?, request.tid, request.size.0);
        match request.align {
            align if align > 0 => heap.memalign(os, tid, size, align),
            _ if request.zeroed => heap.calloc(os, tid, size),
            _ => heap.malloc(os, tid, size),
        }
    }

    fn block(&self, at: u64) -> Block {
        let usable = self.heap.as_ref().map_or(0, |heap| heap.usable(at));
        Block { addr: Addr(at), usable: Bytes(usable) }
    }
}

impl AllocatorModel for Tcmalloc {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let at = self.serve(os, request)?;
        Some(self.block(at))
    }

    fn free(&mut self, os: &mut dyn Os, tid: Tid, block: Block) {
        if let Some(heap) = &mut self.heap {
            heap.free(os, tid, block.addr.0);
        }
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let at = self.heap.as_mut()?.realloc(os, request.tid, old.addr.0, request.size.0)?;
        Some(self.block(at))
    }

    fn due(&self) -> Option<Nanos> {
        self.release.as_ref().map(|release| release.next)
    }

    fn tick(&mut self, os: &mut dyn Os) {
        let now = os.now();
        let Some(release) = &mut self.release else { return };
        release.next = Nanos((now.0 / release.every.0 + 1) * release.every.0);
        if let Some(heap) = &mut self.heap {
            heap.pages.release(os, u64::MAX);
        }
    }

    fn thread_exit(&mut self, os: &mut dyn Os, tid: Tid) {
        if let Some(heap) = &mut self.heap {
            heap.thread_exit(os, tid);
        }
    }

    fn counters(&self) -> Counters {
        let Some(heap) = &self.heap else { return Counters::default() };
        let pages = &heap.pages;
        let metadata = pages.metadata.bytes + pages.system.lost;
        let caches = [
            ("thread_cache", heap.threads.bytes()),
            ("transfer_cache", heap.central.batched_bytes()),
            ("central", heap.central.free_bytes()),
        ];
        let free = [caches[0], caches[1], caches[2], ("page_heap", pages.normal.bytes), ("unmapped", pages.returned.bytes)];
        let headers = metadata + heap.central.wasted_bytes() + self.own;
        let parts = free.iter().chain(&[("headers", headers)]).map(|&(name, bytes)| (name, Bytes(bytes))).collect();
        let free = free.iter().map(|part| part.1).sum();
        Counters { held: Bytes(metadata + pages.grown), free: Bytes(free), parts }
    }

    fn idle(&self, visit: &mut Visit) {
        if let Some(heap) = &self.heap {
            heap.visit_idle(visit);
        }
    }

    fn unit(&self, addr: Addr) -> Option<(Addr, Bytes)> {
        self.heap.as_ref()?.unit(addr.0)
    }

    fn describe(&self, tid: Tid, size: Bytes) -> String {
        self.heap.as_ref().map_or_else(String::new, |heap| heap.describe(tid, size.0))
    }
}
