//! Threads: which arena one gets, when it looks at the clock, what its end leaves behind.

use super::Jemalloc;
use super::classes::{LARGE_MIN, PAD, class_of};
use super::purge::Eagerness;
use super::random::Random;
use super::settings::stack_size;
use super::space::Need;
use super::tcache::Tcache;
use crate::event::{Access, Tid};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

/// Operations of the arenas between two looks at the clock, on average.
const TICKS: i32 = 1000;
/// The first thread's seed is an address: the one seen with address randomisation off. Others follow.
const FIRST_SEED: u64 = 0x7fff_f7f9_2738;

/// A thread.
pub(super) struct Thread {
    pub(super) tid: Tid,
    /// It has asked for memory, and not only freed some.
    started: bool,
    pub(super) arena: usize,
    pub(super) cache: Option<Tcache>,
    pub(super) random: Random,
    ticks: i32,
    /// Bytes that were allocated and freed, and where the next looks through the cache are due.
    allocated: u64,
    next_by_allocated: u64,
    freed: u64,
    next_by_freed: u64,
}

impl Jemalloc {
    /// The thread of a call that wants memory.
    pub(super) fn thread(&mut self, os: &mut dyn Os, tid: Tid) -> usize {
        match self.threads.get(self.latest_thread) {
            Some(thread) if thread.tid == tid && thread.started => self.latest_thread,
            _ => {
                let thread = self.freeing_thread(os, tid);
                if !self.threads[thread].started {
                    self.start_thread(os, thread);
                }
                thread
            }
        }
    }

    /// The thread of a call that only gives memory back: it needs no arena and no cache for that. The first one ever is the program's
    /// first: the library was started on it.
    pub(super) fn freeing_thread(&mut self, os: &mut dyn Os, tid: Tid) -> usize {
        if self.threads.get(self.latest_thread).is_some_and(|thread| thread.tid == tid) {
            return self.latest_thread;
        }
        self.ensure_started(os, tid);
        let known = self.threads.iter().position(|thread| thread.tid == tid);
        self.latest_thread = known.unwrap_or_else(|| self.new_thread(tid));
        self.latest_thread
    }

    pub(super) fn new_thread(&mut self, tid: Tid) -> usize {
        let random = Random::new(FIRST_SEED + self.threads_made);
        self.threads_made += 1;
        self.threads.push(Thread {
            tid,
            started: false,
            arena: 0,
            cache: None,
            random,
            ticks: TICKS,
            allocated: 0,
            next_by_allocated: 0,
            freed: 0,
            next_by_freed: 0,
        });
        self.threads.len() - 1
    }

    /// Gives a thread its cache, which comes from the first arena, and then an arena.
    pub(super) fn start_thread(&mut self, os: &mut dyn Os, thread: usize) {
        let step = self.params.gc_step;
        let t = &mut self.threads[thread];
        (t.started, t.freed, t.next_by_freed, t.next_by_allocated) = (true, 0, step, step);
        if self.params.tcache {
            self.threads[thread].cache = self.new_cache(os, thread);
        }
        let arena = self.choose_arena(os);
        self.arenas[arena].threads += 1;
        self.threads[thread].arena = arena;
    }

    fn new_cache(&mut self, os: &mut dyn Os, thread: usize) -> Option<Tcache> {
        let size = stack_size(&self.params.slots);
        if size < LARGE_MIN {
            let mut block = Vec::new();
            self.take_regions(os, 0, class_of(size), 1, &mut block);
            self.internal_bytes += size;
            let at = *block.first()?;
            os.touch(Addr(at), Bytes(size), Access::Write);
            self.tick(os, thread, 0, 1);
            return Some(Tcache::new(os, &self.params, self.extent_of(at), at));
        }
        let home = self.take_extent(os, 0, Need { pages: size / PAGE + PAD, align: 1, zeroed: true })?;
        self.internal_bytes += self.store[home].bytes();
        self.tick(os, thread, 0, 1);
        let at = self.store[home].addr;
        Some(Tcache::new(os, &self.params, home, at))
    }

    /// The first arena with the fewest threads; a new one as long as there may be more and none is idle.
    fn choose_arena(&mut self, os: &mut dyn Os) -> usize {
        let shared = (0..self.arenas.len()).filter(|&a| !self.arenas[a].is_huge);
        let idlest = shared.clone().min_by_key(|&a| self.arenas[a].threads).unwrap_or(0);
        if self.arenas[idlest].threads > 0 && shared.count() < self.params.arenas { self.new_arena(os, false) } else { idlest }
    }

    /// Counts operations of an arena, and now and then looks at the clock on its behalf.
    pub(super) fn tick(&mut self, os: &mut dyn Os, thread: usize, a: usize, count: i32) {
        let thread = &mut self.threads[thread];
        thread.ticks -= count;
        if thread.ticks < 0 {
            thread.ticks = thread.random.geometric(TICKS);
            let eagerness = self.unforced();
            self.decay(os, a, eagerness);
        }
    }

    fn unforced(&self) -> Eagerness {
        if self.params.background > 0 { Eagerness::Never } else { Eagerness::OnEpoch }
    }

    /// Counts allocated bytes.
    pub(super) fn count_allocated(&mut self, os: &mut dyn Os, thread: usize, bytes: u64) {
        let step = self.params.gc_step;
        let t = &mut self.threads[thread];
        t.allocated += bytes;
        if t.allocated >= t.next_by_allocated {
            t.next_by_allocated = t.allocated.saturating_add(step);
            self.look_through(os, thread);
        }
    }

    /// Counts freed bytes.
    pub(super) fn count_freed(&mut self, os: &mut dyn Os, thread: usize, bytes: u64) {
        let step = self.params.gc_step;
        let t = &mut self.threads[thread];
        t.freed += bytes;
        if t.freed >= t.next_by_freed {
            t.next_by_freed = t.freed.saturating_add(step);
            self.look_through(os, thread);
        }
    }

    /// A thread ends: its cache goes back, then everything that is free in an arena that nobody has any more.
    pub(super) fn end_thread(&mut self, os: &mut dyn Os, tid: Tid) {
        let Some(thread) = self.threads.iter().position(|thread| thread.tid == tid) else { return };
        let arena = self.threads[thread].arena;
        self.arenas[arena].threads -= u32::from(self.threads[thread].started);
        if self.threads[thread].cache.is_some() {
            self.end_cache(os, thread);
            let eagerness = self.unforced();
            self.decay(os, 0, eagerness);
            if self.arenas[arena].threads == 0 && self.params.background == 0 {
                self.purge_all(os, arena);
            } else {
                self.decay(os, arena, eagerness);
            }
        }
        self.threads.remove(thread);
        self.latest_thread = 0;
    }

    fn end_cache(&mut self, os: &mut dyn Os, thread: usize) {
        (0..self.params.slots.len()).for_each(|class| self.flush(os, thread, class, 0));
        let Some(cache) = self.threads[thread].cache.take() else { return };
        let size = stack_size(&self.params.slots);
        if size < LARGE_MIN {
            self.internal_bytes -= size;
            if self.put_region(0, class_of(size), cache.home, cache.at) {
                self.release_slab(os, cache.home);
            }
        } else {
            self.internal_bytes -= self.store[cache.home].bytes();
            self.release(os, 0, cache.home);
        }
        self.tick(os, thread, 0, 1);
    }
}
