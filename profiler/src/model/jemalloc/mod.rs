//! jemalloc 5.3.0 as Debian 12 packages it (5.3.0-1), address for address: x86-64, 4 KiB pages, huge pages of 2 MiB.
//!
//! ```text
//! calls      malloc, calloc, realloc, memalign, free: what a program sees
//! tcache     the blocks that a thread caches         threads    arenas of threads, ticks of the clock, exit
//! slabs      small blocks                            space      extents: found, cut, mapped, grown
//! arena      one arena                               purge      extents: merged, kept, given back
//! cache      free extents by size and age            store      extents and their heaps
//! decay      how many free pages may stay            background threads that purge
//! base       metadata blocks                         map        pages to extents (the radix tree)
//! classes    size classes      random   the generator      settings, spec   what can be set      start   before the first call
//! ```
//!
//! Written from the behaviour of the real library, and tested against it: the tests replay programs that were run there, with the
//! addresses, system calls, pages and faults seen.
//!
//! Left to chance for real, by seeds that are addresses: where large blocks begin inside of their first page, after how many operations
//! a thread looks at the clock, by how much each epoch of decay is late. Here the seeds are fixed.
//!
//! What the library itself adds, beside what the model maps, stands in its [`SPEC`].
//!
//! With `retain:false` every extent is a mapping of its own, and which of them happen to be neighbours, or aligned, depends on the whole
//! process's address space: calls agree within some per cent there, where everything else is exact.
//!
//! Not modelled: `slab_sizes`, `bin_shards`, `percpu_arena`, `narenas_ratio`, `dss`, `hpa`, profiling, guard pages, `zero_realloc`
//! (`realloc` to 0 bytes is taken as one to the smallest size), `mallctl` and `xallocx`, `vm.overcommit_memory=2`, stacks and caches of the
//! background threads, and contention for locks. `cache_oblivious` cannot be set in this version.

mod arena;
mod background;
mod base;
mod cache;
mod calls;
mod classes;
mod decay;
mod idle;
mod map;
#[cfg(test)]
mod process_tests;
mod purge;
mod random;
mod settings;
#[cfg(test)]
mod settings_tests;
mod slabs;
mod space;
mod spec;
mod start;
mod store;
mod tcache;
#[cfg(test)]
mod tests;
mod threads;
#[cfg(test)]
mod vectors;

pub(super) use spec::SPEC;

use super::{AllocatorModel, Block, Counters, Request, Settings, Visit};
use crate::error::Result;
use crate::event::{Advice, PROT_READ, PROT_WRITE, Tid};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use crate::vm::os::{Mode, Os};
use arena::Arena;
use background::Watch;
use map::Map;
use settings::{Params, Thp};
use store::{Id, Store};
use threads::Thread;

/// State of one process's malloc.
struct Jemalloc {
    params: Params,
    store: Store,
    map: Map,
    /// By age; the first is the program's first thread's.
    arenas: Vec<Arena>,
    threads: Vec<Thread>,
    latest_thread: usize,
    /// Threads so far.
    threads_made: u64,
    watches: Vec<Watch>,
    /// Bytes of blocks that the library itself uses.
    internal_bytes: u64,
    /// Lists that are needed again and again.
    flushed: Vec<u64>,
    emptied: Vec<Id>,
    stash: Vec<Id>,
}

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    let params = Params::new(settings);
    let watches = vec![Watch::default(); params.background as usize];
    Ok(Box::new(Jemalloc {
        params,
        store: Store::new(),
        map: Map::new(),
        arenas: Vec::new(),
        threads: Vec::new(),
        latest_thread: 0,
        threads_made: 0,
        watches,
        internal_bytes: 0,
        flushed: Vec::new(),
        emptied: Vec::new(),
        stash: Vec::new(),
    }))
}

impl Jemalloc {
    /// The extent that holds an address in use.
    fn extent_of(&self, addr: u64) -> Id {
        self.map.get(addr / PAGE)
    }
}

/// Maps memory, aligned: where the kernel does not happen to align it, again with room to cut it out.
fn map_pages(os: &mut dyn Os, len: u64, align: u64, thp: Thp) -> Option<u64> {
    let mut start = os.mmap(Bytes(len), PROT_READ | PROT_WRITE)?.0;
    if !start.is_multiple_of(align) {
        os.munmap(Addr(start), Bytes(len));
        let wide = len.checked_add(align - PAGE)?;
        let found = os.mmap(Bytes(wide), PROT_READ | PROT_WRITE)?.0;
        start = found.next_multiple_of(align);
        if start > found {
            os.munmap(Addr(found), Bytes(start - found));
        }
        if start + len < found + wide {
            os.munmap(Addr(start + len), Bytes(found + wide - start - len));
        }
    }
    advise_huge(os, thp, start, len);
    Some(start)
}

/// `thp`, where it is not what the kernel does anyway.
fn advise_huge(os: &mut dyn Os, thp: Thp, start: u64, len: u64) {
    match (thp, os.huge_pages()) {
        (Thp::Always, Mode::Madvise) => os.madvise(Addr(start), Bytes(len), Advice::HugePage),
        (Thp::Never, Mode::Madvise | Mode::Always) => os.madvise(Addr(start), Bytes(len), Advice::NoHugePage),
        _ => {}
    }
}

fn block((addr, usable): (u64, u64)) -> Block {
    Block { addr: Addr(addr), usable: Bytes(usable) }
}

impl AllocatorModel for Jemalloc {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let thread = self.thread(os, request.tid);
        let zeroed = request.zeroed || self.params.zero;
        self.allocate(os, thread, request.size.0, request.align, zeroed).map(block)
    }

    fn free(&mut self, os: &mut dyn Os, tid: Tid, block: Block) {
        let thread = self.freeing_thread(os, tid);
        self.deallocate(os, thread, block.addr.0, block.usable.0);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let thread = self.thread(os, request.tid);
        self.reallocate(os, thread, (old.addr.0, old.usable.0), request.size.0).map(block)
    }

    fn due(&self) -> Option<Nanos> {
        self.next_wake()
    }

    fn tick(&mut self, os: &mut dyn Os) {
        self.work_due(os);
    }

    fn thread_exit(&mut self, os: &mut dyn Os, tid: Tid) {
        self.end_thread(os, tid);
    }

    fn counters(&self) -> Counters {
        let sum = |part: fn(&Arena) -> u64| self.arenas.iter().map(part).sum::<u64>();
        let base = sum(|arena| arena.base.bytes);
        let tcache = self.threads.iter().filter_map(|thread| thread.cache.as_ref()).map(|cache| cache.bytes()).sum::<u64>();
        let slabs = sum(|arena| arena.slab_bytes - arena.region_bytes);
        let [dirty, muzzy, retained] = [0, 1, 2].map(|state: usize| self.arenas.iter().map(|arena| arena.free_bytes()[state]).sum::<u64>());
        let headers = base + sum(|arena| arena.pad_bytes) + self.internal_bytes;
        let free = tcache + slabs + dirty + muzzy + retained;
        let parts =
            [("tcache", tcache), ("slabs", slabs), ("dirty", dirty), ("muzzy", muzzy), ("retained", retained), ("headers", headers)];
        let parts = parts.map(|(name, bytes)| (name, Bytes(bytes))).to_vec();
        Counters { held: Bytes(base + sum(|arena| arena.mapped)), free: Bytes(free), parts }
    }

    fn idle(&self, visit: &mut Visit) {
        self.visit_idle(visit);
    }

    fn unit(&self, addr: Addr) -> Option<(Addr, Bytes)> {
        let extent = &self.store[self.extent_of(addr.0)];
        Some((Addr(extent.addr), Bytes(extent.bytes())))
    }

    fn describe(&self, tid: Tid, size: Bytes) -> String {
        let Some(thread) = self.threads.iter().find(|thread| thread.tid == tid) else { return String::new() };
        let class = classes::class_of(size.0.min(classes::LARGE_MAX));
        let cached = thread.cache.as_ref().and_then(|cache| cache.stacks.get(class)).map_or(0, |stack| stack.blocks.len());
        let arena = &self.arenas[thread.arena];
        let slab = if class < classes::SMALL { self.store[arena.bins[class].current].free } else { 0 };
        let [dirty, muzzy, retained] = arena.free_bytes().map(Bytes);
        let usable = classes::size_of(class);
        format!(
            "class {usable}; {cached} in tcache, {slab} in slab; arena {}: {dirty} dirty, {muzzy} muzzy, {retained} retained",
            arena.number
        )
    }
}
