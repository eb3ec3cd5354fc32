//! glibc's malloc (ptmalloc2), address for address: x86-64, 4 KiB pages, versions 2.31 to 2.42; 2.36 is the one known best.
//!
//! ```text
//! calls      malloc, calloc, realloc, memalign, free, malloc_trim: what a program sees
//! core       a chunk out of an arena and back into it
//! arena      bins and top of one arena        tcache   the cache of one thread
//! system     the break and its top            heaps    the memory of further arenas     mapped   chunks that are mappings
//! threads    which arena a thread gets        rules    versions, settings
//! chunk      sizes and layout                 memory   the words in the heap, simulated        explain  the state in words
//! ```
//!
//! Written from the behaviour of the real library, and tested against it: the tests replay the same random programs here and there.
//!
//! Not modelled: a huge-page pool that has pages (with `hugetlb=2` every attempt fails and falls back, as on a machine where none were set
//! aside), `vm.overcommit_memory=2`, contention for the lock of an arena, chunks of 32 GiB and more outside of mappings of their own, the large bins of the
//! cache that 2.42 has with a `tcache_max` above 1032, and memory tagging.

mod arena;
mod calls;
mod chunk;
mod core;
mod explain;
mod heaps;
mod idle;
mod mapped;
mod memory;
mod rules;
mod spec;
mod system;
mod tcache;
mod threads;
#[cfg(test)]
mod vectors;

pub(super) use spec::SPEC;

use super::{AllocatorModel, Block, Counters, Layout, Request, Settings, Visit};
use crate::error::Result;
use crate::event::Tid;
use crate::units::{Addr, Bytes, Nanos};
use crate::vm::os::{Mode, Os};
use arena::Arena;
use chunk::{HEADER, WORD};
use heaps::Heap;
use mapped::Mapped;
use memory::Memory;
use rules::{Hugetlb, Params, Version};
use std::collections::BTreeMap;
use threads::Thread;

const SECOND: u64 = 1_000_000_000;

/// The state of one process's malloc.
struct Glibc {
    version: Version,
    params: Params,
    cpus: u32,
    memory: Memory,
    /// The first is the main arena; the others follow by age.
    arenas: Vec<Arena>,
    /// Arenas whose threads have all ended, the latest last.
    free_arenas: Vec<usize>,
    /// Where the round over arenas goes on when no thread gets one of its own.
    next_shared: usize,
    threads: Vec<Thread>,
    latest_thread: usize,
    heaps: BTreeMap<u64, Heap>,
    /// Free address space that was seen above a heap.
    neighbour: Option<u64>,
    mapped: Mapped,
    started: bool,
    thp_advised: bool,
    knows_break: bool,
    /// The first break, once it was moved.
    base: Option<u64>,
    /// Where it was left, and what of it others took.
    break_end: u64,
    foreign: u64,
    /// Bytes mapped because the break could not move.
    mapped_for_top: u64,
    /// Bytes lost at the ends of regions.
    fenced: u64,
    live: Live,
    trim: Option<Trim>,
}

/// Live blocks.
#[derive(Default)]
struct Live {
    usable: u64,
    /// What their chunks and mappings hold beside that.
    overhead: u64,
}

/// A `malloc_trim(0)` at regular times.
struct Trim {
    every: Nanos,
    next: Nanos,
}

fn build(settings: &Settings) -> Result<Box<dyn AllocatorModel>> {
    let version = Version::parse(settings.version);
    let mut memory = Memory::new();
    let main = Arena::new(&mut memory, true);
    let every = Nanos(settings.bytes("trim_every").saturating_mul(SECOND));
    Ok(Box::new(Glibc {
        version,
        params: Params::new(settings, version),
        cpus: settings.cpus,
        memory,
        arenas: vec![main],
        free_arenas: Vec::new(),
        next_shared: 0,
        threads: Vec::new(),
        latest_thread: 0,
        heaps: BTreeMap::new(),
        neighbour: None,
        mapped: Mapped::default(),
        started: false,
        thp_advised: false,
        knows_break: false,
        base: None,
        break_end: 0,
        foreign: 0,
        mapped_for_top: 0,
        fenced: 0,
        live: Live::default(),
        trim: (every.0 > 0).then_some(Trim { every, next: every }),
    }))
}

impl Glibc {
    /// The thread of a call; answers also whether it is the first call of the process.
    fn enter(&mut self, os: &dyn Os, tid: Tid) -> (usize, bool) {
        let first = !std::mem::replace(&mut self.started, true);
        if first {
            self.thp_advised = self.params.hugetlb == Hugetlb::Advise && os.huge_pages() == Mode::Madvise;
        }
        (self.thread(tid), first)
    }

    /// The thread whose cache takes what the allocator frees for itself.
    fn caching_thread(&self) -> Option<usize> {
        (!self.version.late_tcache()).then_some(self.latest_thread)
    }

    fn block(&self, chunk: u64) -> Block {
        let usable = match self.mapped.size(chunk) {
            Some(size) => size - HEADER,
            None => self.memory.size(chunk) - WORD,
        };
        Block { addr: Addr(chunk + HEADER), usable: Bytes(usable) }
    }

    fn made(&mut self, chunk: u64) -> Block {
        let block = self.block(chunk);
        self.live.usable += block.usable.0;
        self.live.overhead += self.overhead(block);
        block
    }

    fn gone(&mut self, block: Block) {
        self.live.usable -= block.usable.0;
        self.live.overhead -= self.overhead(block);
    }

    fn overhead(&self, block: Block) -> u64 {
        self.mapped.len(block.addr.0 - HEADER).map_or(WORD, |len| len - block.usable.0)
    }
}

impl AllocatorModel for Glibc {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        let (thread, first) = self.enter(os, request.tid);
        let size = request.size.0;
        let chunk = match request.align {
            align if align > HEADER => self.memalign_chunk(os, thread, size, align)?,
            _ if request.zeroed => self.calloc_chunk(os, thread, size, first)?,
            _ => self.malloc_chunk(os, thread, size)?,
        };
        Some(self.made(chunk))
    }

    fn free(&mut self, os: &mut dyn Os, tid: Tid, block: Block) {
        let (thread, _) = self.enter(os, tid);
        self.gone(block);
        self.free_chunk(os, thread, block.addr.0 - HEADER);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let (thread, _) = self.enter(os, request.tid);
        self.gone(old);
        let chunk = self.realloc_chunk(os, thread, old.addr.0 - HEADER, request.size.0);
        let block = self.made(chunk.unwrap_or(old.addr.0 - HEADER));
        chunk.map(|_| block)
    }

    fn due(&self) -> Option<Nanos> {
        self.trim.as_ref().map(|trim| trim.next)
    }

    fn tick(&mut self, os: &mut dyn Os) {
        let now = os.now();
        if let Some(trim) = &mut self.trim {
            trim.next = Nanos((now.0 / trim.every.0 + 1) * trim.every.0);
            self.trim_all(os, 0);
        }
    }

    fn thread_exit(&mut self, os: &mut dyn Os, tid: Tid) {
        self.end_thread(os, tid);
    }

    fn trim(&mut self, os: &mut dyn Os, pad: Bytes) {
        self.trim_all(os, pad.0);
    }

    fn configure(&mut self, os: &mut dyn Os, parameter: i32, value: i32) {
        self.consolidate(os, 0);
        self.params.configure(parameter, value, self.version);
    }

    fn counters(&self) -> Counters {
        let (reserved, idle) = self.reserved();
        let sum = |part: fn(&Arena) -> u64| self.arenas.iter().map(part).sum::<u64>();
        let tcache = self.threads.iter().map(Thread::cached_bytes).sum::<u64>();
        let (fast, bins, top) = (sum(|arena| arena.fast_bytes), sum(|arena| arena.binned_bytes), sum(|arena| arena.top_size));
        let main = self.break_end - self.base.unwrap_or(0) - self.foreign;
        let held = main + self.mapped_for_top + self.mapped.bytes + reserved;
        let free = tcache + fast + bins + top + idle;
        let caches = self.threads.iter().filter_map(|thread| thread.tcache.as_ref());
        let caches = caches.map(|cache| self.memory.size(cache.chunk)).sum::<u64>();
        let headers = self.live.overhead + caches + self.fenced + self.heap_metadata();
        let parts = [("tcache", tcache), ("fastbins", fast), ("bins", bins), ("top", top), ("reserved", idle), ("headers", headers)];
        Counters { held: Bytes(held), free: Bytes(free), parts: parts.map(|(name, bytes)| (name, Bytes(bytes))).to_vec() }
    }

    fn layout(&self) -> Layout {
        Layout { header: Bytes(HEADER - WORD), from_top: true }
    }

    fn idle(&self, visit: &mut Visit) {
        self.visit_idle(visit);
    }

    fn describe(&self, tid: Tid, size: Bytes) -> String {
        self.threads.iter().position(|thread| thread.is(tid)).map_or_else(String::new, |thread| self.describe_state(thread, size.0))
    }
}
